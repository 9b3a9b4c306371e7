"""
Where sealed files lie: a local folder or an object store, reached through the same calls of obstore.

An object appears under its key whole and durable, or not at all. An object store promises that itself. A
folder gets it here, because obstore does not sync: what is complete is synced in `incoming/`, then renamed.

An object store's credentials come from its own variables (AWS_ACCESS_KEY_ID, GOOGLE_SERVICE_ACCOUNT,
AZURE_STORAGE_ACCOUNT_NAME …).
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from typing import TYPE_CHECKING, cast

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, LocalStore, ObjectStore, S3Store

from shared.clock import now
from shared.errors import InvalidInputError, ReprieveError, UnavailableError, UnreadableError

if TYPE_CHECKING:  # obstore has these for type checkers only
    from obstore.store import ClientConfig, RetryConfig

_INCOMING = "incoming"
_ABANDONED_SECONDS = 24 * 3600
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ERRNO = re.compile(r"\(os error (\d+)\)")

# A file of at most one part is put in one request. S3 takes no parts below 5 MiB but the last.
_PART_BYTES_IN_FOLDER = 256 * 1024
_PART_BYTES = 5 * 1024 * 1024
_PARTS_AT_ONCE = 2
_LOOK_SECONDS = 0.2

_RETRY: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
_TIMEOUT = "60s"
_CONNECT_TIMEOUT = "5s"


class StorageFullError(UnavailableError):
    """The disk of the vault has no room."""

    status = 507
    slug = "storage-full"


class Objects:
    """Objects by key. All methods block: call them in a thread."""

    def __init__(self, where: Path | str) -> None:
        """
        Open a folder, or what a URL names (file:///…, s3://bucket/prefix, gs://…, az://…).

        Raises InvalidInputError.
        """
        if isinstance(where, str) and where.startswith("file://"):
            where = Path(where.removeprefix("file://"))
        if isinstance(where, Path):
            self.folder: Path | None = where
            self.part_bytes, self.parts_at_once = _PART_BYTES_IN_FOLDER, 1
            # All at once: a file that is acknowledged must not hang on another writer's fresh folder.
            for name in (_INCOMING, *(f"{number:02x}" for number in range(256))):
                (where / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            _sync(where)
            self.store: ObjectStore = LocalStore(where.absolute())
        else:
            self.folder = None
            self.part_bytes, self.parts_at_once = _PART_BYTES, _PARTS_AT_ONCE
            self.store = _remote(where)

    def writer(self, key: str) -> "ObjectWriter":
        """Begin a new object."""
        return ObjectWriter(self, key)

    def size(self, key: str) -> int:
        """Give an object's size in bytes. Raises as `read` does."""
        with _reading(key):
            return int(obstore.head(self.store, place(key))["size"])

    def read(self, key: str, offset: int, length: int) -> bytes:
        """
        Give this range of an object, which must lie inside of it.

        Raises UnreadableError when there is no such object or its disk cannot read it, and UnavailableError
        while the store does not answer.
        """
        with _reading(key):
            return bytes(obstore.get_range(self.store, place(key), start=offset, length=length))

    def remove(self, key: str) -> None:
        """Take an object away; absent is fine."""
        with _reading(key):
            try:
                obstore.delete(self.store, place(key))
            except FileNotFoundError:
                return

    def sweep(self) -> None:
        """
        Take away what crashed uploads left in a folder a day ago or earlier.

        In an object store a rule for incomplete multipart uploads does that.
        """
        if self.folder is None:
            return
        for path in (self.folder / _INCOMING).iterdir():
            if path.stat().st_mtime < now().timestamp() - _ABANDONED_SECONDS:
                path.unlink(missing_ok=True)

    def put(self, key: str, content: bytes | Iterator[bytes]) -> None:
        """Write an object; when `content` raises, nothing of it is left."""
        arriving = place(key) if self.folder is None else f"{_INCOMING}/{key}"
        with _writing():
            obstore.put(
                self.store,
                arriving,
                content,
                use_multipart=not isinstance(content, bytes),
                chunk_size=self.part_bytes,
                max_concurrency=self.parts_at_once,
            )
            if self.folder is not None:
                self._make_durable(self.folder / arriving, self.folder / place(key))

    def _make_durable(self, arrived: Path, kept: Path) -> None:
        try:
            _sync(arrived)
            arrived.rename(kept)
            _sync(kept.parent)
        except BaseException:
            arrived.unlink(missing_ok=True)
            kept.unlink(missing_ok=True)
            raise


class ObjectWriter:
    """
    One object on its way in. Either `keep()` or `discard()` ends it.

    What is longer than a part goes out while it comes in, from a thread of its own; memory stays at a few
    parts. Raises StorageFullError or UnavailableError; nothing of the object is left then.
    """

    def __init__(self, objects: Objects, key: str) -> None:
        self._objects = objects
        self._key = key
        self._gathered = bytearray()
        self._queue: Queue[bytes | _End] = Queue(maxsize=1)
        self._failure: BaseException | None = None
        self._sending: Thread | None = None

    def write(self, block: bytes) -> None:
        self._gathered += block
        if len(self._gathered) >= self._objects.part_bytes:
            self._send(bytes(self._gathered))
            self._gathered.clear()

    def keep(self) -> None:
        """Make the object durable under its key."""
        if self._sending is None:
            self._objects.put(self._key, bytes(self._gathered))
            return
        self._send(bytes(self._gathered))
        self._finish(_End(keep=True))

    def discard(self) -> None:
        """Leave nothing behind. Harmless after `keep()`."""
        self._gathered.clear()
        if self._sending is not None:
            try:
                self._finish(_End(keep=False))
            except (_DiscardedError, ReprieveError):
                return

    def _send(self, block: "bytes | _End") -> None:
        if self._sending is None:
            self._sending = Thread(target=self._run, name="object writer", daemon=True)
            self._sending.start()
        while True:
            try:
                self._queue.put(block, timeout=_LOOK_SECONDS)
            except Full:
                if self._sending.is_alive():
                    continue
            if self._failure is not None:
                raise self._failure
            return

    def _finish(self, end: "_End") -> None:
        sending = cast("Thread", self._sending)
        if sending.is_alive():
            self._send(end)
        sending.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._objects.put(self._key, self._blocks())
        except BaseException as error:  # noqa: BLE001  it is raised where the object is written
            self._failure = error

    def _blocks(self) -> Iterator[bytes]:
        while not isinstance(block := self._queue.get(), _End):
            if block:
                yield block
        if not block.keep:
            raise _DiscardedError


class _End:
    def __init__(self, *, keep: bool) -> None:
        self.keep = keep


class _DiscardedError(Exception):
    """The upload is given up on purpose: obstore aborts it when its content raises."""


def place(key: str) -> str:
    """Give the path of an object below its folder or prefix."""
    return f"{key[:2]}/{key}"


def _remote(url: str) -> ObjectStore:
    scheme = url.partition("://")[0]
    if scheme not in _REMOTE:
        raise InvalidInputError(
            "REPRIEVE_RAW_URL or REPRIEVE_FILES_URL is no place that files can be kept in.",
            remedy="Use file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.",
        )
    store, variables = _REMOTE[scheme]
    client: ClientConfig = {
        "timeout": _TIMEOUT,
        "connect_timeout": _CONNECT_TIMEOUT,
        # One of the store's own variables, which obstore forgets as soon as it is given any option.
        "allow_http": os.environ.get(f"{variables}_ALLOW_HTTP", "").lower() == "true",
    }
    try:
        return store.from_url(url, client_options=client, retry_config=_RETRY)
    except (BaseError, ValueError) as error:
        raise InvalidInputError(
            "The object store of the files cannot be set up.",
            remedy=f"Check the URL and the {variables}_… variables.",
        ) from error


_REMOTE: dict[str, tuple[type[S3Store | GCSStore | AzureStore], str]] = {
    "s3": (S3Store, "AWS"),
    "gs": (GCSStore, "GOOGLE"),
    "az": (AzureStore, "AZURE"),
}
"""By the URL's scheme: the store, and how the names of its own variables begin."""


def _sync(path: Path) -> None:
    """Make a file's content, or a folder's names, durable: without it a crash can lose the rename."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _reading(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise damaged(f"The file {key} is not in the vault.") from error
    except (BaseError, OSError) as error:
        if _errno(error) == errno.EIO:
            raise damaged("The vault's disk cannot read a file.") from error
        raise _unavailable(error) from error


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        if _errno(error) in _FULL:
            raise StorageFullError(
                "There is no room for the file, and nothing of it was kept.",
                remedy="Free space where files are kept, then send the file again.",
            ) from error
        raise _unavailable(error) from error


def damaged(message: str) -> UnreadableError:
    return UnreadableError(message, remedy="Restore the kept files from their backup.")


def _unavailable(error: Exception) -> UnavailableError:
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return UnavailableError(
            "The store of the files refuses our credentials.",
            remedy="Check the store's credentials and their rights; it is tried again.",
        )
    return UnavailableError("The store of the files does not answer.", remedy="It is tried again.")


def _errno(error: Exception) -> int | None:
    """Find the system's error number; obstore has it in its texts only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _ERRNO.search(str(error))
    return int(found[1]) if found else None
