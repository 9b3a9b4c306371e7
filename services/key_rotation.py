"""
`reprieve keys rotate`: everything that an older master key wrapped is wrapped by the new one.

Only wrappings change; what is sealed stays as it is, so that this takes seconds. It works as the owner of
the tables, in small transactions: whatever stops it, run it again. The processes read both keys meanwhile.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store.feed_secrets import secret_context
from services.ingest.store.sftp_pulls import sftp_secret_context
from services.tracker.alerts.store.channels import channel_secret_context
from shared.errors import InvalidInputError
from shared.http.auth import Scope
from shared.postgres import transaction
from shared.security import administration
from shared.security.commands import keys, with_owner
from shared.security.key_check import check_owned_master_key, new_check
from shared.security.keyring import data_key_context, index_key_context
from shared.security.sealing import MasterKey
from shared.security.settings import (
    DEFAULT_DATA_DIR,
    DataDirOption,
    OrganizationSettings,
    read_administration,
)

_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Wrapping:
    """A column of wrapped keys. `first` and `second` (name, type) identify a row; `context` binds its key."""

    name: str
    table: str
    column: str
    first: tuple[str, str]
    second: tuple[str, str]
    context: Callable[[Any], bytes]
    more: str = ""

    def count(self) -> TextClause:
        return text(f"select count(*) from {self.table} where {self.column} is not null")

    def page(self, *, begun: bool) -> TextClause:
        after = f"and ({self.first[0]}, {self.second[0]}) > (:first, :second)" if begun else ""
        return text(f"""
            select {self.first[0]} as first, {self.second[0]} as second, {self.column} as wrapped {self.more}
            from {self.table} where {self.column} is not null {after}
            order by {self.first[0]}, {self.second[0]} limit :limit
        """)

    def update(self) -> TextClause:
        # What was replaced meanwhile, such as the key of a lost file, is left to the next pass.
        return text(f"""
            update {self.table} t set {self.column} = fresh.wrapped
            from unnest(cast(:firsts as {self.first[1]}[]), cast(:seconds as {self.second[1]}[]),
                cast(:old as bytea[]), cast(:new as bytea[])) as fresh(first, second, old, wrapped)
            where t.{self.first[0]} = fresh.first and t.{self.second[0]} = fresh.second
                and t.{self.column} = fresh.old
        """)


_WRAPPINGS = (
    _Wrapping(
        "index keys of organizations",
        "access.organizations",
        "wrapped_index_key",
        ("organization_id", "uuid"),
        ("name", "text"),
        lambda row: index_key_context(row.first),
    ),
    _Wrapping(
        "data keys of months",
        "access.data_keys",
        "wrapped_key",
        ("organization_id", "uuid"),
        ("month", "date"),
        lambda row: data_key_context(row.first, row.second),
    ),
    _Wrapping(
        "keys of raw files",
        "ingest.receipts",
        "wrapped_key",
        ("submitter_id", "uuid"),
        ("receipt_id", "uuid"),
        lambda row: str(row.storage_key).encode(),
        more=", storage_key",
    ),
    _Wrapping(
        "keys of cases' files",
        "tracker.files",
        "wrapped_key",
        ("organization_id", "uuid"),
        ("file_id", "uuid"),
        lambda row: str(row.storage_key).encode(),
        more=", storage_key",
    ),
    _Wrapping(
        "signing secrets",
        "ingest.feed_secrets",
        "wrapped_secret",
        ("submitter_id", "uuid"),
        ("secret_id", "uuid"),
        lambda row: secret_context(row.first, row.second),
    ),
    _Wrapping(
        "SFTP secrets",
        "ingest.sftp_pulls",
        "wrapped_secret",
        ("submitter_id", "uuid"),
        ("feed", "text"),
        lambda row: sftp_secret_context(row.first, row.second),
    ),
    _Wrapping(
        "secrets of alert channels",
        "tracker.channels",
        "sealed_secret",
        ("organization_id", "uuid"),
        ("channel_id", "uuid"),
        lambda row: channel_secret_context(row.first, row.second),
    ),
)


@dataclass(slots=True)
class Rotation:
    """What a rotation did: per kind of key how many there are, were wrapped anew, and open with no key."""

    total: dict[str, int] = field(default_factory=dict)
    rewrapped: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)


Shown = Callable[[str, int, int], None]
"""Told of progress: the kind of key, how many rows it has, how many more were looked at."""


async def rotate(engine: AsyncEngine, master_key: MasterKey, *, show: Shown) -> Rotation:
    """
    Wrap everything by the first master key, until a pass finds nothing left; then that is the key.

    Raises InvalidInputError when none of the keys is the installation's.
    """
    await check_owned_master_key(engine, master_key)
    done = Rotation()
    walls = Scope(
        submitters=tuple(one.submitter_id for one in await administration.list_submitters(engine)),
        organizations=tuple(one.organization_id for one in await administration.list_organizations(engine)),
    )
    for wrapping in _WRAPPINGS:
        while await _pass(engine, master_key, wrapping, walls, done, show):
            continue
    async with transaction(engine) as connection:
        await connection.execute(_SETTLE, {"wrapped": new_check(master_key)})
        detail = msgspec.json.encode({"rewrapped": done.rewrapped, "lost": done.lost}).decode()
        await connection.execute(_NOTE, {"detail": detail})
    return done


_SETTLE = text("""
    insert into access.master_key_check (wrapped_check) values (:wrapped)
    on conflict (only_one) do update set wrapped_check = excluded.wrapped_check, set_at = now()
""")
_NOTE = text("""
    insert into access.operations_log (action, detail) values ('master_key_rotated', cast(:detail as jsonb))
""")


async def _pass(
    engine: AsyncEngine,
    master_key: MasterKey,
    wrapping: _Wrapping,
    walls: Scope,
    done: Rotation,
    show: Shown,
) -> int:
    """Go once through one kind of key; gives how many were wrapped anew."""
    last: Any = None
    changed, lost, seen = 0, 0, 0
    async with transaction(engine, **walls) as connection:
        total = int(await connection.scalar(wrapping.count()) or 0)
    while True:
        async with transaction(engine, **walls) as connection:
            asked = {"limit": _ROWS_AT_ONCE, **({"first": last.first, "second": last.second} if last else {})}
            found = (await connection.execute(wrapping.page(begun=last is not None), asked)).all()
            fresh = []
            for row in found:
                try:
                    wrapped = master_key.rewrap(row.wrapped, context=wrapping.context(row))
                except InvalidInputError:
                    lost += 1
                    continue
                if wrapped is not None:
                    fresh.append((row, wrapped))
            if fresh:
                result = await connection.execute(
                    wrapping.update(),
                    {
                        "firsts": [row.first for row, _ in fresh],
                        "seconds": [row.second for row, _ in fresh],
                        "old": [row.wrapped for row, _ in fresh],
                        "new": [wrapped for _, wrapped in fresh],
                    },
                )
                changed += result.rowcount
        seen += len(found)
        show(wrapping.name, total, len(found))
        if len(found) < _ROWS_AT_ONCE:
            break
        last = found[-1]
    done.total[wrapping.name] = seen
    done.rewrapped[wrapping.name] = done.rewrapped.get(wrapping.name, 0) + changed
    if lost:
        done.lost[wrapping.name] = lost
    return changed


@keys.command("rotate")
def rotate_master_key(data_dir: DataDirOption = DEFAULT_DATA_DIR) -> None:
    """
    Wrap every key and secret by a new master key; safe to repeat.

    REPRIEVE_MASTER_KEY is NEW,OLD here and in every process that has it. Exit status 1: something opens with
    neither, which is named; 2: only one key is set.
    """
    settings = read_administration(OrganizationSettings, data_dir)
    master_key = MasterKey.from_text(settings.master_key.get_secret_value())
    if not master_key.has_older:
        raise InvalidInputError(
            "Only one master key is set; nothing was changed.",
            remedy="Set REPRIEVE_MASTER_KEY to NEW,OLD first, here and in every process that has it.",
        )
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        tasks: dict[str, Any] = {}

        def show(name: str, total: int, more: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.advance(tasks[name], more)

        done = with_owner(data_dir, lambda engine: rotate(engine, master_key, show=show))
    for name, count in done.rewrapped.items():
        typer.echo(f"{name}: {count} wrapped anew")
    if not done.lost:
        typer.echo(f"All {sum(done.total.values()):,} are under the first master key.")
    for name, count in done.lost.items():
        typer.echo(f"{name}: {count} open with no key that was given", err=True)
    raise typer.Exit(int(bool(done.lost)))
