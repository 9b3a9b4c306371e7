"""
People who signed in elsewhere: bearer tokens of one OpenID Connect issuer.

A token says who somebody is; what that person may do here stands in access.people, never in the token. So a
mistake at the issuer gives nobody a role, and taking somebody off the list works at once.

Rules: RFC 7519 (claims), RFC 8725 (only signatures with a public key; issuer and audience are compared),
OpenID Connect Discovery 1.0 (where the keys are).
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import InvalidInputError, UnauthenticatedError, UnavailableError
from shared.security.settings import read_settings

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""A shared secret would let whoever may check a token make one; `none` would let anybody."""

SUBJECT_LENGTH_MAX = 255
_LEEWAY_SECONDS = 60
_KEYS_SECONDS = 600.0
_ASK_AGAIN_SECONDS = 30.0  # a stranger may name any key id: that must not make us ask the issuer each time
_ISSUER_SECONDS = 5.0  # for all of its answers, however slowly they drip
_ANSWER_BYTES_MAX = 1024 * 1024
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class OidcSettings(BaseSettings):
    """
    Whose tokens are believed; without an issuer, none.

    `oidc_audience` is what the issuer calls Reprieve; `oidc_subject_claim` names the claim by which a person
    is listed: `sub`, or one that the issuer guarantees to be as lasting, such as `oid`.
    """

    model_config = SettingsConfigDict(env_prefix="REPRIEVE_", frozen=True, extra="ignore")

    oidc_issuer: str | None = None
    oidc_audience: str | None = None
    oidc_subject_claim: str = Field(default="sub", min_length=1)


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a token speaks of: the issuer, and the name by which the issuer knows the person."""

    issuer: str
    subject: str


class TokenReader:
    """Checks tokens of one issuer. Its keys are asked for when first needed, and kept for ten minutes."""

    def __init__(self, issuer: str, audience: str, *, subject_claim: str = "sub") -> None:
        self._issuer = _checked(issuer)
        self._subject_claim = subject_claim
        self._claims = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )
        self._keys: KeySet | None = None
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def read(self, token: str) -> Person:
        """
        Check signature, issuer, audience and dates, and give whom the token speaks of.

        Raises UnauthenticatedError, or UnavailableError while the issuer does not give its keys.
        """
        try:
            claims = await self._verified(token)
            self._claims.validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise UnauthenticatedError("The token is not valid here.") from error
        if self._subject_claim == "email" and claims.get("email_verified") is not True:
            raise UnauthenticatedError("The token's address is one that anybody may have claimed.")
        subject = claims.get(self._subject_claim)
        if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_LENGTH_MAX:
            raise UnauthenticatedError("The token names nobody.")
        return Person(self._issuer, subject)

    async def _verified(self, token: str) -> dict[str, Any]:
        keys = await self._current_keys(_KEYS_SECONDS)
        try:
            return _claims(token, keys)
        except (JoseError, ValueError):
            # The issuer may have changed its keys since.
            newer = await self._current_keys(_ASK_AGAIN_SECONDS)
            if newer is keys:
                raise
            return _claims(token, newer)

    async def _current_keys(self, seconds: float) -> KeySet:
        """
        Give the issuer's keys, at most so old; old ones are better than none while it does not answer.

        While somebody asks for newer ones, known keys serve everybody else.
        """
        if self._keys is not None and time.monotonic() - self._asked_at <= seconds:
            return self._keys
        async with self._asking:
            if self._keys is None or time.monotonic() - self._asked_at > seconds:
                self._asked_at = time.monotonic()
                try:
                    async with asyncio.timeout(_ISSUER_SECONDS):
                        self._keys = await _fetch_keys(self._issuer)
                except (httpx2.HTTPError, TimeoutError, ValueError, KeyError, TypeError, JoseError) as error:
                    if self._keys is None:
                        self._asked_at = float("-inf")
                        raise UnavailableError(
                            "The issuer of tokens does not answer.", remedy="Repeat later, or use an API key."
                        ) from error
            return self._keys


def _claims(token: str, keys: KeySet) -> dict[str, Any]:
    """Check the signature and give the claims. A token for another purpose says so (RFC 8725, 3.11)."""
    read = jwt.decode(token, keys, algorithms=ALGORITHMS)
    if str(read.header.get("typ", "JWT")).lower().removeprefix("application/") not in _TYPES:
        raise ValueError("a token of another type")
    return read.claims


_TYPES = frozenset({"jwt", "at+jwt"})


def token_reader() -> TokenReader | None:
    """Make the reader that the environment asks for. Raises InvalidInputError for half a setting."""
    settings = read_settings(OidcSettings)
    if not settings.oidc_issuer:
        return None
    if not settings.oidc_audience:
        raise InvalidInputError(
            "REPRIEVE_OIDC_AUDIENCE is missing.",
            remedy="Set it to the `aud` of tokens for Reprieve; without it, any of the issuer's would do.",
        )
    return TokenReader(
        settings.oidc_issuer, settings.oidc_audience, subject_claim=settings.oidc_subject_claim
    )


def _checked(url: str) -> str:
    """Raise InvalidInputError unless nobody on the way could swap the keys."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise InvalidInputError(
            "An issuer of tokens is reached by https.", remedy="Correct REPRIEVE_OIDC_ISSUER."
        )
    return url


async def _fetch_keys(issuer: str) -> KeySet:
    async with httpx2.AsyncClient(timeout=_ISSUER_SECONDS, follow_redirects=False) as client:
        about = await _json(client, issuer.rstrip("/") + "/.well-known/openid-configuration")
        if about["issuer"] != issuer:
            raise ValueError("the issuer calls itself by another name")
        return KeySet.import_key_set(await _json(client, _checked(about["jwks_uri"])))


async def _json(client: httpx2.AsyncClient, url: str) -> Any:
    body = b""
    async with client.stream("GET", url) as answer:
        answer.raise_for_status()
        async for block in answer.aiter_bytes():
            body += block
            if len(body) > _ANSWER_BYTES_MAX:
                raise ValueError("no set of keys is that long")
    return msgspec.json.decode(body)
