"""
Outboxes: messages that are sent until somebody says that they arrived.

Messages that are written together for one shard are sent together, as a parcel. A message is staged (its
parcel waits to be released), waiting (never sent), in flight (sent, neither settled nor parked), settled, or
parked. `migrations/parcels.py` makes the tables, `relay.py` sends parcels, `stamps.py` writes what became of
messages. Every statement here runs within the organizations of its transaction.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple, Self
from uuid import UUID

from msgspec import Struct
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection
from zstandard import ZstdCompressor

from shared.contracts.base import Event, encode
from shared.postgres.arrays import array_of, arrays, columns
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


class Message(Struct, frozen=True):
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
    parcel: list[int] = field(default_factory=list)
    bytes: int = 0


def pack(messages: Sequence[Message]) -> list[list[int]]:
    """Put messages into parcels, in their order: gives for each parcel where in `messages` its own stand."""
    parcels: list[list[int]] = []
    filling: dict[tuple[UUID, int, str], _Filling] = defaultdict(_Filling)
    for at, message in enumerate(messages):
        to = filling[message.organization_id, message.shard, message.topic]
        size = len(message.payload)
        if len(to.parcel) in (0, PARCEL_MESSAGES_MAX) or to.bytes + size > PARCEL_BYTES_MAX:
            to.parcel, to.bytes = [], 0
            parcels.append(to.parcel)
        to.parcel.append(at)
        to.bytes += size
    return parcels


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
    parcels = [[messages[at] for at in parcel] for parcel in packed]
    told = {**_parcels(parcels), "staged_for": staged_for}
    if table.receipted:
        order = [at for parcel in packed for at in parcel]
        for name, (sql_type, values) in own.items():
            ordered = [values[at] for at in order]
            told[name] = ordered if sql_type == "uuid" else array_of(ordered)
        told |= _messages(parcels)
        statement = _insert(table, tuple((name, sql_type) for name, (sql_type, _) in own.items()))
    else:
        told["ids"] = array_of([array_of([one.message_id for one in parcel]) for parcel in parcels])
        statement = _insert_parcels(table)
    return sum((await connection.execute(statement, told)).scalars())


def _parcels(parcels: Sequence[Sequence[Message]]) -> dict[str, Any]:
    """Give the parameters that tell of parcels."""
    joined = [join_payloads([message.payload for message in parcel]) for parcel in parcels]
    return {
        "organizations": [parcel[0].organization_id for parcel in parcels],
        "shards": [parcel[0].shard for parcel in parcels],
        "topics": [parcel[0].topic for parcel in parcels],
        "payloads": [one["payloads"] for one in joined],
        "ends": array_of([array_of(one["ends"]) for one in joined]),
        **{
            f"{name}s": array_of([array_of([getattr(one, name) for one in parcel]) for parcel in parcels])
            for name, _ in _SENT
        },
    }


def _messages(parcels: Sequence[Sequence[Message]]) -> dict[str, Any]:
    """Give the parameters that tell of each message, parcel by parcel."""
    inside = [message for parcel in parcels for message in parcel]
    return {
        "numbers": array_of([number for number, parcel in enumerate(parcels, 1) for _ in parcel]),
        "places": array_of([place for parcel in parcels for place in range(1, len(parcel) + 1)]),
        "sizes": array_of([len(one.payload) for one in inside]),
        "message_ids": [one.message_id for one in inside],
        "message_revisions": array_of([one.revision for one in inside]),
    }


def join_payloads(payloads: Sequence[bytes]) -> dict[str, Any]:
    """Give a parcel's `payloads`, one after the other and compressed together, and their `ends` therein."""
    # Claims repeat each other: a fifth of the bytes, for less time than sending the others would take.
    together = ZstdCompressor(level=1).compress(b"".join(payloads))
    return {"payloads": together, "ends": list(accumulate(map(len, payloads)))}


_SENT = (
    ("revision", "integer"),
    ("type", "text"),
    ("message_key", "uuid"),
    ("trace_parent", "text"),
)
"""What a parcel has an array of, under the plural; beside its messages' ids, and `ends` of its payloads."""


_EACH = (
    ("numbers", "integer"),
    ("places", "smallint"),
    ("sizes", "integer"),
    ("message_ids", "uuid"),
    ("message_revisions", "integer"),
)
"""Of each message: the number of its parcel, its place there, its size and its key."""


_SEVERAL = (*((f"{name}s", sql_type) for name, sql_type in _SENT), ("ends", "integer"))
_LISTED = ", ".join(name for name, _ in _SEVERAL)
_READ = ", ".join(f"cast({name} as {sql_type}[]) as {name}" for name, sql_type in _SEVERAL)
_GIVEN = f"""
    cast(:organizations as uuid[]), cast(:shards as smallint[]), cast(:topics as text[]),
    cast(:payloads as bytea[]), {arrays(**dict.fromkeys((name for name, _ in _SEVERAL), "text"))}
"""
_MADE = f"organization_id, shard, topic, payloads, {_LISTED}"
_COLUMNS = f"""
    organization_id, parcel_id, shard, topic, staged_for, due_at, messages, open_messages, open_bytes,
    payloads, message_ids, {_LISTED}
"""
_STAGED = """
    cast(:staged_for as uuid), case when cast(:staged_for as uuid) is null then now() else 'infinity' end
"""


@cache
def _insert(table: OutboxTable, own: tuple[tuple[str, str], ...]) -> TextClause:
    """
    Write rows and parcels in one statement: the unique row decides what is new, and only that is sent.

    A message that was there already has no id at its place; a parcel in which nothing is new is not made.
    """
    names = "".join(f", {name}" for name, _ in own)
    return text(f"""
        with parcel as materialized (
            select *, nextval('{table.parcels}_parcel_id_seq') as parcel_id
            from unnest({_GIVEN}) with ordinality as made({_MADE}, number)
        ), message as materialized (
            select numbers as number, places as place, sizes as size, message_ids as message_id,
                message_revisions as revision {names}
            from ({columns(**dict(_EACH), **dict(own))}) as given
        ), kept as (
            insert into {table.name} (organization_id, message_id, revision, parcel_id, place, size {names})
            select organization_id, message_id, revision, parcel_id, place, size {names}
            from message join parcel using (number)
            on conflict do nothing
            returning parcel_id, place
        ), counted as (
            select parcel.parcel_id, count(kept.place) as messages,
                sum(message.size) filter (where kept.place is not null) as bytes,
                array_agg(case when kept.place is not null then message_id end order by message.place) as ids
            from message
            join parcel using (number)
            left join kept on kept.parcel_id = parcel.parcel_id and kept.place = message.place
            group by parcel.parcel_id
            having count(kept.place) > 0
        )
        insert into {table.parcels} ({_COLUMNS})
        select organization_id, parcel_id, shard, topic, {_STAGED}, messages, messages, bytes,
            payloads, ids, {_READ}
        from parcel join counted using (parcel_id)
        returning messages
    """)


@cache
def _insert_parcels(table: OutboxTable) -> TextClause:
    """Write parcels whose messages have no rows of their own: all of them are sent."""
    return text(f"""
        insert into {table.parcels} ({_COLUMNS})
        select organization_id, nextval('{table.parcels}_parcel_id_seq'), shard, topic, {_STAGED}, messages,
            messages, ends[messages], payloads, message_ids, {_LISTED}
        from (
            select organization_id, shard, topic, payloads, cast(ids as uuid[]) as message_ids, {_READ},
                cardinality(cast(ids as uuid[])) as messages
            from unnest({_GIVEN}, cast(cast(:ids as text) as text[])) as made({_MADE}, ids)
        ) as parcel
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
