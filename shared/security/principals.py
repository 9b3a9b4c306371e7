"""Who is calling: API keys become principals. All failures look alike: nobody learns which part was wrong."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import UnauthenticatedError
from shared.postgres import transaction
from shared.security.api_keys import read_api_key

Role = Literal["submitter", "viewer", "biller", "supervisor", "auditor", "admin", "operator"]

REMEMBERED_SECONDS = 10.0
REMEMBERED_PRINCIPALS = 1024

_AUTHENTICATE = text("select * from access.authenticate(:prefix, :secret_hash)")


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
    """Knows principals by their keys. A finding is believed for ten seconds: so long a revoked key lives."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._remembered: OrderedDict[tuple[str, bytes], tuple[float, Principal]] = OrderedDict()

    async def authenticate(self, authorization: str | None) -> Principal:
        """
        Read an Authorization header (`Bearer <key>`).

        Raises UnauthenticatedError, or UnavailableError while the database does not answer.
        """
        scheme, _, credentials = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise _refusal()
        try:
            key = read_api_key(credentials.strip())
        except UnauthenticatedError:
            raise _refusal() from None
        return self._recall(key) or self._remember(key, await self._look_up(key))

    async def _look_up(self, key: tuple[str, bytes]) -> Principal:
        prefix, secret_hash = key
        async with transaction(self._engine) as connection:
            result = await connection.execute(_AUTHENTICATE, {"prefix": prefix, "secret_hash": secret_hash})
            found = result.one_or_none()
        if found is None:
            raise _refusal()
        return Principal(
            principal_id=found.principal_id,
            name=found.name,
            role=found.role,
            organization_id=found.organization_id,
            submitter_id=found.submitter_id,
        )

    def _recall(self, key: tuple[str, bytes]) -> Principal | None:
        seen_at, principal = self._remembered.get(key, (0.0, None))
        return principal if time.monotonic() - seen_at < REMEMBERED_SECONDS else None

    def _remember(self, key: tuple[str, bytes], principal: Principal) -> Principal:
        # Only successes are kept, so guessing cannot push the real callers out.
        self._remembered[key] = (time.monotonic(), principal)
        self._remembered.move_to_end(key)
        if len(self._remembered) > REMEMBERED_PRINCIPALS:
            self._remembered.popitem(last=False)
        return principal


def _refusal() -> UnauthenticatedError:
    return UnauthenticatedError(
        "A valid API key is needed.",
        remedy="Send it as `Authorization: Bearer rpv_…`; `reprieve keys create` makes one.",
    )
