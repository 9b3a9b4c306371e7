"""
Outboxes: messages that are sent until somebody says that they arrived.

Messages that are written together for one shard are sent together, as a parcel. A message is staged (its
parcel waits to be released), waiting (never sent), in flight (sent, neither settled nor parked), settled, or
parked. `migrations/parcels.py` makes the tables, `relay.py` sends parcels, `stamps.py` writes what became of
messages. Every statement here runs within the organizations of its transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, Self
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.base import Event, encode
from shared.values import shard_of

PARCEL_MESSAGES_MAX = 200
PARCEL_BYTES_MAX = 256 * 1024
"""Of payloads. A larger message has a parcel of its own."""


@dataclass(frozen=True, slots=True)
class OutboxTable:
    """
    `service` is the producer's name in receipts; `name` is the table, `schema.table`.

    What nobody sends receipts for is gone once the broker has it: parcels, and no rows per message.
    """

    service: str
    name: str
    receipted: bool = True

    @property
    def parcels(self) -> str:
        return f"{self.name}_parcels"

    def finder(self, question: str) -> str:
        """Name the function that answers `question` (due, in_flight, backlog) over all walls."""
        schema, _, name = self.name.partition(".")
        return f"{schema}.{question}_{name}"


class MessageId(NamedTuple):
    """The primary key of a message."""

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


@dataclass(slots=True)
class _Filling:
    """A parcel that takes more; parcels are numbered from 1."""

    number: int
    messages: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Packed:
    """Where each parcel goes, and for each message its parcel's number and its place in there, from 1."""

    organizations: list[UUID] = field(default_factory=list)
    shards: list[int] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


def pack(messages: Collection[Message]) -> Packed:
    """Put messages into parcels, in their order."""
    packed = Packed()
    filling: dict[tuple[UUID, int, str], _Filling] = {}
    for message in messages:
        size = len(message.payload)
        to = (message.organization_id, message.shard, message.topic)
        parcel = filling.get(to)
        if parcel is None or parcel.messages == PARCEL_MESSAGES_MAX or parcel.bytes + size > PARCEL_BYTES_MAX:
            packed.organizations.append(message.organization_id)
            packed.shards.append(message.shard)
            packed.topics.append(message.topic)
            parcel = filling[to] = _Filling(len(packed.topics))
        parcel.messages += 1
        parcel.bytes += size
        packed.numbers.append(parcel.number)
        packed.places.append(parcel.messages)
    return packed


async def insert_messages(
    connection: AsyncConnection,
    table: OutboxTable,
    messages: Sequence[Message],
    *,
    staged_for: UUID | None = None,
    extra: Mapping[str, tuple[str, Sequence[Any]]] | None = None,
) -> int:
    """
    Write messages, in their order per shard, and give the number of those that were not there before.

    What is `staged_for` something is not sent before release_staged() of it. `extra` has the table's own
    columns: the column's name to its SQL type and one value per message.
    """
    if not messages:
        return 0
    own = extra or {}
    packed = pack(messages)
    inserted = await connection.execute(
        _insert(table, tuple((column, sql_type) for column, (sql_type, _) in own.items())),
        {
            "organizations": packed.organizations,
            "shards": packed.shards,
            "topics": packed.topics,
            "numbers": packed.numbers,
            "places": packed.places,
            **{name: [getattr(message, name) for message in messages] for name, _ in _SENT},
            **{column: list(values) for column, (_, values) in own.items()},
            "staged_for": staged_for,
        },
    )
    return sum(inserted.scalars())


_SENT = (
    ("message_id", "uuid"),
    ("revision", "integer"),
    ("type", "text"),
    ("message_key", "uuid"),
    ("trace_parent", "text"),
    ("payload", "bytea"),
)
"""What a parcel has an array of, under the plural."""


@cache
def _insert(table: OutboxTable, own: tuple[tuple[str, str], ...]) -> TextClause:
    """
    Write rows and parcels in one statement: the unique row decides what is new, and only that is in a parcel.

    A message that was there already leaves its place empty; a parcel in which nothing is new is not made.
    """
    columns = (("number", "integer"), ("place", "smallint"), *_SENT, *own)
    bound = {"number": "numbers", "place": "places"}
    arrays = ", ".join(f"cast(:{bound.get(name, name)} as {sql_type}[])" for name, sql_type in columns)
    names = ", ".join(name for name, _ in columns)
    own_names = "".join(f", {name}" for name, _ in own)
    kept = f"""
        insert into {table.name} (organization_id, message_id, revision, parcel_id, place, size {own_names})
        select organization_id, message_id, revision, parcel_id, place, length(payload) {own_names}
        from message join parcel using (number)
        order by message.line
        on conflict do nothing
        returning parcel_id, place
    """
    every = "select parcel_id, place from message join parcel using (number)"
    gathered = ", ".join(
        f"array_agg(case when kept.place is not null then message.{name} end order by message.place)"
        for name, _ in _SENT
    )
    return text(f"""
        with parcel as materialized (
            select *, nextval('{table.parcels}_parcel_id_seq') as parcel_id
            from unnest(cast(:organizations as uuid[]), cast(:shards as smallint[]), cast(:topics as text[]))
                with ordinality as made(organization_id, shard, topic, number)
        ), message as materialized (
            select * from unnest({arrays}) with ordinality as given({names}, line)
        ), kept as ({kept if table.receipted else every})
        insert into {table.parcels} (organization_id, parcel_id, shard, topic, staged_for, due_at, messages,
            open_messages, open_bytes, {", ".join(f"{name}s" for name, _ in _SENT)})
        select parcel.organization_id, parcel.parcel_id, parcel.shard, parcel.topic,
            cast(:staged_for as uuid),
            case when cast(:staged_for as uuid) is null then now() else 'infinity' end,
            count(kept.place), count(kept.place),
            sum(length(message.payload)) filter (where kept.place is not null), {gathered}
        from message
        join parcel using (number)
        left join kept on kept.parcel_id = parcel.parcel_id and kept.place = message.place
        group by parcel.organization_id, parcel.parcel_id, parcel.shard, parcel.topic
        having count(kept.place) > 0
        returning messages
    """)


async def release_staged(connection: AsyncConnection, table: OutboxTable, staged_for: UUID) -> int:
    """Make due what was staged for this; gives the number of messages."""
    released = await connection.execute(_release(table), {"staged_for": staged_for})
    return sum(released.scalars())


@cache
def _release(table: OutboxTable) -> TextClause:
    return text(f"""
        update {table.parcels} set due_at = now() where staged_for = :staged_for and due_at = 'infinity'
        returning open_messages
    """)
