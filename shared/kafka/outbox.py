"""
Outbox tables: rows that are sent until somebody says that they arrived.

A row is staged (due_at is infinity), waiting (never sent), in flight (sent, neither settled nor parked),
settled, or parked. `migrations/walls.py` makes the tables, `relay.py` sends. Every statement here runs
within the organizations of its transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.base import Event, encode
from shared.contracts.events_receipted import EventsReceipted, Receipt
from shared.postgres import transaction
from shared.values import shard_of


@dataclass(frozen=True, slots=True)
class OutboxTable:
    """`service` is the producer's name in receipts; `name` is the table, `schema.table`."""

    service: str
    name: str

    def finder(self, question: str) -> str:
        """Name the function that answers `question` (due, in_flight, backlog) over all walls."""
        schema, _, table = self.name.partition(".")
        return f"{schema}.{question}_{table}"


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
        """Wrap an event. It is kept in order with what has the same `shard_key` (by default, its message key)."""
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
    """Make the staged rows whose `column` (a column of the table's own) is `value` due; gives their number."""
    released = await connection.execute(
        text(
            f"update {table.name} set due_at = now() where {column} = :value and due_at = 'infinity' and attempts = 0"
        ),
        {"value": value},
    )
    return released.rowcount


async def make_due(connection: AsyncConnection, table: OutboxTable, ids: Iterable[MessageId]) -> int:
    """
    Send these again, whatever became of them: parked and settled rows are open again, and due now.

    They keep their attempts, so what was sent before reuses its slot in the window. Staged rows stay staged.
    """
    wanted = sorted(set(ids))
    made_due = await connection.execute(
        text(f"""
            with wanted as (
                select organization_id, message_id, revision from {table.name}
                join unnest(cast(:organizations as uuid[]), cast(:messages as uuid[]), cast(:revisions as integer[]))
                    as id(organization_id, message_id, revision) using (organization_id, message_id, revision)
                where due_at <> 'infinity'
                order by organization_id, message_id, revision
                for update of {table.name.rpartition(".")[2]}
            )
            update {table.name} t set due_at = now(), settled_at = null, parked_at = null, parked_reason = null
            from wanted w
            where (t.organization_id, t.message_id, t.revision) = (w.organization_id, w.message_id, w.revision)
        """),
        _arrays(wanted),
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
    # In the order of the key, as every statement locks rows here: two that meet wait, and never deadlock.
    ids = sorted(outcomes)
    async with transaction(engine, organizations={key.organization_id for key in ids}) as connection:
        stamped = await connection.execute(
            text(_SETTLE.format(table=table.name, row=table.name.rpartition(".")[2])),
            {
                **_arrays(ids),
                "settled": [outcomes[key].outcome == "settled" for key in ids],
                "reasons": [outcomes[key].reason for key in ids],
            },
        )
    return stamped.rowcount


_SETTLE = """
    with told as (
        select organization_id, message_id, revision, settled, reason from {table}
        join unnest(cast(:organizations as uuid[]), cast(:messages as uuid[]), cast(:revisions as integer[]),
            cast(:settled as boolean[]), cast(:reasons as text[]))
            as receipt(organization_id, message_id, revision, settled, reason)
            using (organization_id, message_id, revision)
        where settled_at is null and (settled or parked_at is null)
        order by organization_id, message_id, revision
        for update of {row}
    )
    update {table} t set
        settled_at = case when told.settled then now() end,
        parked_at = case when not told.settled then now() end,
        parked_reason = case when not told.settled then coalesce(told.reason, 'unknown') end
    from told
    where (t.organization_id, t.message_id, t.revision) = (told.organization_id, told.message_id, told.revision)
"""


def _arrays(ids: Sequence[MessageId]) -> dict[str, Any]:
    return {
        "organizations": [key.organization_id for key in ids],
        "messages": [key.message_id for key in ids],
        "revisions": [key.revision for key in ids],
    }
