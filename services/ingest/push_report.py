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
    if pushed:
        console = Console()
        console.print(_table(pushed))
        for one in pushed:
            for line in _finding_lines(one):
                console.print(line, soft_wrap=True, highlight=False)
    for other in outcomes:
        if isinstance(other, NotPushed):
            typer.echo(f"{other.name}: {other.message}\n  {other.remedy}", err=True)


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
