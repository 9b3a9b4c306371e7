"""
Outboxes: messages that are sent until somebody says that they arrived.

Messages that are written together for one shard are sent together, as a parcel. A message is staged (its
parcel waits to be released), waiting (never sent), in flight (sent, neither settled nor parked), settled, or
parked. `migrations/parcels.py` makes the tables, `relay.py` sends parcels, `stamps.py` writes what became of
messages. Every statement here runs within the organizations of its transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple, Self
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection
from zstandard import ZstdCompressor

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


def pack(messages: Sequence[Message]) -> list[list[int]]:
    """Put messages into parcels, in their order: gives for each parcel where in `messages` its own stand."""
    parcels: list[list[int]] = []
    filling: dict[tuple[UUID, int, str], tuple[list[int], int]] = {}
    for at, message in enumerate(messages):
        to = (message.organization_id, message.shard, message.topic)
        parcel, size = filling.get(to, ([], 0))
        size += len(message.payload)
        if not parcel or len(parcel) == PARCEL_MESSAGES_MAX or size > PARCEL_BYTES_MAX:
            parcel, size = [], len(message.payload)
            parcels.append(parcel)
        parcel.append(at)
        filling[to] = (parcel, size)
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
    parcels = pack(messages)
    order = [at for parcel in parcels for at in parcel]
    given = {name: [getattr(messages[at], name) for at in order] for name, _ in _SENT}
    given |= {
        name: _array(sql_type, [values[at] for at in order]) for name, (sql_type, values) in own.items()
    }
    inserted = await connection.execute(
        _insert(table, tuple((name, sql_type) for name, (sql_type, _) in own.items())),
        {
            **given,
            **_parcels([[messages[at] for at in parcel] for parcel in parcels]),
            "staged_for": staged_for,
        },
    )
    return sum(inserted.scalars())


def _parcels(parcels: Sequence[Sequence[Message]]) -> dict[str, list[Any]]:
    """Give the parameters that tell of parcels, and of the place and size of each message in its parcel."""
    joined = [join_payloads([message.payload for message in parcel]) for parcel in parcels]
    lasts = list(accumulate(map(len, parcels)))
    return {
        "organizations": [parcel[0].organization_id for parcel in parcels],
        "shards": [parcel[0].shard for parcel in parcels],
        "topics": [parcel[0].topic for parcel in parcels],
        "firsts": [last - len(parcel) + 1 for last, parcel in zip(lasts, parcels, strict=True)],
        "lasts": lasts,
        "payloads": [one["payloads"] for one in joined],
        "numbers": [number for number, parcel in enumerate(parcels, 1) for _ in parcel],
        "places": [place for parcel in parcels for place in range(1, len(parcel) + 1)],
        "sizes": [len(message.payload) for parcel in parcels for message in parcel],
        "ends": [end for one in joined for end in one["ends"]],
    }


def join_payloads(payloads: Sequence[bytes]) -> dict[str, Any]:
    """Give a parcel's `payloads`, one after the other and compressed together, and their `ends` therein."""
    # Claims repeat each other: a fifth of the bytes, for less time than sending the others would take.
    together = ZstdCompressor(level=1).compress(b"".join(payloads))
    return {"payloads": together, "ends": list(accumulate(map(len, payloads)))}


def _array(sql_type: str, values: list[Any]) -> Any:
    """Give an array as a parameter. Numbers go as text: a Decimal costs the driver ten times that."""
    if sql_type != "numeric":
        return values
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


_SENT = (
    ("message_id", "uuid"),
    ("revision", "integer"),
    ("type", "text"),
    ("message_key", "uuid"),
    ("trace_parent", "text"),
)
"""What a parcel has an array of, under the plural; beside `ends`, which divide its payloads."""


@cache
def _insert(table: OutboxTable, own: tuple[tuple[str, str], ...]) -> TextClause:
    """
    Write rows and parcels in one statement: the unique row decides what is new, and only that is sent.

    A message that was there already has no id at its place; a parcel in which nothing is new is not made.
    """
    names = "".join(f", {name}" for name, _ in own)
    arrays = "".join(
        f", cast({f'cast(:{name} as text)' if sql_type == 'numeric' else f':{name}'} as {sql_type}[])"
        for name, sql_type in own
    )
    kept = f"""
        insert into {table.name} (organization_id, message_id, revision, parcel_id, place, size {names})
        select organization_id, message_id, revision, parcel_id, place, size {names}
        from message join parcel using (number)
        on conflict do nothing
        returning parcel_id, place
    """
    every = "select parcel_id, place from message join parcel using (number)"
    sliced = ", ".join(
        f"(cast(:{name} as {sql_type}[]))[first:last]" for name, sql_type in (*_SENT[1:], ("ends", "integer"))
    )
    return text(f"""
        with parcel as materialized (
            select *, nextval('{table.parcels}_parcel_id_seq') as parcel_id
            from unnest(cast(:organizations as uuid[]), cast(:shards as smallint[]), cast(:topics as text[]),
                cast(:firsts as integer[]), cast(:lasts as integer[]), cast(:payloads as bytea[]))
                with ordinality as made(organization_id, shard, topic, first, last, payloads, number)
        ), message as materialized (
            select * from unnest(cast(:numbers as integer[]), cast(:places as smallint[]),
                cast(:sizes as integer[]), cast(:message_id as uuid[]), cast(:revision as integer[]) {arrays})
                as given(number, place, size, message_id, revision {names})
        ), kept as ({kept if table.receipted else every}), counted as (
            select parcel.parcel_id, count(kept.place) as messages,
                sum(message.size) filter (where kept.place is not null) as bytes,
                array_agg(case when kept.place is not null then message_id end order by message.place) as ids
            from message
            join parcel using (number)
            left join kept on kept.parcel_id = parcel.parcel_id and kept.place = message.place
            group by parcel.parcel_id
            having count(kept.place) > 0
        )
        insert into {table.parcels} (organization_id, parcel_id, shard, topic, staged_for, due_at, messages,
            open_messages, open_bytes, payloads, {", ".join(f"{name}s" for name, _ in _SENT)}, ends)
        select organization_id, parcel_id, shard, topic, cast(:staged_for as uuid),
            case when cast(:staged_for as uuid) is null then now() else 'infinity' end,
            messages, messages, bytes, payloads, ids, {sliced}
        from parcel join counted using (parcel_id)
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
