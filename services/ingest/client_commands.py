"""`reprieve push` and `reprieve feeds`: files go to a running ingest as any clearinghouse would send them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx2
import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Table

from shared.errors import InvalidInputError, NotFoundError, UnavailableError
from shared.http.client import Stack, raise_for_problem

_BLOCK_BYTES = 256 * 1024
_POLL_SECONDS = 0.3
_ATTEMPTS = 4
_OPEN_STATES = {"received", "processing"}

_DataDir = Annotated[Path | None, typer.Option(help="Where `reprieve up` keeps its data (.reprieve).")]

feeds = typer.Typer(no_args_is_help=True, help="The doors through which your files come in.")


@dataclass(frozen=True, slots=True)
class Pushed:
    """A file and the receipt that ingest gave for it."""

    path: Path
    receipt: dict[str, Any]


def push(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True)],
    feed: Annotated[str | None, typer.Option(help="The feed to push into; by default that of `up`.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until every file has been read.")] = False,  # noqa: FBT002  an option
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 600.0,
    format_: Annotated[
        Literal["table", "json"], typer.Option("--format", help="json: one receipt a line.")
    ] = "table",
    data_dir: _DataDir = None,
) -> None:
    """
    Send 835 files to ingest; safe to repeat.

    Prints a receipt per file. Exit status 1 when a file was refused.
    """
    stack = Stack.find(data_dir)
    name = feed or stack.feed
    if name is None:
        raise InvalidInputError(
            "No feed is named.", remedy="Add --feed NAME; `reprieve feeds list` shows yours."
        )
    pushed: list[Pushed] = []
    with stack.client("ingest", "submitter") as client:
        _require_feed(client, name)
        try:
            pushed.extend(_push_all(client, files, feed=name))
            if wait:
                pushed = _wait(client, pushed, seconds=timeout)
        finally:
            _print(pushed, format_)
    if any(one.receipt["status"] == "refused" for one in pushed):
        raise typer.Exit(1)


@feeds.command("list")
def list_feeds(data_dir: _DataDir = None) -> None:
    """Print your feeds, one a line."""
    with Stack.find(data_dir).client("ingest", "submitter") as client:
        for name in _feed_names(client):
            typer.echo(name)


@feeds.command("create")
def create_feed(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, dots, hyphens, underscores.")],
    data_dir: _DataDir = None,
) -> None:
    """Open a feed; one that is there already stays as it is."""
    with Stack.find(data_dir).client("ingest", "submitter") as client:
        created = raise_for_problem(client.post("/v1/feeds", json={"name": name})).json()["created"]
    typer.echo(f"{name}: {'created' if created else 'was there already'}")


def _feed_names(client: httpx2.Client) -> list[str]:
    return [one["name"] for one in raise_for_problem(client.get("/v1/feeds")).json()["data"]]


def _require_feed(client: httpx2.Client, name: str) -> None:
    """Say that a feed is missing before a large file is on its way."""
    if name not in _feed_names(client):
        raise NotFoundError(
            "You have no feed of this name.", remedy="`reprieve feeds create NAME` opens one."
        )


def _push_all(client: httpx2.Client, files: Sequence[Path], *, feed: str) -> Iterator[Pushed]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        for path in files:
            bar = progress.add_task(escape(path.name), total=path.stat().st_size)
            yield Pushed(path, _push_patiently(client, path, feed=feed, progress=progress, bar=bar))


def _push_patiently(
    client: httpx2.Client, path: Path, *, feed: str, progress: Progress, bar: TaskID
) -> dict[str, Any]:
    """Repeat what did not arrive: ingest gives the same receipt for the same bytes."""
    for attempt in range(1, _ATTEMPTS + 1):
        progress.reset(bar)
        try:
            answer = client.post(
                "/v1/remittances",
                params={"feed": feed, "file_name": path.name[:255]},
                headers={
                    "Content-Type": "application/edi-x12",
                    "Content-Length": str(path.stat().st_size),
                },
                content=_blocks(path, progress, bar),
            )
            receipt: dict[str, Any] = raise_for_problem(answer).json()
        except UnavailableError:
            if attempt == _ATTEMPTS:
                raise
            time.sleep(2**attempt / 4)
        else:
            return receipt
    raise AssertionError("the last attempt returns or raises")


def _blocks(path: Path, progress: Progress, bar: TaskID) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block
            progress.update(bar, advance=len(block))


def _wait(client: httpx2.Client, pushed: list[Pushed], *, seconds: float) -> list[Pushed]:
    """Ask until no file waits any more; gives what is known when the time is over."""
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
    return Pushed(one.path, {**found, "duplicate": one.receipt["duplicate"]})


def _print(pushed: Sequence[Pushed], format_: str) -> None:
    if format_ == "json":
        for one in pushed:
            typer.echo(msgspec.json.encode({"file": str(one.path), **one.receipt}).decode())
        return
    if not pushed:
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("receipt", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("claims", justify="right", no_wrap=True)
    table.add_column("notes")
    for one in pushed:
        receipt = one.receipt
        table.add_row(
            escape(one.path.name),
            str(receipt["receipt_id"]),
            str(receipt["status"]),
            str(receipt["claims_read"]),
            ", ".join(_notes(receipt)),
        )
    console = Console()
    console.print(table)
    for one in pushed:
        for finding in one.receipt["findings"][:5] if one.receipt["status"] == "refused" else ():
            console.print(
                f"{escape(one.path.name)}: {escape(finding['message'])} {escape(finding['remedy'])}"
            )


def _notes(receipt: dict[str, Any]) -> Iterator[str]:
    if receipt["duplicate"]:
        yield "duplicate"
    if sets := receipt["held_transaction_sets"]:
        yield f"{sets} held: register the payee"
    if findings := receipt["finding_count"]:
        yield f"{findings} findings"
