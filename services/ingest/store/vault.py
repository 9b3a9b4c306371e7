"""
The vault: raw files as they came, sealed while they stream, readable in any byte range.

A file is cut into chunks of 64 KiB; each is AES-256-GCM under a data key that belongs to this file alone
and is kept, wrapped by the master key, in the receipt's row. The nonce is the chunk's number and whether it
is the last one (the STREAM construction), so a chunk that is changed, moved, dropped or added does not open.

A file appears under its name whole and durable, or not at all.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self
from uuid import uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.clock import now
from shared.errors import InvalidInputError, ReprieveError, UnavailableError, UnreadableError
from shared.security.sealing import MasterKey

CHUNK_BYTES = 64 * 1024
_TAG_BYTES = 16
_SEALED_BYTES = CHUNK_BYTES + _TAG_BYTES
_ABANDONED_SECONDS = 24 * 3600
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_INCOMING = "incoming"


class StorageFullError(UnavailableError):
    """The disk of the vault has no room."""

    status = 507
    slug = "storage-full"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Where a file lies and the key that opens it, wrapped by the master key: a receipt keeps both."""

    storage_key: str
    wrapped_key: bytes
    size_bytes: int


class Vault:
    """A folder of sealed files. All methods block: call them in a thread."""

    def __init__(self, folder: Path, master_key: MasterKey) -> None:
        self._folder = folder
        self._master_key = master_key
        # All sub-folders at once: a file that is acknowledged must not hang on another writer's fresh folder.
        for name in (_INCOMING, *(f"{number:02x}" for number in range(256))):
            (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        _sync(folder)

    def writer(self) -> "VaultWriter":
        """Begin a new file under a generated name."""
        return VaultWriter(self._folder, self._master_key)

    def open(self, stored: StoredFile) -> "VaultReader":
        """
        Open a file.

        Raises UnreadableError when its bytes are not the ones that were kept, InvalidInputError when its key
        is not, and UnavailableError while the disk does not answer.
        """
        key = self._master_key.unwrap(stored.wrapped_key, context=stored.storage_key.encode())
        try:
            file = _place(self._folder, stored.storage_key).open("rb")
        except FileNotFoundError as error:
            raise _damaged(f"The raw file {stored.storage_key} is not in the vault.") from error
        except OSError as error:
            raise _as_unread(error) from error
        return VaultReader(file, AESGCM(key), stored.size_bytes)

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
        for path in (self._folder / _INCOMING).iterdir():
            if path.stat().st_mtime < now().timestamp() - _ABANDONED_SECONDS:
                path.unlink(missing_ok=True)

    def remove(self, storage_key: str) -> None:
        """Take a file away; absent is fine."""
        _place(self._folder, storage_key).unlink(missing_ok=True)


class VaultWriter:
    """
    One file on its way in. Either `keep()` or `discard()` ends it.

    Raises StorageFullError when the disk is full; nothing of the file is left then.
    """

    def __init__(self, folder: Path, master_key: MasterKey) -> None:
        self.storage_key = uuid4().hex
        self.size_bytes = 0
        self._folder = folder
        key = secrets.token_bytes(32)
        self._wrapped_key = master_key.wrap(key, context=self.storage_key.encode())
        self._cipher = AESGCM(key)
        self._path = folder / _INCOMING / self.storage_key
        self._chunks = 0
        self._pending = bytearray()
        try:
            self._file: BinaryIO = self._path.open("xb")
        except OSError as error:
            raise _as_unavailable(error) from error

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
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            place = _place(self._folder, self.storage_key)
            self._path.rename(place)
            _sync(place.parent)
        except OSError as error:
            self.discard()
            raise _as_unavailable(error) from error
        return StoredFile(self.storage_key, self._wrapped_key, self.size_bytes)

    def discard(self) -> None:
        """Leave nothing behind. Harmless after `keep()`."""
        try:
            self._file.close()
        except OSError:  # a full disk refuses the flush, too
            pass
        finally:
            self._path.unlink(missing_ok=True)

    def _put(self, chunk: bytes, *, last: bool) -> None:
        try:
            self._file.write(self._cipher.encrypt(_nonce(self._chunks, last=last), chunk, None))
        except OSError as error:
            self.discard()
            raise _as_unavailable(error) from error
        self._chunks += 1


class VaultReader:
    """An open file. `size_bytes` is the size of the raw bytes; close it, or use it in a `with`."""

    def __init__(self, file: BinaryIO, cipher: AESGCM, size_bytes: int) -> None:
        self._file = file
        self._cipher = cipher
        self._size = size_bytes
        self._last = max(0, (size_bytes - 1) // CHUNK_BYTES)
        self._chunk: tuple[int, bytes] = (-1, b"")
        if os.fstat(file.fileno()).st_size != size_bytes + _TAG_BYTES * (self._last + 1):
            file.close()
            raise _damaged("A raw file in the vault is not as long as its receipt says.")

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
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get(self, number: int) -> bytes:
        if self._chunk[0] != number:  # neighbouring claims mostly share a chunk
            try:
                self._file.seek(number * _SEALED_BYTES)
                sealed = self._file.read(_SEALED_BYTES)
            except OSError as error:
                raise _as_unread(error) from error
            try:
                self._chunk = (
                    number,
                    self._cipher.decrypt(_nonce(number, last=number == self._last), sealed, None),
                )
            except InvalidTag as error:
                raise _damaged(f"Chunk {number} of a raw file in the vault was changed or moved.") from error
        return self._chunk[1]


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(8, "big") + int(last).to_bytes(4, "big")


def _place(folder: Path, storage_key: str) -> Path:
    return folder / storage_key[:2] / storage_key


def _sync(folder: Path) -> None:
    """Make the names in a folder durable: without it a crash can lose the rename."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damaged(message: str) -> UnreadableError:
    return UnreadableError(message, remedy="Restore REPRIEVE_RAW_DIR from its backup.")


def _as_unread(error: OSError) -> ReprieveError:
    if error.errno == errno.EIO:
        return _damaged("The vault's disk cannot read a raw file.")
    return UnavailableError("The vault's disk does not answer.", remedy="It is tried again.")


def _as_unavailable(error: OSError) -> UnavailableError:
    if error.errno in _FULL:
        return StorageFullError(
            "There is no room for the file, and nothing of it was kept.",
            remedy="Free space under REPRIEVE_RAW_DIR, then send the file again.",
        )
    return UnavailableError("The vault's disk does not answer.", remedy="Send the file again later.")
