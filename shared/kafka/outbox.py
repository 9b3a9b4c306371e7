"""
Outbox tables: rows that are sent until somebody says that they arrived.

A row is staged (due_at is infinity), waiting (never sent), in flight (sent, neither settled nor parked),
settled, or parked. `migrations/walls.py` makes the tables, `relay.py` sends. Every statement here runs
within the organizations of its transaction.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Self
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.base import Event, encode
from shared.contracts.events_receipted import EventsReceipted, Receipt
from shared.observability import metrics
from shared.postgres import transaction
from shared.values import shard_of


@dataclass(frozen=True, slots=True)
class OutboxTable:
    """`service` is the producer's name in receipts; `name` is the table, `schema.table`."""

    service: str
    name: str

    @property
    def row(self) -> str:
        """What a statement calls the table when it gives it no other name."""
        return self.name.partition(".")[2]

    def finder(self, question: str) -> str:
        """Name the function that answers `question` (due, in_flight, backlog) over all walls."""
        return f"{self.name.partition('.')[0]}.{question}_{self.row}"


class MessageId(NamedTuple):
    """The primary key of an outbox row."""

    organization_id: UUID
    message_id: UUID
    revision: int


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be sent: `message_key` becomes the record's key, `shard` decides its partition."""

    organization_id: UUID
    message_id: UUID
    revision: int
    type: str
    topic: str
    message_key: UUID
    shard: int
    payload: bytes
    trace_parent: str | None = None

    @classmethod
    def of(cls, event: Event, shard_key: UUID | None = None, *, trace_parent: str | None = None) -> Self:
        """Wrap an event. It stays in order with what has the same `shard_key`, by default its message key."""
        return cls(
            organization_id=event.organization_id,
            message_id=event.message_id,
            revision=event.message_revision,
            type=type(event).__name__,
            topic=event.topic,
            message_key=event.message_key,
            shard=shard_of(shard_key or event.message_key),
            payload=encode(event),
            trace_parent=trace_parent,
        )

    @property
    def id(self) -> MessageId:
        return MessageId(self.organization_id, self.message_id, self.revision)


KEY = "organization_id, message_id, revision"
_ID_ARRAYS = "cast(:organizations as uuid[]), cast(:messages as uuid[]), cast(:revisions as integer[])"
IDS = f"unnest({_ID_ARRAYS})"
"""A set of rows with the columns of KEY, from the parameters of id_arrays()."""

_STAGED = "due_at = 'infinity' and attempts = 0"

_COLUMNS: tuple[tuple[str, str], ...] = (
    ("organization_id", "uuid"),
    ("message_id", "uuid"),
    ("revision", "integer"),
    ("type", "text"),
    ("topic", "text"),
    ("message_key", "uuid"),
    ("shard", "smallint"),
    ("payload", "bytea"),
    ("trace_parent", "text"),
)


async def insert_messages(
    connection: AsyncConnection,
    table: OutboxTable,
    messages: Sequence[Message],
    *,
    staged: bool = False,
    extra: Mapping[str, tuple[str, Sequence[Any]]] | None = None,
) -> frozenset[MessageId]:
    """
    Write messages, in their order, and give the ids of those that were not there before.

    Staged messages are not sent before release_staged(). `extra` has the table's own columns: the column's
    name to its SQL type and one value per message.
    """
    if not messages:
        return frozenset()
    own = extra or {}
    columns = [*_COLUMNS, *((column, sql_type) for column, (sql_type, _) in own.items())]
    names = ", ".join(name for name, _ in columns)
    arrays = ", ".join(f"cast(:{name} as {sql_type}[])" for name, sql_type in columns)
    statement = text(f"""
        insert into {table.name} ({names}, size, due_at)
        select {names}, length(payload), case when :staged then timestamptz 'infinity' else now() end
        from unnest({arrays}) with ordinality as message({names}, place)
        order by place
        on conflict do nothing
        returning organization_id, message_id, revision
    """)
    values: dict[str, Any] = {name: [getattr(message, name) for message in messages] for name, _ in _COLUMNS}
    values |= {column: list(column_values) for column, (_, column_values) in own.items()}
    inserted = await connection.execute(statement, {**values, "staged": staged})
    return frozenset(MessageId(*row) for row in inserted)


async def release_staged(connection: AsyncConnection, table: OutboxTable, *, column: str, value: UUID) -> int:
    """Make due the staged rows whose `column` (one of the table's own) is `value`; gives their number."""
    released = await connection.execute(
        text(f"update {table.name} set due_at = now() where {column} = :value and {_STAGED}"),
        {"value": value},
    )
    return released.rowcount


async def make_due(connection: AsyncConnection, table: OutboxTable, ids: Iterable[MessageId]) -> int:
    """
    Send these again, whatever became of them: parked and settled rows are open again, and due now.

    They keep their attempts, so what was sent before reuses its slot in the window. Staged rows stay staged.
    """
    made_due = await connection.execute(
        text(f"""
            with wanted as (
                select row.ctid from {IDS} as id({KEY}) {lock_rows(table, where=f"not ({_STAGED})")}
            )
            update {table.name} t
            set due_at = now(), settled_at = null, parked_at = null, parked_reason = null
            from wanted where t.ctid = wanted.ctid
        """),
        id_arrays(sorted(set(ids))),
    )
    return made_due.rowcount


async def settle(engine: AsyncEngine, table: OutboxTable, *events: EventsReceipted) -> int:
    """
    Stamp the rows that the receipts name, in one transaction; gives the number of rows changed.

    Receipts for another producer are passed over. Settled wins over parked, and is never taken back.
    """
    outcomes: dict[MessageId, Receipt] = {}
    for event in events:
        if event.producer == table.service:
            for receipt in event.receipts:
                key = MessageId(event.organization_id, receipt.message_id, receipt.revision)
                if key not in outcomes or receipt.outcome == "settled":
                    outcomes[key] = receipt
    if not outcomes:
        return 0
    ids = sorted(outcomes)
    stamps = {
        "settled": [outcomes[key].outcome == "settled" for key in ids],
        "reasons": [outcomes[key].reason for key in ids],
    }
    async with transaction(engine, organizations={key.organization_id for key in ids}) as connection:
        stamped = await connection.execute(_settle(table), id_arrays(ids) | stamps)
    for outcome, number in Counter(one.outcome for one in outcomes.values()).items():
        metrics.MESSAGES_SETTLED.labels(table.name, outcome).inc(number)
    return stamped.rowcount


@cache
def _settle(table: OutboxTable) -> TextClause:
    return text(f"""
        with told as (
            select row.ctid, settled, reason
            from unnest({_ID_ARRAYS}, cast(:settled as boolean[]), cast(:reasons as text[]))
                as id({KEY}, settled, reason)
            {lock_rows(table, where="t.settled_at is null and (id.settled or t.parked_at is null)")}
        )
        update {table.name} t set
            settled_at = case when told.settled then now() end,
            parked_at = case when not told.settled then now() end,
            parked_reason = case when not told.settled then coalesce(told.reason, 'unknown') end
        from told where t.ctid = told.ctid
    """)


def lock_rows(table: OutboxTable, *, where: str, skip_locked: bool = False) -> str:
    """
    Write the join that locks the row of each `id`, one after the other, as `row`.

    A look-up for each id, whatever the planner believes: a table that was empty a minute ago must not be read
    whole for every batch. Ids are sorted, so two statements that meet wait and never deadlock. A locked row
    keeps its ctid, so it is found again without another look-up.
    """
    return f"""
        cross join lateral (
            select t.ctid from {table.name} t where {same_key("t", "id")} and {where}
            for update {"skip locked" if skip_locked else ""}
        ) as row
    """


def same_key(one: str, other: str) -> str:
    """Write the condition that two rows have the same key."""
    return " and ".join(f"{one}.{column} = {other}.{column}" for column in KEY.split(", "))


def id_arrays(rows: Collection[Any]) -> dict[str, Any]:
    """Give the parameters of IDS from anything that has the columns of KEY."""
    return {
        "organizations": [row.organization_id for row in rows],
        "messages": [row.message_id for row in rows],
        "revisions": [row.revision for row in rows],
    }
