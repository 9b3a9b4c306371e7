"""
What a purge takes from triage: events, facts and decisions of claims that ended long ago.

Triage does not know which claims ended: the tracker does, and `reprieve purge` tells. Decisions lie in
parcels with others'; a parcel is written anew without the ones that may go, so that open claims keep theirs.
"""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kafka.outbox import join_payloads
from shared.kafka.parcels import payloads_of
from shared.postgres.bundles import empty_payloads

PARCELS_AT_ONCE = 100

_UNSETTLED = text("""
    select distinct found.event_id
    from unnest(cast(:events as uuid[])) as wanted(event_id)
    cross join lateral (
        select d.event_id from triage.decisions d
        where d.event_id = wanted.event_id and d.settled_at is null limit 1
    ) as found
""")
_EMPTY_FACTS = text("""
    update triage.facts set payload = ''
    where claim_key = any (cast(:claim_keys as uuid[])) and octet_length(payload) > 0
""")
# What may go of a parcel is what is settled and decides an event that was emptied.
_PAGE = text(f"""
    select p.parcel_id, p.message_ids, p.payloads, p.ends, gone.places
    from triage.decisions_parcels p
    cross join lateral (
        select array_agg(d.place) as places
        from unnest(p.message_ids, p.revisions) as sent(message_id, revision)
        join triage.decisions d using (message_id, revision)
        join triage.events e on (e.event_id, e.revision) = (d.event_id, d.event_revision)
        where d.parcel_id = p.parcel_id and d.settled_at is not null and e.bundle_id is null
    ) as gone
    where p.parcel_id > :after and p.created_at < :day and p.due_at is null and gone.places is not null
    order by p.parcel_id limit {PARCELS_AT_ONCE}
    for update of p
""")
_LET_GO = text("""
    update triage.decisions d set parcel_id = 0
    from unnest(cast(:messages as uuid[])) as gone(message_id)
    where d.message_id = gone.message_id and d.parcel_id = :parcel
""")
_DELETE = text("delete from triage.decisions_parcels where parcel_id = :parcel")
_REWRITE = text("""
    update triage.decisions_parcels set message_ids = cast(:message_ids as uuid[]), payloads = :payloads,
        ends = cast(:ends as integer[]), messages = :messages
    where parcel_id = :parcel
""")


async def unsettled_among(connection: AsyncConnection, events: Collection[UUID]) -> set[UUID]:
    """Of these events, give those with a decision that did not arrive or was laid aside: they must wait."""
    found = await connection.execute(_UNSETTLED, {"events": list(events)})
    return {UUID(bytes=one.bytes) for one in found.scalars()}


async def empty_claims(
    connection: AsyncConnection, *, claim_keys: Collection[UUID], events: Collection[UUID]
) -> None:
    """Destroy what is kept in words about these claims and their events."""
    await empty_payloads(connection, "triage.events", of="event_id", keys=events)
    await connection.execute(_EMPTY_FACTS, {"claim_keys": list(claim_keys)})


async def empty_parcels(connection: AsyncConnection, day: date, *, after: int) -> int | None:
    """Take decisions of emptied events out of some parcels from before `day`; gives the last one, if any."""
    page = (await connection.execute(_PAGE, {"day": day, "after": after})).all()
    for row in page:
        await _empty(connection, row)
    return page[-1].parcel_id if page else None


async def _empty(connection: AsyncConnection, row: Any) -> None:
    gone = set(row.places)
    ids: Sequence[UUID | None] = row.message_ids
    left = [None if place in gone else one for place, one in enumerate(ids, 1)]
    messages = [one for place, one in enumerate(ids, 1) if place in gone]
    await connection.execute(_LET_GO, {"messages": messages, "parcel": row.parcel_id})
    count = sum(one is not None for one in left)
    if not count:
        await connection.execute(_DELETE, {"parcel": row.parcel_id})
        return
    payloads = [b"" if one is None else payload for one, payload in zip(left, payloads_of(row), strict=True)]
    rewritten = {"parcel": row.parcel_id, "message_ids": left, "messages": count, **join_payloads(payloads)}
    await connection.execute(_REWRITE, rewritten)
