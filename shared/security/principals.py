"""
Who is calling: API keys and tokens become principals.

All failures look alike: nobody learns which part was wrong.
"""

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import UnauthenticatedError
from shared.postgres import transaction
from shared.security.api_keys import read_api_key
from shared.security.oidc import TokenReader

Role = Literal["submitter", "viewer", "biller", "supervisor", "auditor", "admin", "operator"]

REMEMBERED_SECONDS = 10.0
REMEMBERED_PRINCIPALS = 1024

_AUTHENTICATE = text("select * from access.authenticate(:prefix, :secret_hash)")
_AUTHENTICATE_PERSON = text("select * from access.authenticate_person(:issuer, :subject)")


@dataclass(frozen=True, slots=True)
class Principal:
    """
    A known caller.

    A submitter has `submitter_id`, an operator neither id, every other role `organization_id`.
    """

    principal_id: UUID
    name: str
    role: Role
    organization_id: UUID | None = None
    submitter_id: UUID | None = None


class Authenticator:
    """
    Knows principals by their keys, and by the tokens of an issuer.

    A finding is believed for ten seconds: so long a revoked key lives.
    """

    def __init__(self, engine: AsyncEngine, tokens: TokenReader | None = None) -> None:
        self._engine = engine
        self._tokens = tokens
        self._remembered: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    async def authenticate(self, authorization: str | None) -> Principal:
        """
        Read an Authorization header (`Bearer <key or token>`).

        Raises UnauthenticatedError, or UnavailableError while the database or the issuer does not answer.
        """
        scheme, _, credentials = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise _refusal()
        credentials = credentials.strip()
        shown = hashlib.sha256(credentials.encode()).digest()
        return self._recall(shown) or self._remember(shown, await self._look_up(credentials))

    async def _look_up(self, credentials: str) -> Principal:
        asked: dict[str, Any]
        try:
            if self._tokens is not None and _looks_like_a_token(credentials):
                person = await self._tokens.read(credentials)
                statement, asked = _AUTHENTICATE_PERSON, {"issuer": person.issuer, "subject": person.subject}
            else:
                prefix, secret_hash = read_api_key(credentials)
                statement, asked = _AUTHENTICATE, {"prefix": prefix, "secret_hash": secret_hash}
        except UnauthenticatedError:
            raise _refusal() from None
        async with transaction(self._engine) as connection:
            found = (await connection.execute(statement, asked)).one_or_none()
        if found is None:
            raise _refusal()
        return Principal(
            principal_id=found.principal_id,
            name=found.name,
            role=found.role,
            organization_id=found.organization_id,
            submitter_id=found.submitter_id,
        )

    def _recall(self, key: bytes) -> Principal | None:
        seen_at, principal = self._remembered.get(key, (0.0, None))
        return principal if time.monotonic() - seen_at < REMEMBERED_SECONDS else None

    def _remember(self, key: bytes, principal: Principal) -> Principal:
        # Only successes are kept, so guessing cannot push the real callers out.
        self._remembered[key] = (time.monotonic(), principal)
        self._remembered.move_to_end(key)
        if len(self._remembered) > REMEMBERED_PRINCIPALS:
            self._remembered.popitem(last=False)
        return principal


def _looks_like_a_token(credentials: str) -> bool:
    return credentials.count(".") == 2  # RFC 7515: header, payload, signature


def _refusal() -> UnauthenticatedError:
    return UnauthenticatedError(
        "A valid API key or token is needed.",
        remedy="Send it as `Authorization: Bearer rpv_…`; `reprieve keys create` makes one.",
    )
