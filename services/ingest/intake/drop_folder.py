"""
One feed's drop folder, as a file system: what waits in it, and the moves of a file through it.

    inbound/  processing/  archive/YYYY/MM/  rejected/  acks/

Whoever uploads may write here, so nothing is trusted: folders are opened without following links and used by
their descriptors, every move is a rename between two of them, and names are made here. A file's place and
name are the whole memory: `processing/` holds `<moment>-<token>-<name>` until the file has a receipt, then
`<receipt>~<look>~<moment>-<token>-<name>` until it has been read. A crash between two moves
repeats one of them, and the same bytes give the same receipt; so renames need not be made durable.
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from typing import Self
from uuid import UUID

MARKERS = (".complete", ".done")
PARTIAL = (".tmp", ".part", ".partial", ".filepart")
WHY = ".why.json"

_FOLDERS = ("inbound", "processing", "archive", "rejected", "acks")
_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER_MODE = 0o770
_FILE_MODE = 0o640
_KEPT_LENGTH = 80  # of the sender's name
_STAMP = "%Y%m%dT%H%M%SZ"
_GENERATED = re.compile(
    r"(?:(?P<receipt>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})~(?:(?P<look>[0-9a-f]{16})~)?)?"
    r"(?P<moment>\d{8}T\d{6}Z)-[0-9a-f]{8}-[\w.-]+",
    re.ASCII,
)
_ARRIVING = re.compile(r"\.[0-9a-f]{16}(?:\.[0-9a-f]{8})?\.part")


@dataclass(frozen=True, slots=True)
class Look:
    """What a file looks like from outside: as long as this changes, somebody is writing."""

    size_bytes: int
    modified_ns: int
    inode: int
    is_plain: bool

    @classmethod
    def of(cls, found: os.stat_result) -> "Look":
        # A second name of a file may lie where others cannot reach it: such a file is not the sender's.
        plain = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
        return cls(found.st_size, found.st_mtime_ns, found.st_ino, plain)

    @property
    def mark(self) -> str:
        """Sixteen digits for a name: another look has others."""
        text = f"{self.size_bytes}/{self.modified_ns}/{self.inode}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class InProcessing:
    """
    A file that was taken; `receipt_id` once it has one, `read_as` how it looked when that was given.

    What is not ours, somebody laid there.
    """

    name: str
    look: Look
    receipt_id: UUID | None
    read_as: str | None
    is_ours: bool

    @property
    def was_written_to(self) -> bool:
        """Tell whether it holds something else than its receipt stands for."""
        return self.read_as is not None and self.read_as != self.look.mark


class ChangedError(Exception):
    """A file is not what it was: somebody wrote to it or took it away. What was read counts for nothing."""


class DropFolder:
    """
    An open drop folder. All methods block; OSError means that the folder itself does not work.

    A file that is not there any more was moved by another worker: the methods pass over it.
    """

    def __init__(self, root: int, submitter: str, feed: str) -> None:
        """Open `<submitter>/<feed>` below the folder with descriptor `root`; make what is missing in it."""
        with contextlib.ExitStack() as opened:
            outer = _enter(opened, submitter, root)
            feed_folder = _enter(opened, feed, outer)
            for name in _FOLDERS:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, _FOLDER_MODE, dir_fd=feed_folder)
            self._at = {name: _enter(opened, name, feed_folder) for name in _FOLDERS}
            self._opened = opened.pop_all()

    def close(self) -> None:
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def inbound(self) -> tuple[dict[str, Look], frozenset[str]]:
        """Give what lies in inbound/, without partial files; and the names that have a marker."""
        found: dict[str, Look] = {}
        marked: set[str] = set()
        for name, look in self._list("inbound"):
            if _is_marker(name, look):
                marked.add(name.rpartition(".")[0])
            elif not name.startswith(".") and not name.lower().endswith(PARTIAL):
                found[name] = look
        return found, frozenset(marked & found.keys())

    def subfolders(self) -> int:
        """Count the folders in inbound/: nothing is taken from them."""
        with os.scandir(self._at["inbound"]) as entries:
            return sum(one.is_dir(follow_symlinks=False) and not one.name.startswith(".") for one in entries)

    def processing(self) -> list[InProcessing]:
        """Give what was taken and not put away, oldest first."""
        return sorted(
            (_in_processing(*one) for one in self._list("processing") if not one[0].startswith(".")),
            key=lambda one: one.name.rpartition("~")[2],
        )

    def take(self, folder: str, name: str, now: datetime) -> str:
        """Move a file of this folder to processing/ under a generated name, and give that."""
        sent = sent_name(name) if folder == "processing" and _GENERATED.fullmatch(name) else name
        taken = f"{now.astimezone(UTC):{_STAMP}}-{secrets.token_hex(4)}-{safe_name(sent)}"
        self._move((folder, name), ("processing", taken))
        for marker in MARKERS:
            if (look := self._look(folder, name + marker)) and _is_marker(name + marker, look):
                self._remove(folder, name + marker)
        return taken

    def drop_lone_markers(self, before: float) -> None:
        """Remove markers older than `before` (seconds) whose file is gone: they would meet the next one."""
        for name, look in self._list("inbound"):
            is_old = _is_marker(name, look) and look.modified_ns < before * 1e9
            if is_old and self._look("inbound", name.rpartition(".")[0]) is None:
                self._remove("inbound", name)

    def arriving(self, token: str) -> FileIO:
        """Open the hidden file of this token in inbound/, unbuffered, to write on where it ends."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(_arriving(token), flags, _FILE_MODE, dir_fd=self._at["inbound"])
        return os.fdopen(descriptor, "r+b", buffering=0)

    def arrived(self, token: str, file: FileIO, *, named: str, size_bytes: int) -> None:
        """
        Let the open file that arrived whole be one that was dropped complete, and durably so.

        Raises ChangedError when the token's file is another one by now, or not of this size: another worker
        believes to fetch the feed, and abandoned this file or begun it anew.
        """
        os.fsync(file.fileno())
        written = os.fstat(file.fileno())
        self._require("inbound", _arriving(token), written, size_bytes)
        # Nobody else knows this name: what is looked at under it is what is renamed afterwards.
        settled = f".{token}.{secrets.token_hex(4)}.part"
        self._move(("inbound", _arriving(token)), ("inbound", settled))
        self._require("inbound", settled, written, size_bytes)
        self.write("inbound", named + MARKERS[0], b"")
        try:
            os.rename(settled, named, src_dir_fd=self._at["inbound"], dst_dir_fd=self._at["inbound"])
        except FileNotFoundError as error:
            raise ChangedError from error
        os.fsync(self._at["inbound"])

    def abandon(self, token: str) -> None:
        """Forget what arrived under a token."""
        self._remove("inbound", _arriving(token))

    def abandon_others(self, tokens: Collection[str]) -> None:
        """Forget what arrived in part under other tokens than these."""
        kept = {_arriving(token) for token in tokens}
        for name in _names_in(self._at["inbound"]):
            if _ARRIVING.fullmatch(name) and name not in kept:
                self._remove("inbound", name)

    def open(self, name: str) -> int:
        """
        Open a file of processing/ for reading; gives its descriptor.

        Raises FileNotFoundError, PermissionError, and ChangedError when it became something else.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, dir_fd=self._at["processing"])
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ChangedError from error
            raise
        if not Look.of(os.fstat(descriptor)).is_plain:
            os.close(descriptor)
            raise ChangedError
        return descriptor

    def give_receipt(self, name: str, receipt_id: UUID, look: Look) -> None:
        """Write into a file's name that it is durable elsewhere, as it looked when it was read."""
        self._move(("processing", name), ("processing", f"{receipt_id}~{look.mark}~{name}"))

    def archive(self, name: str, now: datetime) -> None:
        """Put a file that was read into archive/YYYY/MM/."""
        with contextlib.ExitStack() as opened:
            month = self._at["archive"]
            for part in (f"{now.astimezone(UTC):%Y}", f"{now.astimezone(UTC):%m}"):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, _FOLDER_MODE, dir_fd=month)
                month = _enter(opened, part, month)
            with contextlib.suppress(FileNotFoundError):
                os.rename(name, _final(name), src_dir_fd=self._at["processing"], dst_dir_fd=month)

    def reject(self, name: str, why: bytes) -> None:
        """Put a file into rejected/, after the note on what is wrong with it; a link is only taken away."""
        if self._look("processing", name) is None:
            return
        self.write("rejected", _final(name) + WHY, why)
        if stat.S_ISREG(os.lstat(name, dir_fd=self._at["processing"]).st_mode):
            self._move(("processing", name), ("rejected", _final(name)))
        else:
            self._remove("processing", name)

    def write(self, folder: str, name: str, content: bytes) -> None:
        """Let a small file appear under its name whole, instead of an older one."""
        fresh = f".{name}.{secrets.token_hex(4)}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(fresh, flags, _FILE_MODE, dir_fd=self._at[folder]), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(fresh, name, src_dir_fd=self._at[folder], dst_dir_fd=self._at[folder])

    def forget(self, before: datetime) -> int:
        """Delete what was put into archive/ and rejected/ before this; gives the number of files."""
        last = f"{before.astimezone(UTC):{_STAMP}}"
        count = _forget_in(self._at["rejected"], last)
        for year in _folders_in(self._at["archive"]):
            with contextlib.ExitStack() as opened:
                of_year = _enter(opened, year, self._at["archive"])
                for month in _folders_in(of_year):
                    count += _forget_in(_enter(opened, month, of_year), last)
        return count

    def _list(self, folder: str) -> Iterator[tuple[str, Look]]:
        for name in _names_in(self._at[folder]):
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(name, dir_fd=self._at[folder])
                if not stat.S_ISDIR(found.st_mode):
                    yield name, Look.of(found)

    def _look(self, folder: str, name: str) -> Look | None:
        try:
            return Look.of(os.lstat(name, dir_fd=self._at[folder]))
        except OSError as error:
            # A marker's name may be longer than the file system allows: then there is none.
            if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
                return None
            raise

    def _require(self, folder: str, name: str, written: os.stat_result, size_bytes: int) -> None:
        look = self._look(folder, name)
        if look is None or (look.inode, look.size_bytes) != (written.st_ino, size_bytes):
            raise ChangedError

    def _move(self, source: tuple[str, str], target: tuple[str, str]) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.rename(source[1], target[1], src_dir_fd=self._at[source[0]], dst_dir_fd=self._at[target[0]])

    def _remove(self, folder: str, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._at[folder])


def read_unchanged(descriptor: int, block_bytes: int) -> Iterator[bytes]:
    """Give a file's bytes; raises ChangedError at its end when somebody wrote to it meanwhile."""
    before = Look.of(os.fstat(descriptor))
    while block := os.read(descriptor, block_bytes):
        yield block
    if Look.of(os.fstat(descriptor)) != before:
        raise ChangedError


def safe_name(name: str) -> str:
    """Give what of a sender's name may stand in ours: letters, digits, dots, hyphens and underscores."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[-_KEPT_LENGTH:].lstrip("._-")
    return cleaned or "file"


def arrived_name(token: str, name: str) -> str:
    """Give the name in inbound/ of what was fetched: never a marker's, whatever it is called over there."""
    named = f"{token}-{safe_name(name)}"
    return f"{named}_" if named.endswith(MARKERS) else named


def sent_name(name: str) -> str:
    """Give the sender's part of a generated name."""
    return _final(name).split("-", 2)[-1]


def _is_marker(name: str, look: Look) -> bool:
    """Tell a marker from a file that is called like one: markers are empty."""
    return name.endswith(MARKERS) and look.is_plain and look.size_bytes == 0


def _arriving(token: str) -> str:
    return f".{token}.part"


def _enter(opened: contextlib.ExitStack, name: str, folder: int) -> int:
    descriptor = os.open(name, _STEP, dir_fd=folder)
    opened.callback(os.close, descriptor)
    return descriptor


def _in_processing(name: str, look: Look) -> InProcessing:
    found = _GENERATED.fullmatch(name)
    if found is None:
        return InProcessing(name, look, None, None, is_ours=False)
    receipt_id = UUID(found["receipt"]) if found["receipt"] else None
    return InProcessing(name, look, receipt_id, found["look"], is_ours=True)


def _final(name: str) -> str:
    """Give the name for archive/ and rejected/ of a file in processing/."""
    return name.rpartition("~")[2]


def _names_in(folder: int) -> list[str]:
    return os.listdir(folder)


def _folders_in(folder: int) -> list[str]:
    return [name for name in _names_in(folder) if name.isdecimal()]


def _forget_in(folder: int, last: str) -> int:
    """Delete the generated names that are older than the moment `last`, or were half written."""
    count = 0
    for name in _names_in(folder):
        found = _GENERATED.fullmatch(name.removeprefix("."))
        if found and found["moment"] < last:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
                count += 1
    return count
