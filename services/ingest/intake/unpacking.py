"""
Unpacking a compressed body while it comes: gzip (RFC 1952) and Zstandard (RFC 8878), within bounds.

A body may grow to the size that any file may have, and no further than a hundred times what was sent beyond
a first free megabyte: remittances shrink to a tenth or a twentieth, bombs to a thousandth. Neither the
bounds nor the memory depend on what the body says of itself.
"""

import asyncio
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from typing import Protocol

import zstandard

from services.ingest.intake.media import Encoding
from shared.errors import InvalidInputError

FREE_BYTES = 1 << 20
RATIO_MAX = 100
MEMBERS_MAX = 64
"""So many members or frames may be empty; beyond them there may be one for each KiB that is unpacked."""
_STEP_BYTES = (
    1024  # a Zstandard block of four bytes can stand for 128 KiB, deflate gives at most 1032 for one
)
_WINDOW_BYTES = 8 << 20  # RFC 8878 3.1.1.1.2 asks every decoder for this much, and lets it refuse more
_GATHERED_BYTES = 256 * 1024
_BRIEF_BYTES = 4096  # unpacked where it is; more goes to a thread


class DamagedBodyError(InvalidInputError):
    """The compressed body cannot be unpacked."""

    slug = "damaged-encoding"


class TooDenseError(InvalidInputError):
    """The compressed body grows more, or is in more pieces, than any remittance."""

    status = 413
    slug = "too-dense"


async def unpacked(blocks: AsyncIterable[bytes], encoding: Encoding) -> AsyncIterator[bytes]:
    """
    Give the body as its sender had it.

    Raises DamagedBodyError, naming the place in the body as sent, and TooDenseError.
    """
    if encoding == "identity":
        async for block in blocks:
            yield block
        return
    unpacking = _Unpacking(encoding)
    async for block in blocks:
        parts = unpacking.parts(block)
        brief = len(block) <= _BRIEF_BYTES
        while part := _gather(parts) if brief else await asyncio.to_thread(_gather, parts):
            yield part
    unpacking.close()


def _gather(parts: Iterator[bytes]) -> bytes:
    """Join parts until they are worth a block; nothing at their end."""
    gathered = bytearray()
    while len(gathered) < _GATHERED_BYTES and (part := next(parts, b"")):
        gathered += part
    return bytes(gathered)


class _Decompressor(Protocol):
    """What zlib and zstandard have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class _Unpacking:
    """One body on its way through the decompressor; several members or frames may follow each other."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._inner: _Decompressor | None = None  # between two members, and before the first
        self._sent_bytes = 0
        self._given_bytes = 0
        self._members = 0

    def parts(self, block: bytes) -> Iterator[bytes]:
        """Unpack a block step by step; gives nothing empty."""
        for start in range(0, len(block), _STEP_BYTES):
            step = block[start : start + _STEP_BYTES]
            try:
                part = self._unpack(step)
            except (zlib.error, zstandard.ZstdError) as error:
                raise DamagedBodyError(
                    f"The {self._encoding} body is damaged within {len(step):,} bytes from its byte"
                    f" {self._sent_bytes:,}.",
                    remedy="Compress the file again, or send it as it is.",
                ) from error
            self._sent_bytes += len(step)
            self._given_bytes += len(part)
            self._check_growth()
            if part:
                yield part

    def close(self) -> None:
        """Say that the body is at its end. Raises DamagedBodyError when it should go on."""
        if self._inner is not None:
            raise DamagedBodyError(
                f"The {self._encoding} body ends too early, after {self._sent_bytes:,} bytes.",
                remedy="Send the whole of it again: repeating is safe.",
            )

    def _unpack(self, step: bytes) -> bytes:
        given = b""
        while step:
            if self._inner is None:
                if self._members and self._encoding == "gzip" and not (step := step.lstrip(b"\0")):
                    break  # tapes and some SFTP servers fill the last block up; gzip itself reads over it
                self._inner = self._fresh()
                self._members += 1
            given += self._inner.decompress(step)
            step = b""
            if self._inner.eof:
                step, self._inner = self._inner.unused_data, None
        return given

    def _fresh(self) -> _Decompressor:
        if self._encoding == "gzip":
            return zlib.decompressobj(wbits=31)  # a gzip header and trailer are asked for
        return zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj()

    def _check_growth(self) -> None:
        if self._given_bytes > FREE_BYTES + RATIO_MAX * self._sent_bytes:
            raise TooDenseError(
                f"The {self._encoding} body grows to more than {RATIO_MAX} times its size.",
                remedy="Send the file as it is, without Content-Encoding.",
            )
        if self._members > MEMBERS_MAX + self._given_bytes // 1024:  # each costs a decoder, even an empty one
            raise TooDenseError(
                f"The {self._encoding} body is cut into too many members: {self._members:,} for"
                f" {self._given_bytes:,} bytes.",
                remedy="Compress the file in one piece, or send it as it is.",
            )
