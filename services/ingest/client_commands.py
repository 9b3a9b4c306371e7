"""`reprieve push`: files go to a running ingest as any clearinghouse would send them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import httpx2
import typer

from services.ingest.named_files import MEANT, expand
from services.ingest.packing import Packing, read_secret
from services.ingest.push_report import is_cut, print_lines, print_table
from services.ingest.pushing import NotPushed, Outcome, Pushed, Pusher, wait_until_read
from shared.errors import InvalidInputError
from shared.http.client import Stack, raise_for_problem

_SECRET = "REPRIEVE_SIGNING_SECRET"  # noqa: S105  its name

_DataDir = Annotated[Path | None, typer.Option(help="Where `reprieve up` keeps its data (.reprieve).")]


def push(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help=MEANT)],
    feed: Annotated[str | None, typer.Option(help="The feed to push into; by default that of `up`.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until every file has been read.")] = False,  # noqa: FBT002  an option
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 600.0,
    connections: Annotated[int, typer.Option(min=1, max=32, help="Files on their way at once.")] = 4,
    sign: Annotated[bool, typer.Option("--sign", help=f"Sign with {_SECRET} of the environment.")] = False,  # noqa: FBT002  an option
    again: Annotated[bool, typer.Option("--again", help="Send files that ingest has, too.")] = False,  # noqa: FBT002  an option
    format_: Annotated[
        Literal["table", "json"], typer.Option("--format", help="json: one receipt a line.")
    ] = "table",
    data_dir: _DataDir = None,
) -> None:
    """
    Send 835 files to ingest; safe to repeat: what is there already is not sent again.

    Prints a receipt per file. Exit status 0: every file was taken. 1: one was refused, or, once it is read
    (--wait), turned out to be cut. 2: one could not be read here; the others were sent all the same.
    """
    stack = Stack.find(data_dir)
    name = feed or stack.feed
    if name is None:
        raise InvalidInputError(
            "No feed is named.", remedy="Add --feed NAME; `reprieve feeds list` shows yours."
        )
    secret = read_secret(os.environ.get(_SECRET, "")) if sign else None
    outcomes: list[Outcome] = []
    with stack.client("ingest", "submitter") as client:
        packing = Packing(compress=_takes_zstd(client, name), secret=secret)
        pusher = Pusher(client, feed=name, packing=packing, connections=connections, again=again)
        try:
            outcomes.extend(pusher.push_all(expand(files)))
            if wait:
                outcomes = _read(client, outcomes, seconds=timeout)
        finally:
            (print_lines if format_ == "json" else print_table)(outcomes)
    raise typer.Exit(max(map(_status, outcomes), default=0))


def _read(client: httpx2.Client, outcomes: Sequence[Outcome], *, seconds: float) -> list[Outcome]:
    """Give the same outcomes in their order, with the receipts as they stand when every file is read."""
    pushed = [one for one in outcomes if isinstance(one, Pushed)]
    read = iter(wait_until_read(client, pushed, seconds=seconds))
    return [next(read) if isinstance(one, Pushed) else one for one in outcomes]


def _status(one: Outcome) -> int:
    if isinstance(one, NotPushed):
        return 2 if one.unreadable else 1
    return int(one.receipt["status"] == "refused" or is_cut(one.receipt))


def _takes_zstd(client: httpx2.Client, feed: str) -> bool:
    """Ask the feed how its files may be compressed; says that it is missing before a large file is sent."""
    answer = raise_for_problem(client.get(f"/v1/feeds/{quote(feed, safe='')}"))
    return "zstd" in answer.headers.get("accept-encoding", "")
