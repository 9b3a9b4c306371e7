"""
What a purge takes from ingest: keys and bytes of raw files, and data keys. Ids and amounts stay.

It runs as the owner of the tables. A key is destroyed first, in the database; the sealed bytes, which nobody
can read any more, are taken away after that, and again at the next purge when that was cut short.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.postgres import transaction

_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Scope:
    """
    What is old. `before` has each organization's day, None for one that keeps everything.

    `unowned_before` is for files of which no organization got anything. `needed_months` are those, as their
    first days, in which something came that people still work with: their names must open.
    """

    before: Mapping[UUID, date | None]
    unowned_before: date | None
    submitters: Sequence[UUID] = field(default_factory=tuple)
    needed_months: Sequence[tuple[UUID, date]] = field(default_factory=tuple)

    def days(self) -> list[tuple[UUID, date]]:
        """Give the organizations that let something go, each with its day."""
        return [(one, day) for one, day in self.before.items() if day is not None]

    def parameters(self) -> dict[str, Any]:
        return {
            "organizations": list(self.before),
            "days": list(self.before.values()),
            "unowned": self.unowned_before,
            "needing": [one for one, _ in self.needed_months],
            "needed": [month for _, month in self.needed_months],
            "limit": _ROWS_AT_ONCE,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """
    Counts and bytes of what a purge would take, or took.

    Old files that stay all the same: `held_files` until their payees are registered, and of the others
    `unread_files`, the only copies of claims that nobody could read yet.
    """

    files: int
    bytes: int
    held_files: int
    unread_files: int
    months: int


# A file goes when every organization that got a part of it lets it go; an unknown day comes before all files.
_OLD = """
    r.wrapped_key is not null and not r.due and r.status in ('processed', 'refused')
    and r.acknowledgment is distinct from 'due'
    and r.received_at < coalesce(
        (select min(coalesce(b.day, '-infinity')) from ingest.remittances m
         left join unnest(cast(:organizations as uuid[]), cast(:days as date[])) as b(organization_id, day)
             on b.organization_id = m.organization_id
         where m.submitter_id = r.submitter_id and m.receipt_id = r.receipt_id),
        cast(:unowned as date), '-infinity')
"""
_HELD = """
    exists (select 1 from ingest.held_remittances h
            where h.submitter_id = r.submitter_id and h.receipt_id = r.receipt_id)
"""
# A remittance of which something is still to be read from its file: asked for, or in quarantine.
_UNREAD = """
    (m.replay_asked_at is not null or exists (
        select 1 from ingest.quarantined_claims q
        where q.organization_id = m.organization_id and q.remittance_id = m.remittance_id
            and q.state = 'quarantined'))
"""
_PARTLY_UNREAD = f"""
    exists (select 1 from ingest.remittances m
            where m.submitter_id = r.submitter_id and m.receipt_id = r.receipt_id and {_UNREAD})
"""
_COUNT_FILES = text(f"""
    select count(*) filter (where not held and not unread) as files,
        coalesce(sum(size_bytes) filter (where not held and not unread), 0) as bytes,
        count(*) filter (where held) as held_files,
        count(*) filter (where unread and not held) as unread_files
    from (select r.size_bytes, {_HELD} as held, {_PARTLY_UNREAD} as unread
          from ingest.receipts r where {_OLD}) as old
""")
_SHRED_FILES = text(f"""
    update ingest.receipts set wrapped_key = null, shredded_at = now()
    where (submitter_id, receipt_id) in (
        select r.submitter_id, r.receipt_id from ingest.receipts r
        where {_OLD} and not {_HELD} and not {_PARTLY_UNREAD} limit :limit)
    returning receipt_id, size_bytes
""")
# Beside raw files and events these alone hold claims' numbers: what people supplied, and references of PLBs.
_FORGET_SUPPLIED = text("""
    update ingest.quarantined_claims q set supplied = null, reason = null
    from ingest.remittances m
    where m.receipt_id = any (cast(:receipts as uuid[])) and q.organization_id = m.organization_id
        and q.remittance_id = m.remittance_id and q.reason is not null
""")
_FORGET_REFERENCES = text("""
    update ingest.remittances m set provider_adjustments =
        (select jsonb_agg(one - 'reference' order by place)
         from jsonb_array_elements(m.provider_adjustments) with ordinality as kept(one, place))
    where m.receipt_id = any (cast(:receipts as uuid[])) and m.provider_adjustments <> '[]'
""")
_TO_REMOVE = text("""
    select submitter_id, receipt_id, storage_key from ingest.receipts
    where shredded_at is not null and removed_at is null limit :limit
""")
_REMOVED = text("""
    update ingest.receipts set removed_at = now()
    where (submitter_id, receipt_id) in (
        select * from unnest(cast(:submitters as uuid[]), cast(:receipts as uuid[])))
""")
# Reading a file needs the key of the month, in its organization's zone, in which the file came. Whose the
# sets of a file are that waits or is held is not known yet: it keeps the month of every organization.
_TO_READ = f"""
    with to_read as materialized (
        select r.received_at, cast(null as uuid) as organization_id from ingest.receipts r
        where r.wrapped_key is not null and (r.due or r.status in ('received', 'processing') or {_HELD})
        union all
        select r.received_at, m.organization_id from ingest.receipts r
        join ingest.remittances m on m.submitter_id = r.submitter_id and m.receipt_id = r.receipt_id
        where r.wrapped_key is not null and {_UNREAD}
        union all
        select m.received_at, m.organization_id from ingest.remittances m
        join unnest(cast(:organizations as uuid[]), cast(:days as date[])) as b(organization_id, day)
            on b.organization_id = m.organization_id and m.received_at < b.day and m.released_at >= b.day
    )
"""
_OLD_MONTHS = """
    from unnest(cast(:organizations as uuid[]), cast(:days as date[])) as b(organization_id, day)
    join access.organizations o on o.organization_id = b.organization_id
    where k.organization_id = b.organization_id and k.wrapped_key is not null
        and k.month + interval '1 month' <= b.day
        and not exists (
            select 1 from to_read t
            where coalesce(t.organization_id, k.organization_id) = k.organization_id
                and date_trunc('month', t.received_at at time zone o.time_zone) = k.month)
        and (k.organization_id, k.month) not in (
            select * from unnest(cast(:needing as uuid[]), cast(:needed as date[])))
"""
_COUNT_MONTHS = text(f"""
    {_TO_READ} select count(*) from access.data_keys k where exists (select 1 {_OLD_MONTHS})
""")
_SHRED_MONTHS = text(f"""
    {_TO_READ} update access.data_keys k set wrapped_key = null, shredded_at = now() {_OLD_MONTHS}
    returning k.month
""")


async def find_old(engine: AsyncEngine, scope: Scope) -> Found:
    """Count what is old."""
    asked = scope.parameters()
    async with transaction(engine, organizations=scope.before, submitters=scope.submitters) as connection:
        files = (await connection.execute(_COUNT_FILES, asked)).one()
        months = await connection.scalar(_COUNT_MONTHS, asked)
    return Found(
        files=files.files,
        bytes=int(files.bytes),
        held_files=files.held_files,
        unread_files=files.unread_files,
        months=int(months or 0),
    )


async def shred_files(connection: AsyncConnection, scope: Scope) -> list[int]:
    """Destroy the keys of some old files, and what is kept of their words; gives sizes, none when done."""
    shredded = (await connection.execute(_SHRED_FILES, scope.parameters())).all()
    if shredded:
        receipts = {"receipts": [one.receipt_id for one in shredded]}
        await connection.execute(_FORGET_SUPPLIED, receipts)
        await connection.execute(_FORGET_REFERENCES, receipts)
    return [one.size_bytes for one in shredded]


async def files_to_remove(connection: AsyncConnection) -> list[Any]:
    """Give some files whose key is destroyed and whose bytes are still there."""
    return list((await connection.execute(_TO_REMOVE, {"limit": _ROWS_AT_ONCE})).all())


async def note_removed(connection: AsyncConnection, removed: Sequence[Any]) -> None:
    """Keep in mind that the bytes of these files are gone."""
    ids = {
        "submitters": [one.submitter_id for one in removed],
        "receipts": [one.receipt_id for one in removed],
    }
    await connection.execute(_REMOVED, ids)


async def shred_months(connection: AsyncConnection, scope: Scope) -> int:
    """
    Destroy the data keys of the months that ended before each organization's day; gives their number.

    A month stays as long as something that came in it is to be read; all scopes must be open to see that.
    """
    return len((await connection.execute(_SHRED_MONTHS, scope.parameters())).all())
