"""
The relay: sends the due rows of an outbox table, in order per shard, and marks what was acknowledged.

One relay works a shard at a time, because it asks for due rows on the very connection that holds the
shard's advisory lock: a relay that lost its connection has lost its shards and knows it. Killed between
sending and marking, the rows are sent again. What is neither settled nor parked is due again after one
minute, doubling to an hour, and at once when the relay starts or the broker is a new one, since that
broker may have lost everything.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.clock import now
from shared.errors import UnavailableError
from shared.kafka.backoff import Backoff, sleep_unless
from shared.kafka.envelope import write_headers
from shared.kafka.outbox import IDS, KEY, MessageId, OutboxTable, id_arrays, lock_rows, same_key
from shared.kafka.producer import OutgoingRecord, Producer, RefusedRecordError
from shared.observability import metrics
from shared.postgres import LockSession, lock_session, transaction
from shared.values import SHARDS

if TYPE_CHECKING:
    from shared.http.probes import Health

WINDOW_BYTES_PER_PARTITION = 16 * 1024 * 1024
"""What may be in flight per partition where the broker has a disk."""

EMBEDDED_WINDOW_BYTES_PER_PARTITION = 1_250_000
"""A quarter of what a partition of the embedded broker keeps."""

_BATCH_ROWS = 1000
_BATCH_BYTES = 8 * 1024 * 1024
_TAKE_SHARDS_SECONDS = 2.0
_BUSY_SECONDS = 0.02
_IDLE_SECONDS = 0.5
_COUNT_SECONDS = 15.0
_STATES = ("staged", "waiting", "in_flight", "parked")

_OPEN = "settled_at is null and parked_at is null"

log = structlog.get_logger()


class Relay:
    """`settle_on_ack` deletes a row once the broker has it: for tables that nobody sends receipts for."""

    def __init__(
        self,
        engine: AsyncEngine,
        table: OutboxTable,
        producer: Producer,
        *,
        window_bytes_per_partition: int = WINDOW_BYTES_PER_PARTITION,
        settle_on_ack: bool = False,
        health: "Health | None" = None,
    ) -> None:
        self._engine = engine
        self._table = table
        self._producer = producer
        self._window_bytes = window_bytes_per_partition
        self._health = health
        self._partitions: dict[str, int] = {}
        self._cluster_id: str | None = None
        self._begun: frozenset[int] = frozenset()
        self._count_at = 0.0
        self._due = text(
            f"select * from {table.finder('due')}(cast(:shards as smallint[]), :window_bytes, :rows)"
        )
        self._in_flight = text(
            f"select distinct organization_id from {table.finder('in_flight')}(cast(:shards as smallint[]))"
        )
        self._backlog = text(f"select * from {table.finder('backlog')}()")
        self._fetch = _fetch(table)
        self._done = _delete(table) if settle_on_ack else _mark(table)
        self._park = _park(table)
        self._repeat = _repeat(table)

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set; waits and tries again while the broker or the database is away."""
        backoff = Backoff()
        while not stop.is_set():
            try:
                async with lock_session(self._engine, f"relay:{self._table.name}") as locks:
                    await self._relay(locks, stop, backoff)
            except UnavailableError as error:
                self._beat()
                log.warning("relay_waiting", table=self._table.name, error_class=_root(error))
                await backoff.wait(stop)

    async def _relay(self, locks: LockSession, stop: asyncio.Event, backoff: Backoff) -> None:
        shards: frozenset[int] = frozenset()
        take_at = 0.0
        idle_seconds = _BUSY_SECONDS
        while not stop.is_set():
            self._beat()
            if len(shards) < SHARDS and time.monotonic() >= take_at:
                shards |= await locks.take(set(range(SHARDS)) - shards)
                take_at = time.monotonic() + _TAKE_SHARDS_SECONDS
            if shards:
                await self._begin(locks.connection, shards)
                await self._count(locks.connection)
            sent = await self._send_due(locks.connection, shards) if shards else 0
            backoff.reset()
            idle_seconds = _BUSY_SECONDS if sent else min(idle_seconds * 2, _IDLE_SECONDS)
            if sent < _BATCH_ROWS:
                await sleep_unless(stop, idle_seconds)

    async def _begin(self, connection: AsyncConnection, shards: frozenset[int]) -> None:
        """Make everything in flight due in shards that are new to us, and in all when the broker is new."""
        cluster_id = await self._producer.cluster_id()
        if cluster_id != self._cluster_id:
            self._cluster_id = cluster_id
            self._partitions.clear()
            self._begun = frozenset()
        if not shards - self._begun:
            return
        wanted = sorted(shards - self._begun)
        organizations = (await connection.execute(self._in_flight, {"shards": wanted})).scalars().all()
        if organizations:
            async with transaction(self._engine, organizations=organizations) as writing:
                repeated = await writing.execute(self._repeat, {"shards": wanted})
            log.info("relay_repeats", table=self._table.name, rows=repeated.rowcount)
        self._begun = shards

    async def _count(self, connection: AsyncConnection) -> None:
        """Show from time to time what waits, for whoever watches."""
        if time.monotonic() < self._count_at:
            return
        self._count_at = time.monotonic() + _COUNT_SECONDS
        found = {row.state: row for row in await connection.execute(self._backlog)}
        for state in _STATES:
            messages = found[state].messages if state in found else 0
            metrics.OUTBOX_MESSAGES.labels(self._table.name, state).set(messages)
        oldest = min((row.oldest_created_at for row in found.values()), default=None)
        age_seconds = (now() - oldest).total_seconds() if oldest else 0
        metrics.OUTBOX_OLDEST_SECONDS.labels(self._table.name).set(age_seconds)

    async def _send_due(self, connection: AsyncConnection, shards: frozenset[int]) -> int:
        """Send one batch and give its size."""
        found = await connection.execute(
            self._due,
            {"shards": sorted(shards), "window_bytes": self._window_per_shard(), "rows": _BATCH_ROWS},
        )
        due = found.all()
        if not due:
            return 0
        async with transaction(self._engine, organizations={row[0] for row in due}) as reading:
            messages = (await reading.execute(self._fetch, id_arrays(due) | {"bytes": _BATCH_BYTES})).all()
        for topic in {message.topic for message in messages} - self._partitions.keys():
            self._partitions[topic] = await self._producer.partitions(topic)
        outcomes = await self._producer.send_all([self._record(message) for message in messages])
        await self._mark(messages, outcomes)
        return len(messages)

    def _window_per_shard(self) -> int:
        # Before the first message its topic is unknown: as if all shards met in one partition.
        partitions = min(self._partitions.values(), default=1)
        return self._window_bytes // -(-SHARDS // partitions)

    def _record(self, message: Any) -> OutgoingRecord:
        return OutgoingRecord(
            topic=message.topic,
            key=str(message.message_key).encode(),
            value=message.payload,
            headers=write_headers(
                service=self._table.service,
                message_id=message.message_id,
                revision=message.revision,
                type_=message.type,
                organization_id=message.organization_id,
                created_at=message.created_at,
                trace_parent=message.trace_parent,
            ),
            partition=message.shard % self._partitions[message.topic],
        )

    async def _mark(self, messages: Sequence[Any], outcomes: Sequence[Exception | None]) -> None:
        """Write down what arrived and what never can; raises UnavailableError when something may be lost."""
        told = list(zip(messages, outcomes, strict=True))
        arrived = [message for message, outcome in told if outcome is None]
        refused = [message for message, outcome in told if isinstance(outcome, RefusedRecordError)]
        if arrived or refused:
            organizations = {message.organization_id for message in (*arrived, *refused)}
            async with transaction(self._engine, organizations=organizations) as writing:
                if arrived:
                    await writing.execute(self._done, id_arrays(sorted(arrived, key=_key)))
                if refused:
                    await writing.execute(self._park, id_arrays(sorted(refused, key=_key)))
                    log.error("relay_parks", table=self._table.name, parked=len(refused))
        metrics.MESSAGES_SENT.labels(self._table.name).inc(len(arrived))
        lost = [outcome for outcome in outcomes if isinstance(outcome, UnavailableError)]
        if lost:
            metrics.RELAY_FAILURES.labels(self._table.name).inc(len(lost))
            raise lost[0]

    def _beat(self) -> None:
        if self._health is not None:
            self._health.beat(f"relay {self._table.name}")


def _fetch(table: OutboxTable) -> TextClause:
    return text(f"""
        select * from (
            select row.*, due.place, sum(row.size) over (order by due.place) as bytes
            from {IDS} with ordinality as due({KEY}, place)
            cross join lateral (select * from {table.name} t where {same_key("t", "due")} limit 1) as row
        ) as message
        where bytes <= :bytes or place = 1
        order by place
    """)


# Rows that somebody else has locked are being settled or parked just now: what they say is the last word.
def _mark(table: OutboxTable) -> TextClause:
    return text(f"""
        with arrived as (
            select row.ctid from {IDS} as id({KEY}) {lock_rows(table, where=_OPEN, skip_locked=True)}
        )
        update {table.name} t set attempts = t.attempts + 1,
            due_at = now() + least(interval '1 hour', interval '1 minute' * power(2, least(t.attempts, 10)))
        from arrived where t.ctid = arrived.ctid
    """)


def _delete(table: OutboxTable) -> TextClause:
    return text(f"""
        with arrived as (select row.ctid from {IDS} as id({KEY}) {lock_rows(table, where="true")})
        delete from {table.name} t using arrived where t.ctid = arrived.ctid
    """)


def _park(table: OutboxTable) -> TextClause:
    return text(f"""
        with refused as (select row.ctid from {IDS} as id({KEY}) {lock_rows(table, where=_OPEN)})
        update {table.name} t set parked_at = now(), parked_reason = '{RefusedRecordError.__name__}'
        from refused where t.ctid = refused.ctid
    """)


def _repeat(table: OutboxTable) -> TextClause:
    return text(f"""
        with repeated as (
            select ctid from {table.name}
            where shard = any (cast(:shards as smallint[])) and attempts > 0 and due_at > now() and {_OPEN}
            for update skip locked
        )
        update {table.name} t set due_at = now() from repeated where t.ctid = repeated.ctid
    """)


def _key(message: Any) -> MessageId:
    return MessageId(message.organization_id, message.message_id, message.revision)


def _root(error: BaseException) -> str:
    return type(error.__cause__ or error).__name__
