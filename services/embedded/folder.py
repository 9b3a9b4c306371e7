"""
The data folder of one machine: what lies where, who works on it, which secrets it keeps.

    DATA_DIR/
      secrets.json   passwords and the master key, made at the first start; losing it loses the sealed names
      up.json        addresses and development keys, for scripts
      up.lock        held by the `reprieve up` that works here
      drop/local/local/inbound/   files laid here are taken in
      pg/  raw/  files/  logs/
"""

import base64
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shared.errors import ConflictError, UnreadableError

_OWNER_ONLY = 0o600


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """Made once. `master_key` is base64 of 32 bytes; the rest are PostgreSQL passwords."""

    master_key: str
    postgres: str
    owner: str
    ingest: str
    triage: str
    tracker: str

    def __repr__(self) -> str:
        return "<Secrets>"


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths below one folder, absolute."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> "DataFolder":
        """Make the folder where it is missing."""
        folder = cls(path.expanduser().resolve())
        try:
            for each in (folder.path, folder.logs, folder.raw, folder.files, folder.drop / "local" / "local"):
                each.mkdir(parents=True, exist_ok=True)
            folder.raw.chmod(0o700)
            folder.files.chmod(0o700)
            folder.drop.chmod(0o700)
        except OSError as error:
            raise UnreadableError(
                f"{path} cannot be used as a data folder: {error.strerror}.",
                remedy="Name another with --data-dir.",
            ) from error
        return folder

    @property
    def pg(self) -> Path:
        return self.path / "pg"

    @property
    def raw(self) -> Path:
        return self.path / "raw"

    @property
    def files(self) -> Path:
        return self.path / "files"

    @property
    def drop(self) -> Path:
        return self.path / "drop"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def up_file(self) -> Path:
        return self.path / "up.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """
        Keep every other `reprieve up` out until the end. The kernel lets go of it however this process
        ends.
        """
        with (self.path / "up.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise ConflictError(
                    f"Another `reprieve up` (process {lock.read().strip() or '?'}) works on {self.path}.",
                    remedy="Stop that one, or name another folder with --data-dir.",
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def secrets(self) -> Secrets:
        """Read the secrets, or make them at the very first start."""
        path = self.path / "secrets.json"
        if path.exists():
            try:
                return msgspec.json.decode(path.read_bytes(), type=Secrets)
            except msgspec.MsgspecError as error:
                raise UnreadableError(f"{path} is damaged.", remedy="Restore it from a backup.") from error
        if self.pg.exists():
            raise UnreadableError(
                f"{path} is missing, and the database in {self.pg} opens with nothing else.",
                remedy="Restore it from a backup, or start afresh with another --data-dir.",
            )
        made = Secrets(
            master_key=base64.b64encode(secrets.token_bytes(32)).decode(),
            **{
                name: secrets.token_urlsafe(24)
                for name in ("postgres", "owner", "ingest", "triage", "tracker")
            },
        )
        write_private(path, msgspec.json.encode(made))
        return made


def write_private(path: Path, content: bytes) -> None:
    """
    Replace a file in one step, readable by its owner only; after a crash the old or the new one is
    there.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
