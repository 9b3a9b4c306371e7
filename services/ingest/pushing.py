"""Sending files to a running ingest: several at a time, each patiently, and none that is there already."""

import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import httpx2
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from services.ingest.named_files import STANDARD_INPUT
from services.ingest.packing import Body, Packing, pack
from shared.errors import DeniedError, InvalidInputError, UnauthenticatedError, UnavailableError
from shared.http.client import raise_for_problem
from shared.terminal import counted

_POLL_SECONDS = 0.3
_POLL_SECONDS_MAX = 3.0
_ATTEMPTS = 4
_RETRY_SECONDS_MAX = 60.0
_NAME_CHARACTERS_MAX = 255
_ASKED_AT_ONCE = 500
_OPEN_STATES = {"received", "processing"}


@dataclass(frozen=True, slots=True)
class Pushed:
    """A file and the receipt that ingest gave for it."""

    name: str
    receipt: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NotPushed:
    """A file that has no receipt: it could not be read here (`unreadable`), or ingest did not take it."""

    name: str
    message: str
    remedy: str
    unreadable: bool = False


Outcome = Pushed | NotPushed


class Pusher:
    """Sends files through one feed, several at a time. `again`: send what is there already, too."""

    def __init__(
        self, client: httpx2.Client, *, feed: str, packing: Packing, connections: int = 4, again: bool = False
    ) -> None:
        self._client = client
        self._feed = feed
        self._packing = packing
        self._connections = connections
        self._again = again

    def push_all(self, files: Sequence[Path]) -> Iterator[Outcome]:
        """
        Send every file; outcomes come in their order.

        One that is bad by itself costs no other; who has no right to push sends none.
        """
        with _progress() as progress:
            bar = progress.add_task(counted(len(files), "file"), total=sum(map(_size, files)) or None)
            with ThreadPoolExecutor(self._connections) as pool:
                try:
                    for start in range(0, len(files), _ASKED_AT_ONCE):
                        part = files[start : start + _ASKED_AT_ONCE]
                        known = {} if self._again else self._known(part, pool)
                        outcomes = pool.map(partial(self._one, known=known), part)
                        for path, outcome in zip(part, outcomes, strict=True):
                            progress.advance(bar, _size(path))
                            yield outcome
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise

    def _known(self, files: Sequence[Path], pool: ThreadPoolExecutor) -> dict[str, dict[str, Any]]:
        """Ask which of these files are there; so a push that was interrupted goes on where it stopped."""
        hashes = [one for one in pool.map(_sha256, files) if one]
        found = receipts_of(self._client, hashes, feed=self._feed) if hashes else []
        return {receipt["sha256"]: receipt for receipt in found if not _helps_again(receipt)}

    def _one(self, path: Path, *, known: dict[str, dict[str, Any]]) -> Outcome:
        name = _printable(str(path))
        try:
            if (sha256 := _sha256(path) if known else None) in known:
                return Pushed(name, {**known[str(sha256)], "duplicate": True})
            return Pushed(name, self._push(path))
        except OSError as error:
            why = error.strerror or "It cannot be read"
            return NotPushed(name, f"{why}.", "Name an 835 file that you may read.", unreadable=True)
        except _EmptyError:
            remedy = "Fetch it again from its sender."
            return NotPushed(name, "It is empty: 0 bytes.", remedy, unreadable=True)
        except (DeniedError, UnauthenticatedError):
            raise
        except InvalidInputError as error:
            return NotPushed(name, error.message, error.remedy or "`reprieve validate` may tell more.")

    def _push(self, path: Path) -> dict[str, Any]:
        """Repeat what did not arrive: ingest gives the same receipt for the same bytes."""
        with _opened(path) as file:
            status = os.fstat(file.fileno())
            # A pipe is sent in chunks and once: what went through it does not come again.
            size = status.st_size if stat.S_ISREG(status.st_mode) else None
            if size == 0:
                raise _EmptyError
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    return self._send(path, pack(file, size, self._packing))
                except UnavailableError as error:
                    if attempt == _ATTEMPTS or size is None:
                        raise
                    time.sleep(min(_told_seconds(error) or 2**attempt / 4, _RETRY_SECONDS_MAX))
        raise AssertionError("the last attempt returns or raises")

    def _send(self, path: Path, body: Body) -> dict[str, Any]:
        name = (
            {} if str(path) == STANDARD_INPUT else {"file_name": _printable(path.name)[:_NAME_CHARACTERS_MAX]}
        )
        answer = self._client.post(
            "/v1/remittances",
            params={"feed": self._feed, **name},
            headers={"Content-Type": "application/edi-x12", **body.headers},
            content=body.blocks,
        )
        receipt: dict[str, Any] = raise_for_problem(answer).json()
        return receipt


def _told_seconds(error: UnavailableError) -> float:
    """Give how long ingest asks to wait; 0 where it said nothing, because it does not answer at all."""
    return float(vars(error).get("retry_after_seconds", 0))


class _EmptyError(Exception):
    """There is nothing to send."""


@contextmanager
def _progress() -> Iterator[Progress]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        yield progress


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if str(path) == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    with path.open("rb") as file:
        yield file


def _size(path: Path) -> int:
    """Give a plain file's size, 0 for what has none or cannot be read."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _sha256(path: Path) -> str | None:
    """Hash a plain file; None for a pipe, and for what cannot be read: sending it tells why."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _helps_again(receipt: dict[str, Any]) -> bool:
    """Tell whether sending again may mend something: the reader failed, or is still at it."""
    return bool(receipt["status"] == "processing" or receipt["refused_reason"] == "defect")


def _printable(name: str) -> str:
    """Write a name so that it can stand in a URL and on a screen: file systems allow any byte in it."""
    return "".join(one if one.isprintable() else "?" for one in name)


def receipts_of(
    client: httpx2.Client, hashes: Sequence[str], *, feed: str | None = None
) -> list[dict[str, Any]]:
    """Give the receipts of those of the hashes that ingest knows; `feed` counts them as its traffic."""
    found: list[dict[str, Any]] = []
    for start in range(0, len(hashes), _ASKED_AT_ONCE):
        asked: dict[str, Any] = {"sha256": list(hashes[start : start + _ASKED_AT_ONCE])}
        if feed is not None:
            asked["feed"] = feed
        found += raise_for_problem(client.post("/v1/remittances/known", json=asked)).json()["data"]
    return found


def wait_until_read(client: httpx2.Client, pushed: Sequence[Pushed], *, seconds: float) -> list[Pushed]:
    """Ask until no file waits any more. Raises UnavailableError when the time is over before."""
    deadline = time.monotonic() + seconds
    pause = _POLL_SECONDS
    while time.monotonic() < deadline:
        waiting = [one.receipt["sha256"] for one in pushed if one.receipt["status"] in _OPEN_STATES]
        if not waiting:
            return list(pushed)
        now = {receipt["sha256"]: receipt for receipt in receipts_of(client, waiting)}
        pushed = [Pushed(one.name, {**one.receipt, **now.get(one.receipt["sha256"], {})}) for one in pushed]
        time.sleep(pause)
        pause = min(pause * 1.2, _POLL_SECONDS_MAX)
    raise UnavailableError(
        f"Not every file was read within {seconds:g} seconds.", remedy="Is ingest-worker running? Push again."
    )
