"""What `reprieve push` prints: a receipt per file, the first findings of each, and what was not pushed."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.ingest.domain.findings import Finding
from services.ingest.pushing import NotPushed, Pushed

_SHOWN_FILES = 100
_SHOWN_FINDINGS = 5  # of each file; `reprieve validate` shows them all


def print_lines(outcomes: Sequence[Pushed | NotPushed]) -> None:
    """Print one JSON object a line: the receipt, or why there is none."""
    for one in outcomes:
        if isinstance(one, Pushed):
            line: dict[str, Any] = {"file": one.name, **one.receipt}
        else:
            told = "unreadable" if one.unreadable else "refused"
            line = {"file": one.name, told: one.message, "remedy": one.remedy}
        typer.echo(msgspec.json.encode(line).decode())


def print_table(outcomes: Sequence[Pushed | NotPushed]) -> None:
    """Print a table of receipts with their findings; what was not pushed goes to standard error."""
    pushed = [one for one in outcomes if isinstance(one, Pushed)]
    console = Console()
    # Of thousands only those are shown that somebody has to look at.
    shown = pushed if len(pushed) <= _SHOWN_FILES else [one for one in pushed if _wants_a_look(one)]
    if shown:
        console.print(_table(shown[:_SHOWN_FILES]))
        for one in shown[:_SHOWN_FILES]:
            for line in _finding_lines(one):
                console.print(line, soft_wrap=True, highlight=False)
    if len(outcomes) > 1:
        console.print(_summary(outcomes), soft_wrap=True, highlight=False)
    for other in outcomes:
        if isinstance(other, NotPushed):
            typer.echo(f"{other.name}: {other.message}\n  {other.remedy}", err=True)


def _wants_a_look(one: Pushed) -> bool:
    receipt = one.receipt
    return bool(
        receipt["status"] == "refused" or receipt["finding_count"] or receipt["held_transaction_sets"]
    )


def _summary(outcomes: Sequence[Pushed | NotPushed]) -> str:
    pushed = [one.receipt for one in outcomes if isinstance(one, Pushed)]
    new = sum(not receipt["duplicate"] for receipt in pushed)
    refused = sum(receipt["status"] == "refused" for receipt in pushed)
    size = sum(receipt["size_bytes"] for receipt in pushed)
    return (
        f"{len(outcomes):,} files: {new:,} new, {len(pushed) - new:,} there before, {refused:,} refused,"
        f" {len(outcomes) - len(pushed):,} not pushed; {size:,} bytes."
    )


def _table(pushed: Sequence[Pushed]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("receipt", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("claims", justify="right", no_wrap=True)
    table.add_column("notes")
    for one in pushed:
        table.add_row(
            escape(one.name.rpartition("/")[2]),
            str(one.receipt["receipt_id"]),
            str(one.receipt["status"]),
            str(one.receipt["claims_read"]),
            ", ".join(_notes(one.receipt)),
        )
    return table


def _finding_lines(one: Pushed) -> Iterator[str]:
    shown = [msgspec.convert(found, Finding) for found in one.receipt["findings"][:_SHOWN_FINDINGS]]
    for found in shown:
        place = f"{found.place}: " if found.place else ""
        yield escape(f"{one.name}: {place}{found.message} {found.remedy}")
    if more := one.receipt["finding_count"] - len(shown):
        yield escape(f"{one.name}: … and {more} more; `reprieve validate` shows them all.")


def _notes(receipt: dict[str, Any]) -> Iterator[str]:
    if receipt["duplicate"]:
        yield "duplicate"
    if sets := receipt["held_transaction_sets"]:
        yield f"{sets} held: register the payee"
    if findings := receipt["finding_count"]:
        yield "1 finding" if findings == 1 else f"{findings} findings"
