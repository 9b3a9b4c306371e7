"""
Signed requests, by the scheme of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, the body as sent.

The library of that name wants the whole body at once; ours may be half a gigabyte, so it is signed as it
comes. Whoever takes the blocks keeps nothing until their end, where the signature is compared.
"""

import base64
import binascii
import hmac
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from shared.errors import UnauthenticatedError

TOLERANCE = timedelta(minutes=5)
ID_CHARACTERS_MAX = 255
_VERSION = "v1,"
_SIGNATURES_MAX = 10


class SignatureError(UnauthenticatedError):
    """The feed takes signed requests, and this is none."""

    slug = "signature"


def signed(
    blocks: AsyncIterable[bytes], headers: Mapping[str, str], *, secrets: Sequence[bytes], as_of: datetime
) -> AsyncIterator[bytes]:
    """
    Give the blocks through; at their end it is sure that one of `secrets` signed them.

    Raises SignatureError: at once for missing headers or a timestamp more than five minutes away from
    `as_of`, at the end of the blocks for a signature that none of the secrets made.
    """
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = _given(headers.get("webhook-signature", ""))
    if not (message_id and timestamp and given) or len(message_id) > ID_CHARACTERS_MAX:
        raise SignatureError(
            "This feed takes signed requests only, and this one is not signed.",
            remedy="Send webhook-id, webhook-timestamp and webhook-signature, as Standard Webhooks has them.",
        )
    _check_age(timestamp, as_of)
    head = f"{message_id}.{timestamp}.".encode()
    return _compared(blocks, [hmac.new(secret, head, "sha256") for secret in secrets], given)


async def _compared(
    blocks: AsyncIterable[bytes], digests: Sequence[hmac.HMAC], given: Sequence[bytes]
) -> AsyncIterator[bytes]:
    async for block in blocks:
        for digest in digests:
            digest.update(block)
        yield block
    expected = [digest.digest() for digest in digests]
    # All are compared, whatever the first ones gave: the time taken tells nothing.
    if not sum(hmac.compare_digest(one, other) for one in expected for other in given):
        raise SignatureError(
            "The signature is not one of this feed's over this body.",
            remedy="Sign `id.timestamp.body`, the body as it is sent, with the feed's secret.",
        )


def _given(header: str) -> list[bytes]:
    """Read `v1,BASE64 v1,BASE64`; signatures of other versions are for others."""
    found = []
    for one in header.split(" ")[:_SIGNATURES_MAX]:
        if one.startswith(_VERSION):
            try:
                found.append(base64.b64decode(one.removeprefix(_VERSION), validate=True))
            except (binascii.Error, ValueError):
                continue
    return found


def _check_age(timestamp: str, as_of: datetime) -> None:
    try:
        made_at = datetime.fromtimestamp(int(timestamp), UTC)
    except (ValueError, OverflowError, OSError):
        made_at = datetime.min.replace(tzinfo=UTC)
    if abs(as_of - made_at) > TOLERANCE:
        raise SignatureError(
            "The signature's timestamp is no number of seconds, or over five minutes away from our clock.",
            remedy="Sign again with the present time; compare the clocks when that does not help.",
        )
