"""
`reprieve purge`: destroys what is kept longer than it should be, by destroying the keys that open it.

Without --yes it only says what it would do. Raw files, the names of old months and the payloads of old events
go; ids and amounts stay for ever, since duplicates and the reconciliation need them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store import retention
from services.ingest.store.objects import Objects
from services.ingest.store.retention import Found, Scope
from shared import clock
from shared.errors import InvalidInputError, NotFoundError
from shared.postgres import rows, transaction
from shared.security import administration
from shared.security.commands import with_owner
from shared.security.settings import (
    DEFAULT_DATA_DIR,
    AdministrationSettings,
    DataDirOption,
    read_administration,
)


class PurgeSettings(AdministrationSettings):
    """Where raw files are, as ingest knows it."""

    raw_dir: Path | None = None
    raw_url: str | None = None


_NOTE = text("insert into access.operations_log (action, detail) values (:action, cast(:detail as jsonb))")

Shown = Callable[[int], None]


def purge(
    older_than: Annotated[
        int | None,
        typer.Option(min=1, metavar="DAYS", help="Instead of each organization's own retention."),
    ] = None,
    organization: Annotated[str | None, typer.Option(help="Only this one; its name or id.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Nothing brings back what is destroyed.")] = False,  # noqa: FBT002  an option
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
) -> None:
    """
    Destroy raw files and names that are older than their organization keeps them (`reprieve orgs retention`).

    Says what it would do; with --yes it does. May be stopped and repeated at any time.
    """
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
        return scope, await retention.find_old(engine, scope)

    scope, found = with_owner(data_dir, look)
    _say(found)
    if not yes:
        typer.echo("Nothing was destroyed. Repeat it with --yes to do it.")
        return
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("raw files", total=found.files)
        with_owner(
            data_dir,
            lambda engine: carry_out(engine, Objects(place), scope, show=lambda n: progress.advance(task, n)),
        )
    typer.echo(
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


async def carry_out(engine: AsyncEngine, objects: Objects, scope: Scope, *, show: Shown) -> Found:
    """Destroy what is old; gives what that was. May be repeated after any failure."""
    found = await retention.find_old(engine, scope)
    await _note(engine, "purge_begun", scope, found)
    while await _shred_some(engine, scope, show):
        continue
    await _remove_shredded(engine, objects, scope)
    async with transaction(engine, organizations=scope.before, submitters=scope.submitters) as connection:
        await retention.shred_months(connection, scope)
    while await _purge_some(engine, scope):
        continue
    await _note(engine, "purge_ended", scope, found)
    return found


async def _shred_some(engine: AsyncEngine, scope: Scope, show: Shown) -> int:
    async with transaction(engine, organizations=scope.before, submitters=scope.submitters) as connection:
        sizes = await retention.shred_files(connection, scope)
    show(len(sizes))
    return len(sizes)


async def _remove_shredded(engine: AsyncEngine, objects: Objects, scope: Scope) -> None:
    while True:
        async with transaction(engine, submitters=scope.submitters) as connection:
            shredded = await retention.files_to_remove(connection)
        if not shredded:
            return
        for one in shredded:
            await asyncio.to_thread(objects.remove, one.storage_key)
        async with transaction(engine, submitters=scope.submitters) as connection:
            await retention.note_removed(connection, shredded)


async def _purge_some(engine: AsyncEngine, scope: Scope) -> int:
    async with transaction(engine, organizations=scope.before) as connection:
        return await retention.purge_payloads(connection, scope)


async def _note(engine: AsyncEngine, action: str, scope: Scope, found: Found) -> None:
    days: dict[str, Any] = {str(key): day.isoformat() for key, day in scope.before.items() if day}
    detail = msgspec.json.encode({"before": days, **asdict(found)}).decode()
    async with transaction(engine) as connection:
        await connection.execute(_NOTE, {"action": action, "detail": detail})


def _say(found: Found) -> None:
    typer.echo(f"raw files: {found.files:,} with {found.bytes:,} bytes")
    typer.echo(f"months whose names can be opened: {found.months:,}")
    typer.echo(
        f"payloads of events that arrived: {found.parcels:,} parcels with {found.parcel_bytes:,} bytes"
    )
    if found.held_files:
        typer.echo(
            f"kept all the same: {found.held_files:,} files with held sets; register their payees first"
        )
    if found.unread_files:
        typer.echo(
            f"kept all the same: {found.unread_files:,} files with claims that nobody could read yet;"
            " release or dismiss them first (`reprieve quarantine list`)"
        )
