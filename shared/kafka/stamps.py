"""
What became of messages: settled, parked, or to be sent again.

A stamp changes rows of messages and then counts what is open in their parcels, in one statement. Rows are
locked in the order of their keys, messages before parcels, so two statements that meet wait and never
deadlock. Each key is looked up by itself, whatever the planner believes: a table that was empty a minute ago
must not be read whole for every batch.
"""

import contextlib
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.events_receipted import EventsReceipted
from shared.kafka.outbox import MessageId, OutboxTable
from shared.observability import metrics
from shared.postgres import transaction
from shared.postgres.arrays import array_of, arrays


async def settle(engine: AsyncEngine, table: OutboxTable, *events: EventsReceipted) -> int:
    """
    Stamp the messages that the receipts name, in one transaction; gives the number of those that changed.

    Receipts for another producer are passed over. Settled wins over parked, and is never taken back. Should a
    crash of the database undo it, the messages are sent again, and their receipts come again.
    """
    mine = [event for event in events if event.producer == table.service and event.receipts]
    if not mine:
        return 0
    receipts = [receipt for event in mine for receipt in event.receipts]
    organizations = [event.organization_id for event in mine]
    told: dict[str, Any] = {
        "organizations": organizations,
        "numbers": array_of([number for number, event in enumerate(mine, 1) for _ in event.receipts]),
        "messages": [receipt.message_id for receipt in receipts],
        "revisions": array_of([receipt.revision for receipt in receipts]),
        "reasons": array_of(
            [None if receipt.outcome == "settled" else receipt.reason or "unknown" for receipt in receipts]
        ),
    }
    while True:
        with contextlib.suppress(_OvertakenError):
            async with transaction(
                engine, organizations=organizations, may_be_lost=True, planned_once=True
            ) as connection:
                return await _close(connection, table, told)


async def settle_messages(connection: AsyncConnection, table: OutboxTable, ids: Collection[MessageId]) -> int:
    """Stamp these messages settled; gives the number of those that were not before."""
    return await _close_within(connection, table, ids, reason=None)


async def park_messages(
    connection: AsyncConnection, table: OutboxTable, ids: Collection[MessageId], *, reason: str
) -> int:
    """Lay these messages aside, unless they are settled; `reason` is the class of an error."""
    return await _close_within(connection, table, ids, reason=reason)


async def make_due(
    connection: AsyncConnection, table: OutboxTable, ids: Iterable[MessageId], *, anew: bool = False
) -> int:
    """
    Send these again, whatever became of them: parked and settled messages are open again, and due now.

    What was sent before reuses its slot in the window; `anew` makes a parcel that was done wait for room
    there like a new one. Staged messages stay staged, one without a parcel cannot be sent: the number tells.
    """
    wanted = list(ids)
    if not wanted:
        return 0
    while True:
        with contextlib.suppress(_OvertakenError):
            async with connection.begin_nested():
                done = await _change(connection, _reopen(table), {**_told(wanted), "anew": anew})
                return int(done.made_due)


async def _close_within(
    connection: AsyncConnection, table: OutboxTable, ids: Collection[MessageId], *, reason: str | None
) -> int:
    """Stamp messages in a transaction that does more than that."""
    if not ids:
        return 0
    told = {**_told(ids), "reasons": array_of([reason] * len(ids))}
    while True:
        with contextlib.suppress(_OvertakenError):
            async with connection.begin_nested():
                return await _close(connection, table, told)


async def _close(connection: AsyncConnection, table: OutboxTable, told: dict[str, Any]) -> int:
    done = await _change(connection, _stamp(table), told)
    metrics.MESSAGES_SETTLED.labels(table.name, "settled").inc(done.settled)
    metrics.MESSAGES_SETTLED.labels(table.name, "parked").inc(done.changed - done.settled)
    return int(done.changed)


async def _change(connection: AsyncConnection, statement: TextClause, told: dict[str, Any]) -> Any:
    """
    Run a statement that finds rows and changes them by their ctid, which saves a second look-up of each.

    Where somebody else changed a row between the statement's snapshot and its lock, the ctid leads to a
    version that the snapshot does not show, and fewer rows are changed than were found. That raises
    _OvertakenError: whoever called takes all of it back, with the locks, so that they are taken in order
    again, and repeats it.
    """
    done = (await connection.execute(statement, told)).one()
    if done.changed != done.found:
        raise _OvertakenError
    return done


class _OvertakenError(Exception):
    """Somebody else changed a row while this statement waited for it."""


def _told(ids: Collection[MessageId]) -> dict[str, Any]:
    organizations: dict[UUID, int] = {}
    return {
        "numbers": array_of(
            [organizations.setdefault(one.organization_id, len(organizations) + 1) for one in ids]
        ),
        "messages": [one.message_id for one in ids],
        "revisions": array_of([one.revision for one in ids]),
        "organizations": list(organizations),
    }


# Of thousands of messages the organizations are few: they are named once, and by number.
_ORGANIZATION = "(cast(:organizations as uuid[]))[number]"
_IDS = arrays(numbers="integer", messages="uuid", revisions="integer")
_REASONS = arrays(reasons="text")
_SAME_KEY = "(t.organization_id, t.message_id, t.revision) = (id.organization_id, id.message_id, id.revision)"


@cache
def _stamp(table: OutboxTable) -> TextClause:
    return text(f"""
        with found as materialized (
            select row.*, id.reason
            from (
                select {_ORGANIZATION} as organization_id, message_id, revision,
                    case when bool_and(reason is not null) then max(reason) end as reason
                from unnest({_IDS}, {_REASONS}) as told(number, message_id, revision, reason)
                group by 1, 2, 3
                order by 1, 2, 3
            ) as id
            cross join lateral (
                select t.ctid as version, t.organization_id, t.parcel_id, t.size, t.parked_at is null as open
                from {table.name} t
                where {_SAME_KEY} and t.settled_at is null and (id.reason is null or t.parked_at is null)
                for update
            ) as row
        ), stamped as (
            update {table.name} t set
                settled_at = case when found.reason is null then now() end,
                parked_at = case when found.reason is not null then now() end,
                parked_reason = found.reason
            from found where t.ctid = found.version
            returning found.*
        ), closed as (
            select organization_id, parcel_id, count(*) as messages, sum(size) as bytes
            from stamped where open group by 1, 2 order by 1, 2
        ), locked as ({_lock_parcels(table, "closed")}), lowered as (
            update {table.parcels} p set
                open_messages = p.open_messages - locked.messages,
                open_bytes = p.open_bytes - locked.bytes,
                due_at = case when p.open_messages > locked.messages then p.due_at end
            from locked
            where p.organization_id = locked.organization_id and p.parcel_id = locked.parcel_id
        )
        select (select count(*) from found) as found, count(*) as changed,
            count(*) filter (where reason is null) as settled
        from stamped
    """)


@cache
def _reopen(table: OutboxTable) -> TextClause:
    return text(f"""
        with found as materialized (
            select row.*
            from (
                select distinct {_ORGANIZATION} as organization_id, message_id, revision
                from unnest({_IDS}) as wanted(number, message_id, revision)
                order by 1, 2, 3
            ) as id
            cross join lateral (
                select t.ctid as version, t.organization_id, t.parcel_id, t.size,
                    t.settled_at is not null or t.parked_at is not null as closed
                from {table.name} t
                join {table.parcels} p on p.organization_id = t.organization_id and p.parcel_id = t.parcel_id
                where {_SAME_KEY}
                for update of t
            ) as row
        ), changed as (
            update {table.name} t set settled_at = null, parked_at = null, parked_reason = null
            from found where t.ctid = found.version
            returning found.*
        ), opened as (
            select organization_id, parcel_id, count(*) as messages, count(*) filter (where closed) as closed,
                coalesce(sum(size) filter (where closed), 0) as bytes
            from changed group by 1, 2 order by 1, 2
        ), locked as ({_lock_parcels(table, "opened")}), raised as (
            update {table.parcels} p set
                open_messages = p.open_messages + locked.closed,
                open_bytes = p.open_bytes + locked.bytes,
                due_at = case when p.due_at = 'infinity' then p.due_at else now() end,
                attempts = case when :anew and p.due_at is null then 0 else p.attempts end
            from locked
            where p.organization_id = locked.organization_id and p.parcel_id = locked.parcel_id
            returning locked.messages, p.due_at
        )
        select (select count(*) from found) as found, (select count(*) from changed) as changed,
            coalesce(sum(messages) filter (where due_at <> 'infinity'), 0) as made_due
        from raised
    """)


def _lock_parcels(table: OutboxTable, counted: str) -> str:
    """Lock the parcels of `counted` one by one. They are changed by key, which sees the last version."""
    return f"""
        select {counted}.* from {counted}
        cross join lateral (
            select from {table.parcels} p
            where p.organization_id = {counted}.organization_id and p.parcel_id = {counted}.parcel_id
            for update
        ) as parcel
    """
