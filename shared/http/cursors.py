"""
Opaque cursors of pages: where the next page starts, signed, so that nobody edits one into another query.

A cursor is signed, not secret: keep claim numbers and people out of positions.
"""

import base64
import hashlib
import hmac
from typing import Any, TypeVar

import msgspec

from shared.errors import InvalidInputError

_SIGNATURE_BYTES = 12
_CURSOR_CHARACTERS_MAX = 2048

Position = TypeVar("Position")


def cursor_key(setting: str) -> bytes:
    """Derive the signing key from a secret setting; equal settings read each other's cursors."""
    return hmac.digest(setting.encode(), b"reprieve cursors", hashlib.sha256)


def encode_cursor(position: Any, *, key: bytes) -> str:
    """Write a position (a tuple or struct of sort values and ids) as a cursor."""
    body = msgspec.json.encode(position)
    return base64.urlsafe_b64encode(_sign(body, key) + body).decode().rstrip("=")


def decode_cursor(cursor: str, as_type: type[Position], *, key: bytes) -> Position:
    """Read a cursor as `as_type`. Raises InvalidInputError for one that we did not write for this list."""
    try:
        return msgspec.json.decode(_verified(cursor, key), type=as_type)
    except (ValueError, msgspec.MsgspecError):
        raise InvalidInputError(
            "The cursor is not one of this list.", remedy="Start again without a cursor."
        ) from None


def _verified(cursor: str, key: bytes) -> bytes:
    if len(cursor) > _CURSOR_CHARACTERS_MAX:
        raise ValueError
    signed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    signature, body = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _sign(body, key)):
        raise ValueError
    return body


def _sign(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:_SIGNATURE_BYTES]
