"""Sending files to a running ingest: one after the other, each patiently, and what became of each."""

import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import httpx2
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from shared.errors import DeniedError, InvalidInputError, UnauthenticatedError, UnavailableError
from shared.http.client import raise_for_problem

_BLOCK_BYTES = 256 * 1024
_POLL_SECONDS = 0.3
_ATTEMPTS = 4
_NAME_CHARACTERS_MAX = 255
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


def push_all(client: httpx2.Client, files: Sequence[Path], *, feed: str) -> Iterator[Pushed | NotPushed]:
    """Send every file. One that is bad by itself costs no other; who has no right to push sends none."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        for path in files:
            name = _printable(str(path))
            try:
                yield Pushed(name, _push(client, path, feed=feed, progress=progress))
            except OSError as error:
                why = error.strerror or "It cannot be read"
                yield NotPushed(name, f"{why}.", "Name an 835 file that you may read.", unreadable=True)
            except _EmptyError:
                yield NotPushed(
                    name, "It is empty: 0 bytes.", "Fetch it again from its sender.", unreadable=True
                )
            except (DeniedError, UnauthenticatedError):
                raise
            except InvalidInputError as error:
                yield NotPushed(name, error.message, error.remedy or "`reprieve validate` may tell more.")


class _EmptyError(Exception):
    """There is nothing to send."""


def _push(client: httpx2.Client, path: Path, *, feed: str, progress: Progress) -> dict[str, Any]:
    """Repeat what did not arrive: ingest gives the same receipt for the same bytes."""
    with _opened(path) as file:
        status = os.fstat(file.fileno())
        # A pipe is sent in chunks and once: what went through it does not come again.
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        if size == 0:
            raise _EmptyError
        bar = progress.add_task(escape(_printable(path.name)), total=size)
        for attempt in range(1, _ATTEMPTS + 1):
            progress.reset(bar)
            try:
                return _send(client, path, file, feed=feed, size=size, progress=progress, bar=bar)
            except UnavailableError:
                if attempt == _ATTEMPTS or size is None:
                    raise
                file.seek(0)
                time.sleep(2**attempt / 4)
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    with path.open("rb") as file:
        yield file


def _send(
    client: httpx2.Client,
    path: Path,
    file: BinaryIO,
    *,
    feed: str,
    size: int | None,
    progress: Progress,
    bar: TaskID,
) -> dict[str, Any]:
    def blocks() -> Iterator[bytes]:
        while block := file.read(_BLOCK_BYTES):
            yield block
            progress.update(bar, advance=len(block))

    named = {} if str(path) == "-" else {"file_name": _printable(path.name)[:_NAME_CHARACTERS_MAX]}
    answer = client.post(
        "/v1/remittances",
        params={"feed": feed, **named},
        headers={"Content-Type": "application/edi-x12"} | ({"Content-Length": str(size)} if size else {}),
        content=blocks(),
    )
    receipt: dict[str, Any] = raise_for_problem(answer).json()
    return receipt


def _printable(name: str) -> str:
    """Write a name so that it can stand in a URL and on a screen: file systems allow any byte in it."""
    return "".join(one if one.isprintable() else "?" for one in name)


def wait_until_read(client: httpx2.Client, pushed: Sequence[Pushed], *, seconds: float) -> list[Pushed]:
    """Ask until no file waits any more. Raises UnavailableError when the time is over before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pushed = [_look_again(client, one) for one in pushed]
        if not any(one.receipt["status"] in _OPEN_STATES for one in pushed):
            return pushed
        time.sleep(_POLL_SECONDS)
    raise UnavailableError(
        f"Not every file was read within {seconds:g} seconds.", remedy="Is ingest-worker running? Push again."
    )


def _look_again(client: httpx2.Client, one: Pushed) -> Pushed:
    if one.receipt["status"] not in _OPEN_STATES:
        return one
    found = raise_for_problem(client.get(f"/v1/remittances/{one.receipt['receipt_id']}")).json()
    return Pushed(one.name, {**found, "duplicate": one.receipt["duplicate"]})
