"""
API keys: `rpv_<prefix>_<secret>`. The prefix finds the key, the SHA-256 of the secret proves it.

A secret has 256 random bits, so a plain hash is enough: there is nothing to guess, and nothing to slow down.
"""

import hashlib
import re
import secrets
import string
from dataclasses import dataclass, field

from shared.errors import UnauthenticatedError

PREFIX_LENGTH = 12
_PREFIX_ALPHABET = string.ascii_lowercase + string.digits
_FORM = re.compile(rf"rpv_([a-z0-9]{{{PREFIX_LENGTH}}})_([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A new key. `text` is shown once and kept nowhere; `secret_hash` has 32 bytes."""

    text: str = field(repr=False)
    prefix: str
    secret_hash: bytes = field(repr=False)


def new_api_key() -> ApiKey:
    """Make a key from the operating system's randomness."""
    prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(PREFIX_LENGTH))
    secret = secrets.token_urlsafe(32)
    return ApiKey(text=f"rpv_{prefix}_{secret}", prefix=prefix, secret_hash=_hash(secret))


def read_api_key(text: str) -> tuple[str, bytes]:
    """Give the prefix and the secret's hash. Raises UnauthenticatedError when the text is not a key."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise UnauthenticatedError("This is not a valid API key.", remedy="Check that it was copied whole.")
    prefix, secret = found.groups()
    return prefix, _hash(secret)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
