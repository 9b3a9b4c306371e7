"""
Outboxes: messages that are sent until somebody says that they arrived.

Messages that are written together for one shard are sent together, as a parcel. A message is staged (its
parcel waits to be released), waiting (never sent), in flight (sent, neither settled nor parked), settled, or
parked. `migrations/parcels.py` makes the tables, `relay.py` sends parcels, `stamps.py` writes what became of
messages. Every statement here runs within the organizations of its transaction.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
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
class Parcel:
    """Messages of one organization, shard and topic, sent together; `bytes` are those of their payloads."""

    organization_id: UUID
    shard: int
    topic: str
    number: int
    messages: list[Message | None] = field(default_factory=list)
    bytes: int = 0

    def takes(self, size: int) -> bool:
        """Tell whether there is room for a payload of `size` bytes."""
        return len(self.messages) < PARCEL_MESSAGES_MAX and self.bytes + size <= PARCEL_BYTES_MAX

    def put(self, message: Message) -> int:
        """Put a message in; gives its place, counted from 1."""
        self.messages.append(message)
        self.bytes += len(message.payload)
        return len(self.messages)

    def keep(self, places: Collection[int]) -> None:
        """Leave the places of all other messages empty."""
        if len(places) < len(self.messages):
            self.messages = [one if at in places else None for at, one in enumerate(self.messages, 1)]
            self.bytes = sum(len(one.payload) for one in self.messages if one)


def pack(messages: Iterable[Message]) -> tuple[list[Parcel], list[int], list[int]]:
    """Put messages into parcels, in their order; also gives each one's parcel, numbered from 1, and place."""
    parcels: list[Parcel] = []
    numbers: list[int] = []
    places: list[int] = []
    filling: dict[tuple[UUID, int, str], Parcel] = {}
    for message in messages:
        to = (message.organization_id, message.shard, message.topic)
        parcel = filling.get(to)
        if parcel is None or not parcel.takes(len(message.payload)):
            parcel = filling[to] = Parcel(*to, number=len(parcels) + 1)
            parcels.append(parcel)
        numbers.append(parcel.number)
        places.append(parcel.put(message))
    return parcels, numbers, places


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
    parcels, numbers, places = pack(messages)
    ids: list[int | None] = [None] * len(parcels)
    if table.receipted:
        own = extra or {}
        rows = await connection.execute(
            _insert_rows(table, tuple((column, sql_type) for column, (sql_type, _) in own.items())),
            {
                "parcels": len(parcels),
                "numbers": numbers,
                "places": places,
                "organization_ids": [message.organization_id for message in messages],
                "message_ids": [message.message_id for message in messages],
                "revisions": [message.revision for message in messages],
                "sizes": [len(message.payload) for message in messages],
                **{column: list(values) for column, (_, values) in own.items()},
            },
        )
        for row, parcel in zip(rows, parcels, strict=True):
            ids[parcel.number - 1] = row.parcel_id
            parcel.keep(row.places)
    new = [_parcel(parcel, ids[parcel.number - 1], staged_for) for parcel in parcels if any(parcel.messages)]
    if new:
        await connection.execute(_insert_parcel(table), new)
    return sum(parcel["messages"] for parcel in new)


def _parcel(parcel: Parcel, parcel_id: int | None, staged_for: UUID | None) -> dict[str, Any]:
    messages = parcel.messages
    return {
        "organization_id": parcel.organization_id,
        "parcel_id": parcel_id,
        "shard": parcel.shard,
        "topic": parcel.topic,
        "staged_for": staged_for,
        "messages": len(messages) - messages.count(None),
        "bytes": parcel.bytes,
        **{f"{name}s": [one and getattr(one, name) for one in messages] for name, _ in _SENT},
    }


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
def _insert_rows(table: OutboxTable, own: tuple[tuple[str, str], ...]) -> TextClause:
    """
    Write the narrow rows and number the parcels: the unique row decides what is new.

    Gives, in the parcels' order, their ids and the places of what is new. A message that was there already
    leaves its place empty; a parcel in which nothing is new is not made.
    """
    names = "".join(f", {name}" for name, _ in own)
    arrays = "".join(f", cast(:{name} as {sql_type}[])" for name, sql_type in own)
    return text(f"""
        with parcel as materialized (
            select number, nextval('{table.parcels}_parcel_id_seq') as parcel_id
            from generate_series(1, cast(:parcels as integer)) as number
        ), kept as (
            insert into {table.name} (organization_id, message_id, revision, parcel_id, place, size {names})
            select organization_id, message_id, revision, parcel_id, place, size {names}
            from unnest(cast(:numbers as integer[]), cast(:places as smallint[]),
                cast(:organization_ids as uuid[]), cast(:message_ids as uuid[]),
                cast(:revisions as integer[]), cast(:sizes as integer[]) {arrays}) with ordinality
                as message(number, place, organization_id, message_id, revision, size {names}, line)
            join parcel using (number)
            order by line
            on conflict do nothing
            returning parcel_id, place
        )
        select parcel_id, coalesce(array_agg(place) filter (where place is not null), '{{}}') as places
        from parcel left join kept using (parcel_id)
        group by parcel_id order by parcel_id
    """)


@cache
def _insert_parcel(table: OutboxTable) -> TextClause:
    arrays = ", ".join(f"cast(:{name}s as {sql_type}[])" for name, sql_type in _SENT)
    return text(f"""
        insert into {table.parcels} (organization_id, parcel_id, shard, topic, staged_for, due_at, messages,
            open_messages, open_bytes, {", ".join(f"{name}s" for name, _ in _SENT)})
        values (:organization_id,
            coalesce(cast(:parcel_id as bigint), nextval('{table.parcels}_parcel_id_seq')),
            cast(:shard as smallint), :topic, cast(:staged_for as uuid),
            case when cast(:staged_for as uuid) is null then now() else 'infinity' end,
            cast(:messages as integer), cast(:messages as integer), cast(:bytes as bigint), {arrays})
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
