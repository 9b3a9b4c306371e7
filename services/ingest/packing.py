"""A file as the body of a push: compressed where the door takes it, signed where the feed asks."""

import base64
import binascii
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO
from uuid import uuid4

import zstandard

from shared.clock import now
from shared.errors import InvalidInputError

BLOCK_BYTES = 256 * 1024
_COMPRESSED_FROM_BYTES = 16 * 1024
_RATIO_MAX = 50  # the door takes no more than a hundredfold growth
_LEVEL = 3
_SECRET_PREFIX = "whsec_"  # noqa: S105  of Standard Webhooks; the secret follows it


@dataclass(frozen=True, slots=True)
class Packing:
    """`compress`: the door takes Zstandard. `secret`: sign with it."""

    compress: bool = False
    secret: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: headers, and blocks that may be read once."""

    headers: dict[str, str]
    blocks: Iterator[bytes]


def read_secret(text: str) -> bytes:
    """Read `whsec_BASE64`. Raises InvalidInputError, which never shows the text."""
    if not text.strip():
        raise InvalidInputError(
            "There is no signing secret.",
            remedy="Set REPRIEVE_SIGNING_SECRET to what `reprieve feeds sign NAME` printed, or omit --sign.",
        )
    try:
        secret = base64.b64decode(text.strip().removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not secret:
        raise InvalidInputError(
            "The signing secret is not of the form whsec_….",
            remedy="Set REPRIEVE_SIGNING_SECRET to what `reprieve feeds sign NAME` printed.",
        )
    return secret


def pack(file: BinaryIO, size: int | None, packing: Packing) -> Body:
    """
    Make the body of a file of this size; None for a pipe, which goes as it is and cannot be signed.

    A signature stands before the body, and so does the length: the file is read twice where they are needed.
    """
    if size is None:
        if packing.secret is not None:
            raise InvalidInputError("What comes through a pipe cannot be signed.", remedy="Push a file.")
        return Body({}, _blocks(file))
    compressed = packing.compress and size >= _COMPRESSED_FROM_BYTES
    headers, sent_bytes = _measure(file, packing.secret, compressed=compressed)
    if compressed and sent_bytes * _RATIO_MAX < size:
        compressed = False
        headers, sent_bytes = _measure(file, packing.secret, compressed=False)
    headers["Content-Length"] = str(sent_bytes)
    if compressed:
        headers["Content-Encoding"] = "zstd"
    file.seek(0)
    return Body(headers, _packed(file, compressed=compressed))


def _measure(file: BinaryIO, secret: bytes | None, *, compressed: bool) -> tuple[dict[str, str], int]:
    """Give the headers of the signature, none without a secret, and the length of what will be sent."""
    message_id, timestamp = str(uuid4()), str(int(now().timestamp()))
    digest = hmac.new(secret or b"", f"{message_id}.{timestamp}.".encode(), "sha256")
    sent_bytes = 0
    file.seek(0)
    for block in _packed(file, compressed=compressed):
        sent_bytes += len(block)
        digest.update(block)
    if secret is None:
        return {}, sent_bytes
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(digest.digest()).decode("ascii"),
    }, sent_bytes


def _packed(file: BinaryIO, *, compressed: bool) -> Iterator[bytes]:
    if not compressed:
        yield from _blocks(file)
        return
    compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
    for block in _blocks(file):
        if packed := compressor.compress(block):
            yield packed
    yield compressor.flush()


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block
