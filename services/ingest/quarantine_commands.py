"""`reprieve quarantine`: claims that could not be read. It reaches ingest over HTTP only."""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import httpx2
import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from services.ingest.domain.findings import Finding
from shared.http.client import Stack, raise_for_problem
from shared.terminal import escape, print_table

quarantine = typer.Typer(no_args_is_help=True, help="Claims that could not be read.")

_PAGE = 200
_BECOMES = {
    "denied": "a denial: its case is in `reprieve cases list` in a moment",
    "reversed": "a reversal: it opens no case, and tells the case of the claim that it takes back",
    "adjudicated": "no denial: it opens no case, and tells a case of the same claim, if there is one",
    "predetermination": "a forecast (CLP02 25), no payment: it opens no case",
}


class Shown(StrEnum):
    """Which claims to list, by what became of them."""

    quarantined = "quarantined"
    released = "released"
    reread = "reread"
    dismissed = "dismissed"
    all = "all"


_DataDir = Annotated[Path | None, typer.Option(help="Where `reprieve up` keeps its data (.reprieve).")]
_Format = Annotated[
    Literal["table", "json"], typer.Option("--format", help="table for people; json: one claim a line.")
]
_Id = Annotated[UUID, typer.Argument(metavar="CLAIM", help="As `reprieve quarantine list` shows it.")]
_Reason = Annotated[str, typer.Option(help="Why, and from where you know: it is kept with your key's name.")]


@quarantine.command("list")
def list_quarantined(
    state: Annotated[Shown, typer.Option(help="What became of them.")] = Shown.quarantined,
    remittance: Annotated[UUID | None, typer.Option(help="Of this remittance only.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    format_: _Format = "table",
    data_dir: _DataDir = None,
) -> None:
    """List claims that wait for somebody, the newest first; --state lists others."""
    wanted = {} if state is Shown.all else {"state": state.value}
    if remittance:
        wanted["remittance_id"] = str(remittance)
    with _client(data_dir) as client:
        found = list(_claims(client, wanted, limit=limit))
    if format_ == "json":
        _print_lines(found)
    elif found:
        print_table(_table(found))
    else:
        typer.echo("none")


@quarantine.command("show")
def show_quarantined(claim: _Id, format_: _Format = "table", data_dir: _DataDir = None) -> None:
    """Show one claim: place, findings, what may be supplied, its segments masked. The look is audited."""
    with _client(data_dir) as client:
        found = raise_for_problem(client.get(f"/v1/quarantine/{claim}")).json()
    if format_ == "json":
        _print_lines([found])
        return
    console = Console(highlight=False)
    for line in _story(found):
        console.print(escape(line), soft_wrap=True)


@quarantine.command("release")
def release_quarantined(
    claim: _Id,
    reason: _Reason,
    charge_amount: Annotated[str | None, typer.Option(help="US dollars, such as 500.00.")] = None,
    paid_amount: Annotated[str | None, typer.Option(help="US dollars.")] = None,
    claim_number: Annotated[str | None, typer.Option(help="The provider's number (CLP01).")] = None,
    claim_status: Annotated[str | None, typer.Option(help="The status code (CLP02).")] = None,
    payer_claim_number: Annotated[str | None, typer.Option(help="The payer's number (CLP07).")] = None,
    data_dir: _DataDir = None,
) -> None:
    """Supply what could not be read; the claim is read with it in a moment. Repeating mends a slip."""
    said = {
        "reason": reason,
        "charge_amount": charge_amount,
        "paid_amount": paid_amount,
        "claim_number": claim_number,
        "claim_status": claim_status,
        "payer_claim_number": payer_claim_number,
    }
    given = {name: value for name, value in said.items() if value is not None}
    with _client(data_dir) as client:
        told = raise_for_problem(client.post(f"/v1/quarantine/{claim}/release", json=given)).json()
    typer.echo(f"{claim}: is being read with what you supplied; it becomes {_BECOMES[told['becomes']]}")


@quarantine.command("dismiss")
def dismiss_quarantined(claim: _Id, reason: _Reason, data_dir: _DataDir = None) -> None:
    """Say that nothing is to be done about a claim: it waits no more, and is counted as dismissed."""
    with _client(data_dir) as client:
        raise_for_problem(client.post(f"/v1/quarantine/{claim}/dismiss", json={"reason": reason}))
    typer.echo(f"{claim}: dismissed")


def _client(data_dir: Path | None) -> httpx2.Client:
    return Stack.find(data_dir).client("ingest", "supervisor")


def _claims(client: httpx2.Client, wanted: dict[str, str], *, limit: int) -> Iterator[dict[str, Any]]:
    place: dict[str, Any] = {}
    while limit:
        asked = {**wanted, **place, "limit": min(limit, _PAGE)}
        page = raise_for_problem(client.get("/v1/quarantine", params=asked)).json()
        yield from page["data"]
        limit -= len(page["data"])
        if page["next_cursor"] is None:
            return
        place = {"cursor": page["next_cursor"]}


def _print_lines(found: list[dict[str, Any]]) -> None:
    for one in found:
        typer.echo(msgspec.json.encode(one).decode())


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 1, 0))
    table.add_column("Claim, payer, place", min_width=36)  # an id stays whole, for `reprieve quarantine show`
    table.add_column("Why")
    table.add_column("Charge", justify="right", no_wrap=True)
    for one in found:
        finding = next(_findings(one), None)
        why = finding.message if finding else ""
        table.add_row(
            escape(f"{one['quarantine_id']}\n{one['payer_name'] or 'unknown payer'}\n{_place(one)}"),
            why if one["state"] == "quarantined" else f"{one['state']}: {escape(one['reason'] or why)}",
            _dollars(one["charge_amount"]),
        )
    return table


def _story(one: dict[str, Any]) -> Iterator[str]:
    yield f"{one['payer_name'] or 'unknown payer'}, {_place(one)}: {one['state']}"
    yield f"receipt {one['receipt_id']}, remittance {one['remittance_id']}"
    if one["reason"]:
        yield f"reason given: {one['reason']}"
    for found in _findings(one):
        yield f"{found.place}: {found.message} {found.remedy}"
    if one["becomes"]:
        yield f"with what was supplied: {_BECOMES[one['becomes']]}"
    yield f"must be supplied: {_options(one['needed'])}"
    yield f"may be supplied: {_options(one['allowed'])}"
    for segment in one["segments"]:
        yield "  " + "*".join([segment["segment_id"] or "?", *segment["elements"]])
    if one["segments_cut"]:
        yield "  …"


def _findings(one: dict[str, Any]) -> Iterator[Finding]:
    return (msgspec.convert(found, Finding) for found in one["findings"])


def _place(one: dict[str, Any]) -> str:
    return f"claim {one['position']} of {one['payer_date']}, byte {one['byte_offset']:,}"


def _options(names: list[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names) or "nothing"


def _dollars(amount: str | None) -> str:
    return "unreadable" if amount is None else f"${Decimal(amount):,.2f}"
