"""`reprieve reconcile` and `reprieve dlq`. They reach the services over HTTP only."""

import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from services.reconcile import parked
from services.reconcile.comparing import compare_until_quiet
from services.reconcile.report import render_json, render_table, show
from services.reconcile.streams import Scope, Sources
from services.reconcile.tally import Comparison
from shared.errors import InvalidInputError
from shared.http.client import Stack, raise_for_problem
from shared.terminal import counted

EXIT_FINDINGS = 1
WAIT_SECONDS = 30.0


class Format(StrEnum):
    """How to show it."""

    table = "table"
    json = "json"


_DataDir = Annotated[Path | None, typer.Option(help="Where `reprieve up` keeps up.json.")]
_Output = Annotated[Format, typer.Option("--format", help="Tables for people, or JSON.")]


def reconcile(
    remittance: Annotated[UUID | None, typer.Option(metavar="ID", help="Only this remittance.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            metavar="DATE", formats=["%Y-%m-%d"], help="Only what was received on this day (UTC) or later."
        ),
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Have what is missing sent again.")] = False,  # noqa: FBT002  typer declares flags like this
    wait: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="How long to wait for what is still on its way."),
    ] = WAIT_SECONDS,
    tell: Annotated[  # noqa: FBT002  typer declares flags like this
        bool, typer.Option("--tell", help="Tell the alerts what was found: docs/alert-channels.md.")
    ] = False,
    output: _Output = Format.table,
    data_dir: _DataDir = None,
) -> None:
    """
    Prove that no claim and no dollar got lost.

    Compares what ingest read, what triage decided and what the tracker's ledger holds, event by event and
    to the cent, and names the files that ingest did not read. Exit status 0: all of it agrees; what is held
    for a payee that nobody registered is named, and is no fault. 1: something is missing, differs, is parked,
    was not read, or is still on its way after --wait seconds.
    """
    scope = Scope(remittance_id=remittance, since=since.date() if since else None)
    stack = Stack.find(data_dir)
    with Sources(stack) as sources:
        comparison, repaired = compare_until_quiet(
            sources, scope, wait_seconds=wait, repair=repair, tell=_tell_waiting
        )
    if output is Format.json:
        print(render_json(comparison, repaired=repaired))
    else:
        show(render_table(comparison, repaired=repaired))
    if tell:
        _tell_alerts(stack, agrees=comparison.agrees())
    if not comparison.agrees():
        raise typer.Exit(EXIT_FINDINGS)


def _tell_alerts(stack: Stack, *, agrees: bool) -> None:
    """Leave the outcome where rules of the kind reconciliation_failed look."""
    with stack.client("tracker", "operator") as tracker:
        raise_for_problem(tracker.put("/v1/alerts/reconciliation", json={"agrees": agrees}))


def _tell_waiting(comparison: Comparison, seconds: float) -> None:
    """Say on a terminal what the wait is for."""
    if sys.stderr.isatty() and seconds > 0:
        print(
            f"{counted(comparison.files_coming(), 'file')} and {counted(comparison.coming(), 'event')} are on"
            f" their way; waiting up to {seconds:.0f} s …",
            file=sys.stderr,
        )


dlq = typer.Typer(no_args_is_help=True, help="Messages that were laid aside: list and replay them.")


@dlq.command("list")
def list_(output: _Output = Format.table, data_dir: _DataDir = None) -> None:
    """List the parked messages of all three services, the oldest first: ids and reasons only."""
    found = parked.find(Stack.find(data_dir))
    if output is Format.json:
        print(parked.render_json(found))
    else:
        show(parked.render_table(found))


@dlq.command()
def replay(
    ids: Annotated[
        list[UUID] | None, typer.Option("--id", metavar="ID", help="The message's id; may be repeated.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Everything that is parked.")] = False,  # noqa: FBT002  typer declares flags like this
    data_dir: _DataDir = None,
) -> None:
    """
    Send parked messages again, once what stopped them is mended.

    Exit status 1 when one of the ids is not parked anywhere.
    """
    if every == bool(ids):
        raise InvalidInputError(
            "Nothing was chosen.", remedy="Give --id ID (several times if need be), or --all."
        )
    stack = Stack.find(data_dir)
    replayed = parked.replay_all(stack) if every else parked.replay(stack, set(ids or ()))
    for service, count in replayed.counts.items():
        print(f"{service}: {count} sent again")
    for message_id in sorted(replayed.unknown):
        print(f"{message_id} is not parked", file=sys.stderr)
    if replayed.unknown:
        raise typer.Exit(EXIT_FINDINGS)
