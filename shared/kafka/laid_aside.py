"""
What no broker takes, of an outbox without receipts: the refused messages stay in their parcel, laid aside.

They have no rows of their own, so the parcel is all that tells of them: nothing else is left in it, and it is
due never, until somebody sends it again.
"""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kafka.outbox import OutboxTable, join_payloads
from shared.kafka.parcels import Unpacked, payloads_of


async def lay_aside_refused(
    connection: AsyncConnection, table: OutboxTable, refused: Sequence[tuple[Unpacked, Sequence[int]]]
) -> None:
    """Leave in each parcel the messages at these places only, and let it lie."""
    for parcel, places in sorted(refused, key=lambda one: (one[0].row.organization_id, one[0].row.parcel_id)):
        every = payloads_of(parcel.row)
        payloads = [every[place - 1] for place in places]
        left = {
            "organization_id": parcel.row.organization_id,
            "parcel_id": parcel.row.parcel_id,
            "places": list(places),
            "messages": len(places),
            "bytes": sum(map(len, payloads)),
            **join_payloads(payloads),
        }
        await connection.execute(_lay_aside(table), left)


async def list_laid_aside(
    connection: AsyncConnection, table: OutboxTable, *, ids: Collection[UUID] | None, limit: int
) -> list[dict[str, Any]]:
    """Give the oldest messages laid aside, or those of them with these ids."""
    found = await connection.execute(_list(table), {"ids": ids and list(ids), "rows": limit})
    return [dict(row) for row in found.mappings()]


async def send_laid_aside(
    connection: AsyncConnection, table: OutboxTable, *, ids: Collection[UUID] | None
) -> int:
    """Make due what is laid aside, or the parcels that have one of these; gives the number of messages."""
    sent = await connection.execute(_send(table), {"ids": None if ids is None else list(ids)})
    return sum(sent.scalars())


@cache
def _lay_aside(table: OutboxTable) -> TextClause:
    arrays = ("message_ids", "revisions", "types", "message_keys", "trace_parents")
    left = ", ".join(
        f"{name} = array(select p.{name}[at] from unnest(cast(:places as integer[])) as at order by at)"
        for name in arrays
    )
    return text(f"""
        update {table.parcels} p set due_at = null, messages = :messages, open_messages = :messages,
            open_bytes = :bytes, payloads = :payloads, ends = cast(:ends as integer[]), {left}
        where organization_id = :organization_id and parcel_id = :parcel_id and due_at is not null
    """)


# When it was laid aside is written nowhere: it is tried at once, so this is when it was made.
@cache
def _list(table: OutboxTable) -> TextClause:
    return text(f"""
        select p.organization_id, m.message_id, m.revision, m.type,
            'RefusedRecordError' as reason, p.created_at as parked_at
        from {table.parcels} p
        cross join unnest(p.message_ids, p.revisions, p.types) as m(message_id, revision, type)
        where p.due_at is null
            and (cast(:ids as uuid[]) is null or m.message_id = any (cast(:ids as uuid[])))
        order by p.created_at, m.message_id limit :rows
    """)


@cache
def _send(table: OutboxTable) -> TextClause:
    return text(f"""
        update {table.parcels} set due_at = now()
        where due_at is null and (cast(:ids as uuid[]) is null or message_ids && cast(:ids as uuid[]))
        returning open_messages
    """)
