"""`reprieve validate` and `reprieve simulate`: 835 files without a server."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from services.ingest import simulate as simulation
from services.ingest.acknowledgments.codes import ACKNOWLEDGED
from services.ingest.named_files import MEANT, expand
from services.ingest.validation import Report, add_conformance, check
from services.ingest.validation_acks import Judged, judge_and_acknowledge
from shared.errors import InvalidInputError
from shared.terminal import escape

_BLOCK_BYTES = 1 << 18
_MEGABYTE = 1_000_000


def validate(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE…", help=MEANT)],
    format_: Annotated[
        Literal["table", "json"],
        typer.Option("--format", help="table for people; json: one finding a line."),
    ] = "table",
    ack: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Look at conformance to the implementation guide too, which takes 50 times as long,"
            " and write TA1 and 999 into this folder.",
        ),
    ] = None,
) -> None:
    """
    Say what is wrong with 835 files, and where: envelope, syntax and balance.

    Exit status 0: nothing worse than a note. 1: findings. 2: a file could not be read at all.
    """
    files = expand(paths)
    with ExitStack() as opened:
        piped = opened.enter_context(_kept_input()) if ack and Path("-") in files else None
        openers = {path: partial(_opened, path, piped) for path in files}
        reports = {path: _check(path, openers[path]) for path in files}
        readable = [path for path in openers if not reports[path].unreadable]
        judged: dict[Path, Judged] = {}
        if ack:
            asked = [("stdin" if str(path) == "-" else path.name, openers[path]) for path in readable]
            judged = dict(zip(readable, asyncio.run(judge_and_acknowledge(asked, ack)), strict=True))
    for path, one in judged.items():
        add_conformance(reports[path], one.findings)
    if format_ == "json":
        _print_json(list(reports.values()))
    else:
        console = Console()
        for report in reports.values():
            _print_table(report, console)
    for path, one in judged.items():
        _print_acknowledgments(str(path), one, as_json=format_ == "json")
    raise typer.Exit(max(report.status for report in reports.values()))


def _check(path: Path, opener: Callable[[], AbstractContextManager[BinaryIO]]) -> Report:
    try:
        with opener() as file:
            return check(str(path), iter(lambda: file.read(_BLOCK_BYTES), b""))
    except IsADirectoryError:
        return Report(str(path), unreadable="The folder holds no files")
    except OSError as error:
        return Report(str(path), unreadable=error.strerror or "It cannot be read.")


def _opened(path: Path, piped: BinaryIO | None) -> AbstractContextManager[BinaryIO]:
    """Open a file; standard input, which is read once, may have been `piped` into a file to be read twice."""
    return nullcontext(piped or sys.stdin.buffer) if str(path) == "-" else path.open("rb")


@contextmanager
def _kept_input() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.seek(0)
        yield file


def _print_acknowledgments(name: str, judged: Judged, *, as_json: bool) -> None:
    for path, made in judged.written:
        line = {"file": name, "acknowledgment": str(path), "kind": made.kind, "code": made.code}
        print(
            msgspec.json.encode(line).decode()
            if as_json
            else f"{path}: {made.kind}, {ACKNOWLEDGED[made.code]}"
        )
    if judged.cut_short:
        line = {"file": name, "cut_short": judged.cut_short}
        told = f"{name}: conformance was not looked at to the end ({judged.cut_short})."
        print(msgspec.json.encode(line).decode() if as_json else told)


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
        amount = "" if finding.difference is None else f" Difference: {finding.difference:,.2f}."
        table.add_row(finding.place or "the file", finding.severity, finding.message + amount, finding.remedy)
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
