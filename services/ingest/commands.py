"""`reprieve validate` and `reprieve simulate`: 835 files without a server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.ingest import simulate as simulation
from services.ingest.validation import Report, check
from shared.errors import InvalidInputError

_BLOCK_BYTES = 1 << 18
_MEGABYTE = 1_000_000


def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="835 files; - reads standard input.")],
    format_: Annotated[
        Literal["table", "json"],
        typer.Option("--format", help="table for people; json: one finding a line."),
    ] = "table",
) -> None:
    """
    Say what is wrong with 835 files, and where: envelope, syntax and balance.

    Exit status 0: nothing worse than a note. 1: findings. 2: a file could not be read at all.
    """
    reports = [_check(path) for path in files]
    if format_ == "json":
        _print_json(reports)
    else:
        console = Console()
        for report in reports:
            _print_table(report, console)
    raise typer.Exit(max(report.status for report in reports))


def _check(path: Path) -> Report:
    try:
        with _opened(path) as file:
            return check(str(path), iter(lambda: file.read(_BLOCK_BYTES), b""))
    except OSError as error:
        return Report(str(path), unreadable=error.strerror or "It cannot be read.")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    with path.open("rb") as file:
        yield file


def _print_json(reports: list[Report]) -> None:
    for report in reports:
        if report.unreadable:
            print(msgspec.json.encode({"file": report.name, "unreadable": report.unreadable}).decode())
        for finding in report.findings:
            line: dict[str, Any] = {"file": report.name, **msgspec.to_builtins(finding)}
            print(msgspec.json.encode(line).decode())


def _print_table(report: Report, console: Console) -> None:
    console.print(f"[bold]{escape(report.name)}[/bold]: {escape(report.verdict)}")
    if not report.findings:
        return
    table = Table(box=None, pad_edge=False)
    for column in ("Where", "", "What", "What to do"):
        table.add_column(column, overflow="fold")
    for finding in report.findings:
        table.add_row(finding.place or "the file", finding.severity, finding.message, finding.remedy)
    if report.more:
        table.add_row("", "", f"… and {report.more} more.", "")
    console.print(table)


def simulate(
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same file.")] = 1,
    claims: Annotated[int, typer.Option(min=0, help="How many claims.")] = 20_000,
    megabytes: Annotated[
        float | None, typer.Option(min=0.0, help="Size, instead of a number of claims.")
    ] = None,
    denied: Annotated[float, typer.Option(min=0.0, max=1.0, help="Fraction of claims denied.")] = 0.15,
    authorization: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Fraction of denials that an authorization caused.")
    ] = 0.5,
    reversals: Annotated[float, typer.Option(min=0.0, max=1.0, help="Fraction of claims taken back.")] = 0.01,
    claims_per_set: Annotated[int, typer.Option(min=1, help="Claims in a transaction set.")] = 1_000,
    paid_on: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Payment date of the first set.")
    ] = None,
    payee_npi: Annotated[str | None, typer.Option(help="NPI of the payee.")] = None,
    payee_tin: Annotated[str | None, typer.Option(help="Tax id of the payee.")] = None,
    payer: Annotated[
        list[str] | None, typer.Option(help="Payer names, instead of the built-in ones; repeatable.")
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Mark the file as a test (ISA15 T).")] = False,  # noqa: FBT002  an option
) -> None:
    """Write a synthetic 835 to standard output: invented people, balanced money, streamed."""
    plain = simulation.Simulation()
    wanted = simulation.Simulation(
        seed=seed,
        claims=None if megabytes is not None else claims,
        size_bytes=None if megabytes is None else int(megabytes * _MEGABYTE),
        denied=denied,
        authorization=authorization,
        reversed=reversals,
        claims_per_set=claims_per_set,
        paid_on=_day(paid_on) or plain.paid_on,
        payers=_payers(payer) or plain.payers,
        payee_npi=payee_npi or plain.payee_npi,
        payee_tin=payee_tin or plain.payee_tin,
        is_test=test,
    )
    for block in simulation.simulate(wanted):
        sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _payers(names: list[str] | None) -> tuple[simulation.SimulatedPayer, ...]:
    for name in names or ():
        if not name.isascii() or set(name) & set("*~:^") or not name.strip():
            raise InvalidInputError(
                "A payer's name cannot stand in an 835.", remedy="Use ASCII letters, without * ~ : ^."
            )
    return tuple(
        simulation.SimulatedPayer(name.upper(), f"SIM{index:02d}", "12")
        for index, name in enumerate(names or (), 1)
    )
