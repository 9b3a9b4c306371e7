"""
The relay: sends the due parcels of an outbox, in order per shard, and marks what was acknowledged.

One relay works a shard at a time, because it asks for due parcels on the very connection that holds the
shard's advisory lock: a relay that lost its connection has lost its shards and knows it. Killed between
sending and marking, a parcel is sent again. What of a parcel is neither settled nor parked is due again after
one minute, doubling to an hour, and at once when the relay starts or the broker is a new one, since that
broker may have lost everything.
"""

import asyncio
import time
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.clock import now
from shared.errors import UnavailableError
from shared.kafka.backoff import Backoff, sleep_unless
from shared.kafka.laid_aside import lay_aside_refused
from shared.kafka.outbox import OutboxTable
from shared.kafka.parcels import Unpacked, unpack
from shared.kafka.producer import Producer, RefusedRecordError
from shared.kafka.stamps import park_messages
from shared.observability import metrics
from shared.postgres import LockSession, lock_session, transaction
from shared.values import SHARDS

if TYPE_CHECKING:
    from shared.http.probes import Health

WINDOW_BYTES_PER_PARTITION = 16 * 1024 * 1024
"""What may be in flight per partition where the broker has a disk."""

EMBEDDED_WINDOW_BYTES_PER_PARTITION = 1_250_000
"""A quarter of what a partition of the embedded broker keeps."""

_BATCH_PARCELS = 250
_BATCH_BYTES = 8 * 1024 * 1024
_TAKE_SHARDS_SECONDS = 2.0
_BUSY_SECONDS = 0.1  # asking, fetching and marking cost as much for one parcel as for dozens
_IDLE_SECONDS = 0.2
_COUNT_SECONDS = 15.0
_STATES = ("staged", "waiting", "in_flight", "parked")

log = structlog.get_logger()


class Relay:
    """Give it the engine of the role that owns the outbox; several relays of one outbox share its shards."""

    def __init__(
        self,
        engine: AsyncEngine,
        table: OutboxTable,
        producer: Producer,
        *,
        window_bytes_per_partition: int = WINDOW_BYTES_PER_PARTITION,
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
            f"select * from {table.finder('due')}(cast(:shards as smallint[]), :window_bytes, :parcels)"
        )
        self._in_flight = text(
            f"select organization_id from {table.finder('in_flight')}(cast(:shards as smallint[]))"
        )
        self._backlog = text(f"select * from {table.finder('backlog')}()")
        self._fetch = _fetch(table)
        self._done = _mark(table) if table.receipted else _delete(table)
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
        await locks.connection.execute(_PLANNED_ONCE)
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
            if sent < _BATCH_PARCELS:
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
        """Send one batch and give its number of parcels."""
        found = await connection.execute(
            self._due,
            {
                "shards": sorted(shards),
                "window_bytes": self._window_per_shard(),
                "parcels": _BATCH_PARCELS,
            },
        )
        due = _at_most(found.all(), bytes_=_BATCH_BYTES)
        if not due:
            return 0
        organizations = {row.organization_id for row in due}
        async with transaction(self._engine, organizations=organizations, planned_once=True) as reading:
            parcels = (await reading.execute(self._fetch, _keys(due))).all()
        for topic in {parcel.topic for parcel in parcels} - self._partitions.keys():
            self._partitions[topic] = await self._producer.partitions(topic)
        unpacked = [
            unpack(parcel, service=self._table.service, partitions=self._partitions) for parcel in parcels
        ]
        outcomes = await self._producer.send_all([record for one in unpacked for record in one.records])
        await self._mark(unpacked, outcomes)
        return len(parcels)

    def _window_per_shard(self) -> int:
        # Before the first message its topic is unknown: as if all shards met in one partition.
        partitions = min(self._partitions.values(), default=1)
        return self._window_bytes // -(-SHARDS // partitions)

    async def _mark(self, parcels: Sequence[Unpacked], outcomes: Sequence[Exception | None]) -> None:
        """Write down what arrived and what never can; raises UnavailableError when something may be lost."""
        each = iter(outcomes)
        told = [(parcel, [(place, next(each)) for place in parcel.places]) for parcel in parcels]
        refused = [
            (parcel, places)
            for parcel, became in told
            if (places := [place for place, outcome in became if isinstance(outcome, RefusedRecordError)])
        ]
        gone = [
            parcel.row
            for parcel, became in told
            if not any(isinstance(outcome, UnavailableError) for _, outcome in became)
        ]
        if not self._table.receipted:  # laid aside, a parcel is not sent again: first all of it must be known
            refused = [(parcel, places) for parcel, places in refused if parcel.row in gone]
            kept = [parcel.row for parcel, _ in refused]
            gone = [row for row in gone if row not in kept]
        # Not in one transaction: the messages of some parcels would be locked after other parcels.
        await self._park(refused)
        await self._finish(gone)
        metrics.MESSAGES_SENT.labels(self._table.name).inc(sum(outcome is None for outcome in outcomes))
        lost = [outcome for outcome in outcomes if isinstance(outcome, UnavailableError)]
        if lost:
            metrics.RELAY_FAILURES.labels(self._table.name).inc(len(lost))
            raise lost[0]

    async def _park(self, refused: Sequence[tuple[Unpacked, Sequence[int]]]) -> None:
        """Lay aside what no broker takes: those messages, or where messages have no rows what is left."""
        if not refused:
            return
        ids = [one for parcel, places in refused for one in parcel.message_ids(places)]
        organizations = {one.organization_id for one in ids}
        async with transaction(self._engine, organizations=organizations) as writing:
            if self._table.receipted:
                await park_messages(writing, self._table, ids, reason=RefusedRecordError.__name__)
            else:
                await lay_aside_refused(writing, self._table, refused)
        log.error("relay_parks", table=self._table.name, parked=len(ids))

    async def _finish(self, gone: Sequence[Any]) -> None:
        """Write down which parcels the broker has."""
        if not gone:
            return
        organizations = {row.organization_id for row in gone}
        # Lost in a crash of the database, it is sent once more.
        async with transaction(
            self._engine, organizations=organizations, may_be_lost=True, planned_once=True
        ) as writing:
            told = _keys(gone)
            if self._table.receipted:
                told["dues"] = [row.due_at for row in gone]
            await writing.execute(self._done, told)

    def _beat(self) -> None:
        if self._health is not None:
            self._health.beat(f"relay {self._table.name}")


# To plan what is due takes longer than to find it, and it is asked all the time. All of it has indexes.
_PLANNED_ONCE = text("""
    select set_config('plan_cache_mode', 'force_generic_plan', false),
        set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false)
""")


def _at_most(due: Sequence[Any], *, bytes_: int) -> Sequence[Any]:
    """Give as many parcels as fit, and the first one in any case."""
    for number, total in enumerate(accumulate(row.bytes for row in due)):
        if total > bytes_:
            return due[: max(number, 1)]
    return due


def _keys(rows: Sequence[Any]) -> dict[str, Any]:
    return {
        "organizations": [row.organization_id for row in rows],
        "parcels": [row.parcel_id for row in rows],
    }


_PARCELS = "unnest(cast(:organizations as uuid[]), cast(:parcels as bigint[]))"


# A parcel is looked up by its key, whatever the planner believes; its messages only where some may be done.
def _fetch(table: OutboxTable) -> TextClause:
    open_places = f"""
        case when p.attempts > 0 or p.open_messages < p.messages then array(
            select m.place
            from unnest(p.message_ids, p.revisions) with ordinality as m(message_id, revision, place)
            cross join lateral (
                select t.settled_at, t.parked_at, t.parcel_id from {table.name} t
                where (t.organization_id, t.message_id, t.revision)
                    = (p.organization_id, m.message_id, m.revision)
                limit 1
            ) as row
            where row.settled_at is null and row.parked_at is null and row.parcel_id = p.parcel_id
            order by m.place
        ) end
    """
    return text(f"""
        select p.*, {open_places if table.receipted else "null"} as open_places
        from {_PARCELS} with ordinality as due(organization_id, parcel_id, line)
        cross join lateral (
            select * from {table.parcels} p
            where p.organization_id = due.organization_id and p.parcel_id = due.parcel_id
            limit 1
        ) as p
        order by due.line
    """)


# Where all of a parcel is settled or parked by now there is nothing to wait for.
# Who made it due again while it was on its way wants it sent once more: it stays due.
def _mark(table: OutboxTable) -> TextClause:
    return text(f"""
        with sent as ({_locked(table)}), told as (
            select * from unnest(cast(:organizations as uuid[]), cast(:parcels as bigint[]),
                cast(:dues as timestamptz[])) as told(organization_id, parcel_id, due_at)
        )
        update {table.parcels} p set attempts = p.attempts + 1,
            due_at = case when p.due_at = told.due_at then
                now() + least(interval '1 hour', interval '1 minute' * power(2, least(p.attempts, 10)))
                else p.due_at end
        from sent join told using (organization_id, parcel_id)
        where p.organization_id = sent.organization_id and p.parcel_id = sent.parcel_id
    """)


def _delete(table: OutboxTable) -> TextClause:
    return text(f"""
        with sent as ({_locked(table)})
        delete from {table.parcels} p using sent
        where p.organization_id = sent.organization_id and p.parcel_id = sent.parcel_id
            and p.due_at is not null
    """)


def _locked(table: OutboxTable) -> str:
    """Lock parcels in the order of their keys, as whoever settles does."""
    return f"""
        select id.* from (
            select * from {_PARCELS} as named(organization_id, parcel_id) order by organization_id, parcel_id
        ) as id
        cross join lateral (
            select from {table.parcels} p
            where p.organization_id = id.organization_id and p.parcel_id = id.parcel_id
            for update
        ) as parcel
    """


def _repeat(table: OutboxTable) -> TextClause:
    return text(f"""
        with repeated as (
            select organization_id, parcel_id from {table.parcels}
            where shard = any (cast(:shards as smallint[])) and attempts > 0 and due_at > now()
            order by organization_id, parcel_id
            for update
        )
        update {table.parcels} p set due_at = now()
        from repeated
        where p.organization_id = repeated.organization_id and p.parcel_id = repeated.parcel_id
            and p.due_at > now()
    """)


def _root(error: BaseException) -> str:
    return type(error.__cause__ or error).__name__
