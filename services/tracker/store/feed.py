"""
The feed: every case event of an organization, in the order in which they were committed, for ninety days.

A reader that remembers how far it read must never miss a row that is committed later with a smaller number.
So whoever writes waits for the organization's lock, takes the next number, and keeps the lock until the
commit: it is the last thing that a transaction does. Numbers are counted for each organization apart, because
a common count would tell one what the others do.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.store.outboxes import OUTBOX
from shared.contracts.base import Event
from shared.contracts.case_events import CaseEvent
from shared.kafka.outbox import Message, insert_messages
from shared.postgres import transaction
from shared.postgres.bundles import join, split

KEPT = timedelta(days=90)


class Place(NamedTuple):
    """How far somebody read: the entry, and how many of its events."""

    number: int = 0
    events: int = 0


class Told(NamedTuple):
    """An event: its type, its JSON as the topic has it, and the place behind it."""

    type: str
    payload: bytes
    place: Place


async def announce(
    connection: AsyncConnection, changes: Sequence[CaseEvent], others: Sequence[Event] = ()
) -> None:
    """
    Tell the changes to the topic and the feed, and the `others` to their topic. Do it last.

    Among the others is no order, so they go together, to one partition.
    """
    told = [Message.of(one) for one in changes]
    lane = others[0].message_id if others else None
    await insert_messages(connection, OUTBOX, [*told, *(Message.of(one, lane) for one in others)])
    by_organization: dict[UUID, list[Message]] = defaultdict(list)
    for one in told:
        by_organization[one.organization_id].append(one)
    for organization_id in sorted(by_organization):  # in one order, so that nobody waits in a circle
        await _enter(connection, organization_id, by_organization[organization_id])


async def _enter(connection: AsyncConnection, organization_id: UUID, changes: Sequence[Message]) -> None:
    told = [b"%s %s" % (one.type.encode(), one.payload) for one in changes]
    await connection.execute(_LOCK, {"organization_id": str(organization_id)})
    await connection.execute(
        _ENTER, {"organization_id": organization_id, "events": len(told), "contents": join(told)}
    )


_LOCK = text("select pg_advisory_xact_lock(hashtextextended('tracker.feed ' || :organization_id, 0))")
# A statement of its own: its snapshot is taken when the lock is there.
_ENTER = text("""
    insert into tracker.feed (organization_id, number, events, contents)
    select cast(:organization_id as uuid), coalesce(max(last.number), 0) + 1, :events, :contents
    from (
        select number from tracker.feed
        where organization_id = cast(:organization_id as uuid) order by number desc limit 1
    ) as last
""")


async def told_after(
    connection: AsyncConnection, organization_id: UUID, place: Place, *, limit: int
) -> list[Told]:
    """Give the next events behind a place; fewer than `limit` when there are no more."""
    found = await connection.execute(
        _AFTER, {"organization_id": organization_id, "number": place.number, "wanted": limit + place.events}
    )
    told: list[Told] = []
    for row in found:
        skipped = place.events if row.number == place.number else 0
        for nth, one in enumerate(split(row.contents), 1):
            if nth > skipped and len(told) < limit:
                type_, _, payload = one.partition(b" ")
                told.append(Told(type_.decode(), payload, Place(row.number, nth)))
    return told


_AFTER = text("""
    select number, contents from (
        select number, contents, sum(events) over (order by number) - events as before from (
            select number, contents, events from tracker.feed
            where organization_id = :organization_id and number >= :number
            order by number limit :wanted
        ) as next
    ) as counted
    where before < :wanted
    order by number
""")


async def case_ids_between(
    connection: AsyncConnection, organization_id: UUID, *, after: int, until: int
) -> set[UUID]:
    """Give the cases of which the entries behind `after`, up to and with `until`, tell."""
    found = await connection.execute(
        _BETWEEN, {"organization_id": organization_id, "after": after, "until": until}
    )
    return {
        _read_id(one.partition(b" ")[2]).case_id for contents in found.scalars() for one in split(contents)
    }


class _OfCase(msgspec.Struct):
    case_id: UUID


_read_id = msgspec.json.Decoder(_OfCase).decode
_BETWEEN = text("""
    select contents from tracker.feed
    where organization_id = :organization_id and number > :after and number <= :until
""")


async def last_place(
    connection: AsyncConnection, organization_id: UUID, *, before: datetime | None = None
) -> Place:
    """Give the place behind all events, or behind those recorded before an instant."""
    found = await connection.execute(_LAST, {"organization_id": organization_id, "before": before})
    row = found.one_or_none()
    return Place(row.number, row.events) if row else Place()


_LAST = text("""
    select number, events from tracker.feed
    where organization_id = :organization_id
        and (cast(:before as timestamptz) is null or recorded_at < cast(:before as timestamptz))
    order by number desc limit 1
""")


async def forget_old(engine: AsyncEngine, *, before: datetime, limit: int = 500) -> int:
    """Delete entries that were recorded before an instant, but the last of each organization."""
    async with transaction(engine) as connection:
        old = (await connection.execute(_OLD, {"before": before, "limit": limit})).all()
    if not old:
        return 0
    bound: dict[str, Any] = {
        "organization_ids": [row.organization_id for row in old],
        "numbers": [row.number for row in old],
    }
    async with transaction(engine, organizations=set(bound["organization_ids"])) as connection:
        return (await connection.execute(_FORGET, bound)).rowcount


_OLD = text("select organization_id, number from tracker.old_feed(:before, :limit)")
_FORGET = text("""
    delete from tracker.feed f
    using unnest(cast(:organization_ids as uuid[]), cast(:numbers as bigint[]))
        as old(organization_id, number)
    where (f.organization_id, f.number) = (old.organization_id, old.number)
""")


def shown(told: Told) -> dict[str, Any]:
    """Give an event as the API shows it: its type, and the topic's payload."""
    return {"type": told.type, "data": msgspec.Raw(told.payload)}
