"""
`reprieve explain`: the main job on files, no server. Ingest's reader hands its claims to triage's rules.

There are no keys here, so what names a person stays out, and no organization, so the nil UUID stands for it.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import typer
from rich.console import Console

from services.explain_histories import Reading, context_of, repeats_in
from services.ingest.domain.claim import Claim
from services.ingest.domain.events import event_or_quarantine
from services.ingest.domain.findings import Finding
from services.ingest.domain.reader import read
from services.ingest.domain.remittance import (
    ClaimQuarantined,
    ClaimRead,
    FileClosed,
    SetClosed,
    SetHeader,
    SetOpened,
)
from services.ingest.named_files import MEANT, expand
from services.triage.policies import shipped_policies
from services.triage.render import explain_rows, render
from shared.contracts.claim_denied import ClaimDenied
from shared.errors import InvalidInputError

_BLOCK_BYTES = 1 << 18
_FIRST_YEAR = 1990  # the 835 is younger
_SHOWN_FINDINGS = 20  # a file of nothing but faults must not bury the rows


@dataclass(slots=True)
class FileReading:
    """What became of one file, while and after it is read."""

    name: str
    claims: int = 0
    denied: int = 0
    repeated: int = 0
    quarantined: int = 0
    warnings: int = 0
    unreadable: str | None = None
    refusal: Finding | None = None
    errors: int = 0
    shown: list[Finding] = field(default_factory=list)

    @property
    def status(self) -> int:
        """0 all read, 1 something could not be read, 2 nothing could."""
        return 2 if self.unreadable or self.refusal else 1 if self.errors else 0

    def note(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if finding.severity != "error":
                self.warnings += 1
                continue
            self.errors += 1
            if len(self.shown) < _SHOWN_FINDINGS:
                self.shown.append(finding)


def explain(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE…", help=MEANT)],
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day to count from; today by default.")
    ] = None,
    policies: Annotated[
        Path | None, typer.Option(help="A folder of policy files beside the shipped ones.")
    ] = None,
    format: Annotated[  # noqa: A002  the option's name
        Literal["table", "json", "csv"],
        typer.Option(help="table for people; json: one DenialTriaged a line."),
    ] = "table",
) -> None:
    """
    Say of every denied claim what kind of denial it is, what can still be saved, until when, and why.

    Exit status 0: all was read. 1: parts of a file could not be read; they are named on standard error, and
    `reprieve validate` tells more. 2: a file could not be read at all. Denials are not a failure.
    """
    day = as_of.date() if as_of else datetime.now().astimezone().date()
    if day.year < _FIRST_YEAR:
        raise InvalidInputError(
            f"No 835 is counted from {day}: it lies before {_FIRST_YEAR}.",
            remedy="Write --as-of as YYYY-MM-DD, with all four digits of the year.",
        )
    files = expand(paths)
    readings = [FileReading(str(path)) for path in files]
    seen: set[UUID] = set()
    again = [_again(path) for path in files]
    events = (
        event
        for blocks, reading in zip(again, readings, strict=True)
        for event in _once(_denials(blocks, reading, day), seen, reading)
    )
    repeats = repeats_in([_as_far_as_readable(blocks) for blocks in again], day)
    rows = explain_rows(events, shipped_policies(policies), as_of=day, others=repeats.others)
    render(rows, format, console=Console(), as_of=day)
    sys.stdout.flush()
    for reading in readings:
        _report(reading)
    _sum_up(readings, whole=format == "table")
    raise typer.Exit(max(reading.status for reading in readings))


def _once(events: Iterable[ClaimDenied], seen: set[UUID], reading: FileReading) -> Iterator[ClaimDenied]:
    """Leave out what this run has explained: a remittance that comes twice denies its claims once."""
    for event in events:
        if event.event_id in seen:
            reading.repeated += 1
            continue
        seen.add(event.event_id)
        reading.denied += 1
        yield event


def _denials(blocks: Reading, reading: FileReading, day: date) -> Iterator[ClaimDenied]:
    try:
        yield from _denials_of(blocks(), reading, day)
    except IsADirectoryError:
        reading.unreadable = "The folder holds no files. Name another one, or a file."
    except OSError as error:
        reading.unreadable = f"{error.strerror or 'cannot be read'}. Check the path and its permissions."


def _again(path: Path) -> Reading:
    """Give what reads a file from its start each time: a pipe's bytes are held, for it gives them once."""
    if str(path) != "-" and (path.is_file() or not path.exists()):
        return lambda: _blocks(path)
    held: list[bytes] = []

    def blocks() -> Iterator[bytes]:
        if not held:
            held.append(sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes())
        content = held[0]
        return (content[at : at + _BLOCK_BYTES] for at in range(0, len(content), _BLOCK_BYTES))

    return blocks


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(lambda: file.read(_BLOCK_BYTES), b"")


def _as_far_as_readable(blocks: Reading) -> Reading:
    def read() -> Iterator[bytes]:
        with suppress(OSError):
            yield from blocks()

    return read


def _denials_of(blocks: Iterable[bytes], reading: FileReading, day: date) -> Iterator[ClaimDenied]:
    header: SetHeader | None = None
    for item in read(blocks):
        match item:
            case SetOpened():
                header = item.header
            case ClaimRead(claim=claim) if header is not None:
                reading.claims += 1
                reading.note(claim.findings)
                if claim.kind == "denied":
                    yield from _denial(claim, header, reading, day)
            case ClaimQuarantined():
                reading.claims += 1
                reading.quarantined += 1
                reading.note(item.findings)
            case SetClosed():
                reading.note(item.findings)
            case FileClosed():
                reading.refusal = item.refusal
                reading.note(item.findings)


def _denial(claim: Claim, header: SetHeader, reading: FileReading, day: date) -> Iterator[ClaimDenied]:
    match event_or_quarantine(claim, header, context_of(reading.name, header, day), None):
        case ClaimDenied() as event:
            yield event
        case ClaimQuarantined(findings=findings):
            reading.quarantined += 1
            reading.note(findings)


def _report(reading: FileReading) -> None:
    if reading.unreadable:
        typer.echo(f"{reading.name}: {reading.unreadable}", err=True)
    if reading.refusal:
        typer.echo(f"{reading.name}: {_sentence(reading.refusal)}", err=True)
    for finding in reading.shown:
        if finding != reading.refusal:
            typer.echo(f"{reading.name}: {_sentence(finding)}", err=True)
    if reading.errors > len(reading.shown):
        typer.echo(
            f"{reading.name}: and {reading.errors - len(reading.shown)} more; `reprieve validate` has all.",
            err=True,
        )


def _sentence(finding: Finding) -> str:
    place = [
        f"segment {finding.segment_number}" if finding.segment_number is not None else "",
        f"{finding.segment_id or ''}{finding.element:02}"
        if finding.element is not None
        else finding.segment_id or "",
        f"byte {finding.byte_offset}" if finding.byte_offset is not None else "",
    ]
    where = ", ".join(part for part in place if part)
    return f"{where + ': ' if where else ''}{finding.message} {finding.remedy} [{finding.code}]"


def _sum_up(readings: list[FileReading], *, whole: bool) -> None:
    """Say on one line what was read; for programs only where there is something that the rows do not tell."""
    claims, denied, repeated, quarantined, warnings = (
        sum(getattr(reading, name) for reading in readings)
        for name in ("claims", "denied", "repeated", "quarantined", "warnings")
    )
    if not (whole or repeated or quarantined or warnings):
        return
    told = f"{_counted(len(readings), 'file')}: {_counted(claims, 'claim')} read, {denied} denied"
    if repeated:
        told += f", {_counted(repeated, 'repeated denial')} left out"
    if quarantined:
        told += f", {quarantined} set aside as unreadable"
    if warnings:
        told += f", {_counted(warnings, 'warning')} (`reprieve validate` shows them)"
    typer.echo(f"{told}.", err=True)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
