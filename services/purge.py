"""
`reprieve purge`: destroys what is kept longer than it should be.

Without --yes it only says what it would do. Raw files and the names of old months go by their keys; what was
said about claims that ended goes from the ledger, from triage and from the parcels in which it travelled. Ids
and amounts stay for ever, since duplicates and the reconciliation need them.

Each service's tables are purged by that service's own statements and with that service's rights; only keys,
which no service may destroy, need the owner. Claims come first: the tracker knows which of them ended, and
the months of their names may go only after them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ingest.store import retention as ingest
from services.ingest.store.events import CLAIM_EVENTS
from services.ingest.store.retention import Scope
from services.tracker.store import retention as tracker
from services.tracker.store.outboxes import FACTS
from services.triage.store import retention as triage
from shared import clock
from shared.errors import InvalidInputError, NotFoundError
from shared.kafka.keeping import count_old_parcels, delete_old_parcels
from shared.kafka.outbox import OutboxTable
from shared.postgres import rows, transaction
from shared.security import administration
from shared.security.commands import Format, FormatOption, with_owner
from shared.security.settings import (
    DEFAULT_DATA_DIR,
    AdministrationSettings,
    DataDirOption,
    read_administration,
)
from shared.storage.objects import Objects
from shared.terminal import counted


class PurgeSettings(AdministrationSettings):
    """Where raw files are, as ingest knows it."""

    raw_dir: Path | None = None
    raw_url: str | None = None


@dataclass(frozen=True, slots=True)
class Found(ingest.Found):
    """
    Counts of what a purge would take, or took, with the bytes in which it is kept; for claims,
    before compression.

    `claims` are keys of claims that ended, `case_files` the files that people attached to their cases;
    `parcels` are those of the events and facts that went to triage. Decisions go out of their parcels with
    their claims.
    """

    claims: int
    claim_bytes: int
    case_files: int
    case_file_bytes: int
    parcels: int
    parcel_bytes: int


_PARCELS: tuple[tuple[OutboxTable, str | None], ...] = ((CLAIM_EVENTS, None), (FACTS, "reprieve_tracker"))
"""Outboxes whose parcels go by age alone, since triage keeps what they brought, and with whose rights."""
_BEFORE_ALL = UUID(int=0)
_ACT_AS = text("select set_config('role', :role, true)")
_NOTE = text("insert into access.operations_log (action, detail) values (:action, cast(:detail as jsonb))")

Shown = Callable[[str, int], None]


def purge(
    *,
    older_than: Annotated[
        int | None,
        typer.Option(min=1, metavar="DAYS", help="Instead of each organization's own retention."),
    ] = None,
    organization: Annotated[str | None, typer.Option(help="Only this one; its name or id.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, as without --yes.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Nothing brings back what is destroyed.")] = False,
    output: FormatOption = Format.table,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
) -> None:
    """
    Destroy raw files, names and payloads that are older than `reprieve orgs retention` says.

    Says what it would do; with --yes it does. Claims that are still open keep what was said about them. May
    be stopped and repeated at any time.
    """
    if yes and dry_run:
        raise InvalidInputError("Either --dry-run or --yes.", remedy="Look with the first, then do it.")
    settings = read_administration(PurgeSettings, data_dir)
    place = (
        settings.raw_url or settings.raw_dir or (data_dir / "raw" if (data_dir / "raw").is_dir() else None)
    )
    if place is None:
        raise InvalidInputError(
            "Where raw files are kept is not known.", remedy="Set REPRIEVE_RAW_DIR or REPRIEVE_RAW_URL."
        )

    async def look(engine: AsyncEngine) -> tuple[Scope, Found]:
        scope = await scope_of(engine, today=clock.now().date(), older_than=older_than, name=organization)
        return scope, await find_old(engine, scope)

    scope, found = with_owner(data_dir, look)
    _say(found, output, done=yes)
    if yes:
        _carry_out_shown(data_dir, Objects(place), scope, found)


def _carry_out_shown(data_dir: Path, objects: Objects, scope: Scope, found: Found) -> None:
    with Progress(console=Console(stderr=True)) as progress:
        tasks = {
            what: progress.add_task(what.replace("_", " "), total=getattr(found, what))
            for what in ("claims", "files", "parcels")
        }
        with_owner(
            data_dir,
            lambda engine: carry_out(
                engine, objects, scope, show=lambda what, count: progress.advance(tasks[what], count)
            ),
        )
    Console(stderr=True).print(
        "Done; access.operations_log has the line. Running processes forget old months in five minutes."
    )


async def scope_of(engine: AsyncEngine, *, today: date, older_than: int | None, name: str | None) -> Scope:
    """Say what is old today. Raises NotFoundError for an unknown organization."""
    async with transaction(engine) as connection:
        found = await rows(
            connection, "select organization_id, name, retention_days from access.organizations"
        )
    before: dict[UUID, date | None] = {}
    for row in found:
        days = older_than or row.retention_days
        asked = name is None or name in (row.name, str(row.organization_id))
        before[row.organization_id] = today - timedelta(days=days) if asked and days else None
    if name is not None and not any(name in (row.name, str(row.organization_id)) for row in found):
        raise NotFoundError("There is no such organization.", remedy="`reprieve orgs list` shows them.")
    submitters = [one.submitter_id for one in await administration.list_submitters(engine)]
    return Scope(before, _unowned(before), submitters)


def _unowned(before: dict[UUID, date | None]) -> date | None:
    """A file of which nobody got anything goes when everybody would let it go."""
    days = [day for day in before.values() if day is not None]
    return min(days) if days and len(days) == len(before) else None


async def find_old(engine: AsyncEngine, scope: Scope) -> Found:
    """Count what is old."""
    claims = claim_bytes = case_files = case_file_bytes = parcels = parcel_bytes = 0
    for organization, day in scope.days():
        async with transaction(engine, organizations=[organization]) as connection:
            await _act_as(connection, "reprieve_tracker")
            count, size = await tracker.count_old_claims(connection, day)
            files, file_bytes = await tracker.count_old_files(connection, day)
        claims, claim_bytes = claims + count, claim_bytes + size
        case_files, case_file_bytes = case_files + files, case_file_bytes + file_bytes
    for table, role in _PARCELS:
        async with transaction(engine, organizations=scope.before) as connection:
            await _act_as(connection, role)
            count, size = await count_old_parcels(connection, table, scope.before)
        parcels, parcel_bytes = parcels + count, parcel_bytes + size
    ours = await ingest.find_old(engine, await _with_needed_months(engine, scope))
    return Found(
        **asdict(ours),
        claims=claims,
        claim_bytes=claim_bytes,
        case_files=case_files,
        case_file_bytes=case_file_bytes,
        parcels=parcels,
        parcel_bytes=parcel_bytes,
    )


async def carry_out(engine: AsyncEngine, objects: Objects, scope: Scope, *, show: Shown) -> Found:
    """Destroy what is old; gives what that was. May be repeated after any failure."""
    found = await find_old(engine, scope)
    await _note(engine, "purge_begun", scope, found)
    for organization, day in scope.days():
        await _empty_claims(engine, organization, day, show)
        await _empty_decisions(engine, organization, day)
    while await _shred_some(engine, scope, show):
        continue
    await _remove_shredded(engine, objects, scope)
    needing = await _with_needed_months(engine, scope)
    async with transaction(engine, organizations=scope.before, submitters=scope.submitters) as connection:
        await ingest.shred_months(connection, needing)
    for table, role in _PARCELS:
        while await _delete_some(engine, scope, table, role, show):
            continue
    await _note(engine, "purge_ended", scope, found)
    return found


async def _act_as(connection: AsyncConnection, role: str | None) -> None:
    """Go on, until the transaction ends, with a service's rights and no others."""
    if role:
        await connection.execute(_ACT_AS, {"role": role})


async def _with_needed_months(engine: AsyncEngine, scope: Scope) -> Scope:
    needed = []
    for organization, day in scope.days():
        async with transaction(engine, organizations=[organization]) as connection:
            await _act_as(connection, "reprieve_tracker")
            needed += [(organization, month) for month in await tracker.months_needed(connection, day)]
    return replace(scope, needed_months=needed)


async def _empty_claims(engine: AsyncEngine, organization: UUID, day: date, show: Shown) -> None:
    """
    Empty the claims of one organization that ended, some at a time.

    The tracker's locks keep a page as it is while triage empties its part; triage comes first, so that what
    is cut short is found again. What triage still has to deliver stays on both sides.
    """
    after: UUID | None = _BEFORE_ALL
    while after is not None:
        async with transaction(engine, organizations=[organization]) as connection:
            await _act_as(connection, "reprieve_tracker")
            old = await tracker.old_claims(connection, day, after=after)
            ended = await _empty_in_triage(engine, organization, old.claims)
            await tracker.empty_claims(connection, [one.claim_key for one in ended])
        after = old.last
        show("claims", len(ended))


async def _empty_in_triage(
    engine: AsyncEngine, organization: UUID, claims: list[tracker.OldClaim]
) -> list[tracker.OldClaim]:
    async with transaction(engine, organizations=[organization]) as connection:
        await _act_as(connection, "reprieve_triage")
        events = [event for one in claims for event in one.event_ids]
        waiting = await triage.unsettled_among(connection, events)
        ended = [one for one in claims if not waiting.intersection(one.event_ids)]
        await triage.empty_claims(
            connection,
            claim_keys=[one.claim_key for one in ended],
            events=[event for one in ended for event in one.event_ids],
        )
    return ended


async def _empty_decisions(engine: AsyncEngine, organization: UUID, day: date) -> None:
    after: int | None = -1
    while after is not None:
        async with transaction(engine, organizations=[organization]) as connection:
            await _act_as(connection, "reprieve_triage")
            after = await triage.empty_parcels(connection, day, after=after)


async def _delete_some(
    engine: AsyncEngine, scope: Scope, table: OutboxTable, role: str | None, show: Shown
) -> int:
    async with transaction(engine, organizations=scope.before) as connection:
        await _act_as(connection, role)
        deleted = await delete_old_parcels(connection, table, scope.before)
    show("parcels", deleted)
    return deleted


async def _shred_some(engine: AsyncEngine, scope: Scope, show: Shown) -> int:
    async with transaction(engine, organizations=scope.before, submitters=scope.submitters) as connection:
        sizes = await ingest.shred_files(connection, scope)
    show("files", len(sizes))
    return len(sizes)


async def _remove_shredded(engine: AsyncEngine, objects: Objects, scope: Scope) -> None:
    while True:
        async with transaction(engine, submitters=scope.submitters) as connection:
            shredded = await ingest.files_to_remove(connection)
        if not shredded:
            return
        for one in shredded:
            await asyncio.to_thread(objects.remove, one.storage_key)
        async with transaction(engine, submitters=scope.submitters) as connection:
            await ingest.note_removed(connection, shredded)


async def _note(engine: AsyncEngine, action: str, scope: Scope, found: Found) -> None:
    days: dict[str, Any] = {str(key): day.isoformat() for key, day in scope.before.items() if day}
    detail = msgspec.json.encode({"before": days, **asdict(found)}).decode()
    async with transaction(engine) as connection:
        await connection.execute(_NOTE, {"action": action, "detail": detail})


def _say(found: Found, output: Format, *, done: bool) -> None:
    """Show what goes, and what stays although it is old."""
    if output is Format.json:
        typer.echo(msgspec.json.encode({**asdict(found), "dry_run": not done}))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("what", "how many", "bytes"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for what, count, size in (
        ("raw files", found.files, found.bytes),
        ("months whose names can be opened", found.months, None),
        ("claims that ended: what was said about them", found.claims, found.claim_bytes),
        ("files attached to their cases", found.case_files, found.case_file_bytes),
        ("parcels in which that travelled", found.parcels, found.parcel_bytes),
    ):
        table.add_row(what, f"{count:,}", "" if size is None else f"{size:,}")
    Console().print(table)
    if found.held_files:
        typer.echo(
            f"kept all the same: {counted(found.held_files, 'file')} with held sets;"
            " register their payees first"
        )
    if found.unread_files:
        typer.echo(
            f"kept all the same: {counted(found.unread_files, 'file')} with claims that nobody could read"
            " yet; release or dismiss them first (`reprieve quarantine list`)"
        )
    if not done:
        typer.echo("Nothing was destroyed. Repeat it with --yes to do it.")
