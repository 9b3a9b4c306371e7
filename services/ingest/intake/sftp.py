"""
One session with an SFTP server: who it is, what lies there, fetch it, put it away.

The server is spoken to only when it shows the pinned host key. Its names are its own: they are used to ask
for its files, and nothing here is called by them.
"""

import asyncio
import fnmatch
import hashlib
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from io import FileIO
from typing import cast

import asyncssh

from services.ingest.intake.drop_folder import PARTIAL
from services.ingest.store.sftp_pulls import SecretKind, SftpPlace
from shared.errors import InvalidInputError, UnavailableError

_CONNECT_SECONDS = 20
_SILENCE_SECONDS = 20  # of a server that does not even answer a keep-alive, three times
_BLOCK_BYTES = 1024 * 1024  # asked for in many requests at once
_BLOCK_SECONDS = 60
_LISTED_FILES = 50_000


class SftpError(UnavailableError):
    """Fetching failed; `code` says how, in a word that metrics and `GET /v1/feeds` may show."""

    def __init__(self, code: str, message: str, *, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code


class RemoteChangedError(Exception):
    """A file changed while it was fetched: it is fetched at the next look."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file over there; `modified_at` in seconds, as the server's clock has it, where the server tells."""

    name: str
    size_bytes: int
    modified_at: int | None

    @property
    def fingerprint(self) -> bytes:
        """The same as long as name, size and time are."""
        text = f"{self.size_bytes}/{self.modified_at}/{self.name}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()

    def fingerprint_of_content(self, digest: bytes) -> bytes:
        """The same as long as name and content are: where there is no time, size and name prove nothing."""
        return hashlib.sha256(digest + self.name.encode("utf-8", "surrogateescape")).digest()


@contextmanager
def own_disk() -> Iterator[None]:
    """Tell the failures of our own drop folder from those of the server."""
    try:
        yield
    except OSError as error:
        raise SftpError(
            "drop_folder_fails",
            "What was fetched cannot be written to the feed's drop folder.",
            remedy="Check its free space and rights. It is tried again.",
        ) from error


@asynccontextmanager
async def open_sftp(place: SftpPlace, kind: SecretKind, secret: bytes) -> AsyncIterator["SftpSession"]:
    """Log in. Raises SftpError, also for whatever goes wrong with the connection inside the block."""
    try:
        async with (
            asyncssh.connect(
                place.host,
                place.port,
                username=place.user_name,
                password=secret.decode() if kind == "password" else None,
                client_keys=[read_private_key(secret)] if kind == "key" else None,
                known_hosts=([read_host_key(place.host_key)], [], []),
                agent_path=None,
                config=None,
                gss_host=None,
                connect_timeout=_CONNECT_SECONDS,
                login_timeout=_CONNECT_SECONDS,
                keepalive_interval=_SILENCE_SECONDS,
                keepalive_count_max=3,
            ) as connection,
            connection.start_sftp_client(path_errors="surrogateescape") as client,
        ):
            yield SftpSession(client, place)
    except (asyncssh.Error, OSError, TimeoutError) as error:
        raise explain(error) from error


class SftpSession:
    """An open session in the folder of its place."""

    def __init__(self, client: asyncssh.SFTPClient, place: SftpPlace) -> None:
        self._client = client
        self._place = place

    async def list(self) -> list[RemoteFile]:
        """
        Give the plain files that the pattern names, without partial and hidden ones, oldest first.

        Raises SftpError when there are too many entries to look at all of them.
        """
        found: list[RemoteFile] = []
        seen = 0
        async for entry in self._client.scandir(self._place.folder):
            seen += 1
            if seen > _LISTED_FILES:
                raise SftpError(
                    "too_many_files",
                    f"The folder over there has more than {_LISTED_FILES} entries.",
                    remedy="Have files moved or deleted after fetching, or fetch from another folder.",
                )
            if (file := self._file(str(entry.filename), entry.attrs)) is not None:
                found.append(file)
        return sorted(found, key=lambda one: (one.modified_at or 0, one.name))

    async def fetch(self, remote: RemoteFile, into: FileIO) -> None:
        """
        Write a file's bytes to `into`, from where that ends; it may hold the beginning from an earlier try.

        Raises RemoteChangedError when the file is not what it was when it was listed.
        """
        with own_disk():
            offset = into.seek(0, 2)
        async with self._client.open(self._path(remote.name), "rb") as file:
            while offset < remote.size_bytes:
                async with asyncio.timeout(_BLOCK_SECONDS):
                    block = await file.read(min(_BLOCK_BYTES, remote.size_bytes - offset), offset)
                if not block:
                    raise RemoteChangedError
                with own_disk():
                    _write_all(into, cast("bytes", block))
                offset += len(block)
            attributes = await file.stat()
        if offset != remote.size_bytes or self._file(remote.name, attributes) != remote:
            raise RemoteChangedError

    async def put_away(self, remote: RemoteFile) -> bool:
        """
        Move or delete a file that was fetched, as the place wants it; False when the server forbids it.

        What is not the file any more that was listed stays: it was not fetched yet.
        """
        if self._place.afterwards == "keep":
            return True
        try:
            if self._file(remote.name, await self._client.lstat(self._path(remote.name))) != remote:
                return True
            if self._place.afterwards == "delete":
                await self._client.remove(self._path(remote.name))
            else:
                await self._move(remote)
        except asyncssh.SFTPNoSuchFile:
            return True  # somebody was faster
        except (asyncssh.SFTPPermissionDenied, asyncssh.SFTPFailure, asyncssh.SFTPOpUnsupported):
            return False
        return True

    async def _move(self, remote: RemoteFile) -> None:
        folder = f"{self._place.folder}/{self._place.done_folder}"
        if not await self._client.isdir(folder):
            await self._client.mkdir(folder)
        await self._client.rename(self._path(remote.name), await self._free_name(folder, remote))

    async def _free_name(self, folder: str, remote: RemoteFile) -> str:
        wanted = f"{folder}/{remote.name}"
        if not await self._client.exists(wanted):
            return wanted
        return f"{wanted}.{remote.fingerprint.hex()[:12]}"

    def _path(self, name: str) -> str:
        return f"{self._place.folder}/{name}"

    def _file(self, name: str, attributes: asyncssh.SFTPAttrs) -> RemoteFile | None:
        plain = attributes.permissions is not None and stat.S_ISREG(attributes.permissions)
        if not plain and attributes.type != asyncssh.FILEXFER_TYPE_REGULAR:
            return None
        if name.startswith(".") or "/" in name or name.lower().endswith(PARTIAL):
            return None
        if not fnmatch.fnmatchcase(name, self._place.pattern):
            return None
        return RemoteFile(
            name, int(attributes.size or 0), int(attributes.mtime) if attributes.mtime else None
        )


def _write_all(into: FileIO, block: bytes) -> None:
    left = memoryview(block)
    while left:  # a file without buffer may take less than it is given
        left = left[into.write(left) :]


def read_host_key(line: str) -> asyncssh.SSHKey:
    """Read one line of OpenSSH's public key format. Raises InvalidInputError."""
    try:
        return asyncssh.import_public_key(line)
    except (asyncssh.KeyImportError, ValueError) as error:
        raise InvalidInputError(
            "This is no public host key.",
            remedy="`reprieve feeds sftp host-key HOST` shows it; compare it with the sender's word.",
        ) from error


def read_private_key(secret: bytes) -> asyncssh.SSHKey:
    """Read a private key without passphrase. Raises InvalidInputError, which shows nothing of it."""
    try:
        return asyncssh.import_private_key(secret)
    except (asyncssh.KeyImportError, ValueError):
        raise InvalidInputError(
            "This is no private key that can be read without a passphrase.",
            remedy="Take the passphrase off a copy with `ssh-keygen -p`; the key is sealed when it is kept.",
        ) from None


def explain(error: Exception) -> SftpError:
    """Say in our words what a session died of."""
    match error:
        case asyncssh.HostKeyNotVerifiable() | asyncssh.KeyExchangeFailed():
            return SftpError(
                "host_key_changed",
                "The SFTP server shows another host key than the pinned one, and was not spoken to.",
                remedy="Ask the sender whether it changed its key; if so, pin the new one.",
            )
        case asyncssh.PermissionDenied():
            return SftpError(
                "login_refused", "The SFTP server refuses the login.", remedy="Check the user and the secret."
            )
        case asyncssh.SFTPNoSuchFile() | asyncssh.SFTPNoSuchPath() | asyncssh.SFTPPermissionDenied():
            return SftpError(
                "folder_refused",
                "The SFTP server has no such folder, or does not let us in.",
                remedy="Check the folder and its rights.",
            )
        case asyncssh.SFTPError() | asyncssh.DisconnectError() | TimeoutError():
            return SftpError(
                "broken_off", "The session with the SFTP server broke off.", remedy="It is tried again."
            )
    return SftpError("unreachable", "The SFTP server does not answer.", remedy="It is tried again.")
