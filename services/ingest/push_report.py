"""What `reprieve push` prints: a receipt per file, the first findings of each, and what was not pushed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from services.ingest.domain.findings import Finding
from services.ingest.pushing import NotPushed, Pushed
from shared import terminal
from shared.terminal import escape

_SHOWN_FILES = 100
_ID_CHARACTERS = 36
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
        terminal.print_table(_table(shown[:_SHOWN_FILES]))
        for one in shown[:_SHOWN_FILES]:
            for line in _finding_lines(one):
                console.print(line, soft_wrap=True, highlight=False)
    if len(outcomes) > 1:
        console.print(_summary(outcomes), soft_wrap=True, highlight=False)
    for other in outcomes:
        if isinstance(other, NotPushed):
            typer.echo(f"{other.name}: {other.message}\n  {other.remedy}", err=True)


def is_cut(receipt: dict[str, Any]) -> bool:
    """Tell whether the file ends too early; an ingest of the version before does not say."""
    return bool(receipt.get("truncated"))


def _wants_a_look(one: Pushed) -> bool:
    receipt = one.receipt
    return bool(
        receipt["status"] == "refused" or receipt["finding_count"] or receipt["held_transaction_sets"]
    )


def _summary(outcomes: Sequence[Pushed | NotPushed]) -> str:
    """Count each file once: one that was refused is that, whether it is new or was there before."""
    counts = Counter(map(_kind, outcomes))
    size = sum(one.receipt["size_bytes"] for one in outcomes if isinstance(one, Pushed))
    told = ", ".join(f"{counts[kind]:,} {kind}" for kind in ("new", "there before", "refused", "not pushed"))
    cut = sum(isinstance(one, Pushed) and is_cut(one.receipt) for one in outcomes)
    beside = f" {cut:,} cut: ask for the whole file." if cut else ""
    return f"{len(outcomes):,} files: {told}; {size:,} bytes.{beside}"


def _kind(one: Pushed | NotPushed) -> str:
    if isinstance(one, NotPushed):
        return "not pushed"
    if one.receipt["status"] == "refused":
        return "refused"
    return "there before" if one.receipt["duplicate"] else "new"


def _table(pushed: Sequence[Pushed]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    # One below the other: beside each other they would not fit on a screen, and neither may be cut.
    table.add_column("file, receipt", min_width=_ID_CHARACTERS)
    table.add_column("status", no_wrap=True)
    table.add_column("claims", justify="right", no_wrap=True)
    table.add_column("notes")
    for one in pushed:
        table.add_row(
            f"{escape(one.name.rpartition('/')[2])}\n{one.receipt['receipt_id']}",
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
    if is_cut(receipt):
        yield "cut: ask for it again"
    if sets := receipt["held_transaction_sets"]:
        yield f"{sets} held: register the payee"
    if findings := receipt["finding_count"]:
        yield "1 finding" if findings == 1 else f"{findings} findings"
