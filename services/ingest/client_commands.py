"""`reprieve push` and `reprieve feeds`: files go to a running ingest as any clearinghouse would send them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import httpx2
import typer

from services.ingest.push_report import print_lines, print_table
from services.ingest.pushing import NotPushed, Pushed, push_all, wait_until_read
from shared.errors import InvalidInputError, NotFoundError
from shared.http.client import Stack, raise_for_problem

_DataDir = Annotated[Path | None, typer.Option(help="Where `reprieve up` keeps its data (.reprieve).")]


def push(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="835 files; - reads standard input.")],
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

    Prints a receipt per file. Exit status 0: every file was taken. 1: one was refused. 2: one could not be
    read here; the others were sent all the same.
    """
    stack = Stack.find(data_dir)
    name = feed or stack.feed
    if name is None:
        raise InvalidInputError(
            "No feed is named.", remedy="Add --feed NAME; `reprieve feeds list` shows yours."
        )
    outcomes: list[Pushed | NotPushed] = []
    with stack.client("ingest", "submitter") as client:
        _require_feed(client, name)
        try:
            outcomes.extend(push_all(client, files, feed=name))
            if wait:
                outcomes = _read(client, outcomes, seconds=timeout)
        finally:
            (print_lines if format_ == "json" else print_table)(outcomes)
    raise typer.Exit(max(map(_status, outcomes), default=0))


def _read(
    client: httpx2.Client, outcomes: Sequence[Pushed | NotPushed], *, seconds: float
) -> list[Pushed | NotPushed]:
    """Give the same outcomes in their order, with the receipts as they stand when every file is read."""
    pushed = [one for one in outcomes if isinstance(one, Pushed)]
    read = iter(wait_until_read(client, pushed, seconds=seconds))
    return [next(read) if isinstance(one, Pushed) else one for one in outcomes]


def _status(one: Pushed | NotPushed) -> int:
    if isinstance(one, NotPushed):
        return 2 if one.unreadable else 1
    return int(one.receipt["status"] == "refused")


def _feed_names(client: httpx2.Client) -> list[str]:
    return [one["name"] for one in raise_for_problem(client.get("/v1/feeds")).json()["data"]]


def _require_feed(client: httpx2.Client, name: str) -> None:
    """Say that a feed is missing before a large file is on its way."""
    if name not in _feed_names(client):
        raise NotFoundError(
            "You have no feed of this name.", remedy="`reprieve feeds create NAME` opens one."
        )
