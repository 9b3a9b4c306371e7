"""An outbox when its retention ends: parcels that arrived long ago go, their messages' rows stay."""

from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kafka.outbox import OutboxTable

PARCELS_AT_ONCE = 500

Days = Mapping[UUID, date | None]
"""Each organization's day: what is from before it is old. None: it keeps everything."""


async def count_old_parcels(connection: AsyncConnection, table: OutboxTable, before: Days) -> tuple[int, int]:
    """Count what delete_old_parcels() would take, and the bytes in which its payloads are kept."""
    found = (await connection.execute(_count(table), _days(before))).one()
    return found.parcels, int(found.bytes)


async def delete_old_parcels(connection: AsyncConnection, table: OutboxTable, before: Days) -> int:
    """Delete some old parcels in which everything is settled; gives their number, 0 when all are gone."""
    return int((await connection.execute(_delete(table), _days(before))).rowcount)


def _days(before: Days) -> dict[str, Any]:
    return {"organizations": list(before), "days": list(before.values())}


# What is parked waits for an operator, and needs its payload to be sent again.
@cache
def _old(table: OutboxTable) -> str:
    return f"""
        p.due_at is null and p.open_messages = 0 and exists (
            select 1
            from unnest(cast(:organizations as uuid[]), cast(:days as date[])) as b(organization_id, day)
            where b.organization_id = p.organization_id and p.created_at < b.day)
        and not exists (
            select 1 from {table.name} m
            where m.organization_id = p.organization_id and m.message_id = any (p.message_ids)
                and m.parcel_id = p.parcel_id and m.settled_at is null)
    """


@cache
def _count(table: OutboxTable) -> TextClause:
    return text(f"""
        select count(*) as parcels, coalesce(sum(pg_column_size(p.payloads)), 0) as bytes
        from {table.parcels} p where {_old(table)}
    """)


@cache
def _delete(table: OutboxTable) -> TextClause:
    return text(f"""
        delete from {table.parcels} where (organization_id, parcel_id) in (
            select p.organization_id, p.parcel_id from {table.parcels} p
            where {_old(table)} limit {PARCELS_AT_ONCE})
    """)
