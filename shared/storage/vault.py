"""
The vault: files as they came, sealed while they stream, readable in any byte range.

A file is cut into chunks of 64 KiB; each is AES-256-GCM under a data key that belongs to this file alone
and is kept, wrapped by the master key, in a row of the file's owner. The nonce is the chunk's number and
whether it is the last one (the STREAM construction), so a chunk that is changed, moved, dropped or added does
not open.

Where the sealed bytes lie is a matter of objects.py.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.errors import InvalidInputError
from shared.security.sealing import MasterKey
from shared.storage.objects import Objects, damaged

CHUNK_BYTES = 64 * 1024
_TAG_BYTES = 16
_SEALED_BYTES = CHUNK_BYTES + _TAG_BYTES
_CHUNKS_AHEAD = 16  # read in one go when a file is read in order


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Where a file lies and the key that opens it, wrapped by the master key: its owner's row keeps both."""

    storage_key: str
    wrapped_key: bytes
    size_bytes: int


def new_storage_key() -> str:
    """Make the name of a file that is to come."""
    return uuid4().hex


class Vault:
    """Sealed files in a folder (a Path) or an object store (a URL). All methods block."""

    def __init__(self, where: Path | str, master_key: MasterKey) -> None:
        self.objects = Objects(where)
        self._master_key = master_key

    def writer(self, storage_key: str | None = None) -> "VaultWriter":
        """Begin a new file, under a name of new_storage_key() where that was needed before."""
        return VaultWriter(self.objects, self._master_key, storage_key or new_storage_key())

    def open(self, stored: StoredFile) -> "VaultReader":
        """
        Open a file.

        Raises UnreadableError when its bytes are not the ones that were kept, InvalidInputError when its key
        is not, and UnavailableError while the store does not answer.
        """
        key = self._master_key.unwrap(stored.wrapped_key, context=stored.storage_key.encode())
        return VaultReader(self.objects, stored, AESGCM(key))

    def is_whole(self, stored: StoredFile) -> bool:
        """Read a file to its end; False when it is missing, damaged or sealed with another key."""
        try:
            with self.open(stored) as reader:
                for _ in reader.blocks():
                    pass
        except InvalidInputError:
            return False
        return True

    def sweep(self) -> None:
        """Take away what crashed uploads left behind a day ago or earlier."""
        self.objects.sweep()

    def remove(self, storage_key: str) -> None:
        """Take a file away; absent is fine."""
        self.objects.remove(storage_key)


class VaultWriter:
    """
    One file on its way in. Either `keep()` or `discard()` ends it.

    Raises StorageFullError when the disk is full; nothing of the file is left then.
    """

    def __init__(self, objects: Objects, master_key: MasterKey, storage_key: str) -> None:
        self.storage_key = storage_key
        self.size_bytes = 0
        key = secrets.token_bytes(32)
        self._wrapped_key = master_key.wrap(key, context=self.storage_key.encode())
        self._cipher = AESGCM(key)
        self._object = objects.writer(self.storage_key)
        self._chunks = 0
        self._pending = bytearray()

    def write(self, block: bytes) -> None:
        """Add bytes; whole chunks are sealed and written at once."""
        self.size_bytes += len(block)
        self._pending += block
        # A full chunk waits until a byte follows it: the last one is sealed differently.
        while len(self._pending) > CHUNK_BYTES:
            self._put(bytes(self._pending[:CHUNK_BYTES]), last=False)
            del self._pending[:CHUNK_BYTES]

    def keep(self) -> StoredFile:
        """Make the file durable under its name."""
        self._put(bytes(self._pending), last=True)
        self._object.keep()
        return StoredFile(self.storage_key, self._wrapped_key, self.size_bytes)

    def discard(self) -> None:
        """Leave nothing behind. Harmless after `keep()`."""
        self._object.discard()

    def _put(self, chunk: bytes, *, last: bool) -> None:
        self._object.write(self._cipher.encrypt(_nonce(self._chunks, last=last), chunk, None))
        self._chunks += 1


class VaultReader:
    """An open file. `size_bytes` is the size of the raw bytes; close it, or use it in a `with`."""

    def __init__(self, objects: Objects, stored: StoredFile, cipher: AESGCM) -> None:
        self._objects = objects
        self._key = stored.storage_key
        self._cipher = cipher
        self._size = stored.size_bytes
        self._last = max(0, (stored.size_bytes - 1) // CHUNK_BYTES)
        self._sealed_size = stored.size_bytes + _TAG_BYTES * (self._last + 1)
        self._window: tuple[int, bytes] = (0, b"")  # sealed chunks from this number on
        self._chunk: tuple[int, bytes] = (-1, b"")
        if objects.size(self._key) != self._sealed_size:
            raise damaged("A file in the vault is not as long as it was.")

    def blocks(self) -> Iterator[bytes]:
        """Give the whole file in order."""
        for number in range(self._last + 1):
            yield self._get(number)

    def read(self, offset: int, length: int) -> bytes:
        """Give `length` bytes from `offset`; what lies behind the end is left out."""
        end = min(offset + length, self._size)
        if offset >= end:
            return b""
        first = offset // CHUNK_BYTES
        joined = b"".join(self._get(number) for number in range(first, (end - 1) // CHUNK_BYTES + 1))
        return joined[offset - first * CHUNK_BYTES : end - first * CHUNK_BYTES]

    def close(self) -> None:
        """Forget what was read."""
        self._window, self._chunk = (0, b""), (-1, b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get(self, number: int) -> bytes:
        if self._chunk[0] != number:  # neighbouring claims mostly share a chunk
            sealed = self._sealed(number)
            try:
                opened = self._cipher.decrypt(_nonce(number, last=number == self._last), sealed, None)
            except InvalidTag as error:
                raise damaged(f"Chunk {number} of a file in the vault was changed or moved.") from error
            self._chunk = (number, opened)
        return self._chunk[1]

    def _sealed(self, number: int) -> bytes:
        """Give a sealed chunk; who reads in order gets it from one long read."""
        first, window = self._window
        at = (number - first) * _SEALED_BYTES
        if not 0 <= at < len(window):
            in_order = number == self._chunk[0] + 1
            start = number * _SEALED_BYTES
            length = _SEALED_BYTES * (_CHUNKS_AHEAD if in_order else 1)
            window = self._objects.read(self._key, start, min(length, self._sealed_size - start))
            self._window, at = (number, window), 0
        return window[at : at + _SEALED_BYTES]


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(8, "big") + int(last).to_bytes(4, "big")
