"""
The consumer's loop: batches in, offsets committed after the work, trouble sorted by whose turn it is.

    handled                   offset + 1 is committed, per partition
    a part does not answer    the same batch is repeated, with longer waits; nothing is laid aside
    anything else             the batch is cut in half until the single record that fails is found; after
                              five attempts it is a dead letter, and the others were handled

Handlers are idempotent, so a batch may come twice: after a crash, a rebalance, a new broker. Offsets are
never a fence. Gaps and steps back in the offsets are logged as alarms, and reading goes on at the earliest.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from shared.contracts.base import Event
from shared.contracts.topics import EVENT_TYPES
from shared.errors import UnavailableError
from shared.kafka.backoff import Backoff, answer_within
from shared.kafka.batches import BatchWork, Handle
from shared.kafka.producer import MAX_RECORD_BYTES, Producer
from shared.kafka.received import Received
from shared.kafka.watchdog import StuckError, Watchdog
from shared.observability import metrics

if TYPE_CHECKING:
    from shared.http.probes import Health

__all__ = ["Handle", "Received", "consume"]

SESSION_SECONDS = 10
"""How long a killed member keeps its partitions from the next one."""

EMBEDDED_SESSION_SECONDS = 4
"""The embedded broker lets a newcomer wait about as long, even when the last member left politely."""

_EMBEDDED_CLUSTER = "mockCluster"

_FETCH_WAIT_MS = 500
_EMBEDDED_FETCH_WAIT_MS = 100  # it answers after all of it, even when something comes at once

_BATCH_RECORDS = 1000
_POLL_SECONDS = 0.5
# A batch costs as much as dozens of records, and the first fetch brings a part of what was sent together. A
# fetch that waited itself would cost the broker more than one that is answered at once.
_GATHER_SECONDS = 0.05
_JOIN_SECONDS = 40
_LEAVE_SECONDS = 5
_ANSWER_SECONDS = 15
_FETCH_BYTES_PER_PARTITION = 2 * 1024 * 1024  # a larger record comes alone

log = structlog.get_logger()


async def consume(
    bootstrap_servers: str,
    *,
    group: str,
    topics: Sequence[str],
    handle: Handle,
    producer: Producer,
    stop: asyncio.Event,
    health: "Health | None" = None,
    max_records: int = _BATCH_RECORDS,
    types: Mapping[str, type[Event]] = EVENT_TYPES,
) -> None:
    """
    Give batches of `topics` to `handle` until `stop` is set; the batch under way is finished first.

    `types` has what each type of event is read into: see receive().

    Waits for a broker that is away and joins again after every failure of the group. Raises
    TooManyDeadLettersError when so much fails that going on would only empty the topic.
    """

    def beat() -> None:
        if health is not None:
            health.beat(f"consumer {group}")

    work = BatchWork(group=group, handle=handle, producer=producer, stop=stop, beat=beat, types=types)
    backoff = Backoff()
    while not stop.is_set():
        beat()
        try:
            cluster_id = await producer.cluster_id()
            consumer = _consumer(
                bootstrap_servers,
                group=group,
                embedded=cluster_id.startswith(_EMBEDDED_CLUSTER),
            )
            watchdog = Watchdog(consumer, group=group, producer=producer, cluster_id=cluster_id)
            async with _joined(consumer, group=group, topics=topics) as expected:
                membership = _Membership(
                    consumer, group=group, expected=expected, watchdog=watchdog, max_records=max_records
                )
                while not stop.is_set():
                    beat()
                    if await membership.take_batch(work):
                        backoff.reset()
        except (KafkaError, UnavailableError, StuckError, OSError, TimeoutError) as error:
            log.warning("consumer_rejoins", group=group, error_class=type(error).__name__)
            await backoff.wait(stop)


def _consumer(bootstrap_servers: str, *, group: str, embedded: bool) -> AIOKafkaConsumer:
    session_seconds = EMBEDDED_SESSION_SECONDS if embedded else SESSION_SECONDS
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=_FETCH_BYTES_PER_PARTITION,
        fetch_max_bytes=MAX_RECORD_BYTES * 2,
        fetch_max_wait_ms=_EMBEDDED_FETCH_WAIT_MS if embedded else _FETCH_WAIT_MS,
        session_timeout_ms=session_seconds * 1000,
        heartbeat_interval_ms=session_seconds * 1000 // 3,
        metadata_max_age_ms=30_000,
        request_timeout_ms=20_000,
    )


@asynccontextmanager
async def _joined(
    consumer: AIOKafkaConsumer, *, group: str, topics: Sequence[str]
) -> AsyncIterator[dict[TopicPartition, int | None]]:
    """Join the group, and leave it at the end; gives the next offset of each partition, as far as known."""
    expected: dict[TopicPartition, int | None] = {}
    consumer.subscribe(topics, listener=_Rebalances(group, expected))
    try:
        # The embedded broker may refuse a member that comes while another joins; the caller tries again.
        await answer_within(_JOIN_SECONDS, consumer.start())
        yield expected
    finally:
        await _leave(consumer)


async def _leave(consumer: AIOKafkaConsumer) -> None:
    """Leave the group, or at least let the sockets and tasks go when nobody is there to say goodbye to."""
    with contextlib.suppress(KafkaError, TimeoutError, OSError):
        await answer_within(_LEAVE_SECONDS, consumer.stop())
        return
    with contextlib.suppress(KafkaError, TimeoutError, OSError):
        await answer_within(_LEAVE_SECONDS, _close(consumer))


async def _close(consumer: AIOKafkaConsumer) -> None:
    if consumer._fetcher is not None:  # noqa: SLF001  stop() had no time to come so far
        await consumer._fetcher.close()  # noqa: SLF001
    await consumer._client.close()  # noqa: SLF001


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """A batch under way is finished: if its partitions are gone, it comes again elsewhere, harmlessly."""

    def __init__(self, group: str, expected: dict[TopicPartition, int | None]) -> None:
        self._group = group
        self._expected = expected

    async def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ARG002  the listener's interface
        self._expected.clear()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        log.info("partitions_assigned", group=self._group, partitions=len(assigned))


class _Membership:
    """One stay in the group: fetch, work, commit. `expected` has the next offset of each partition held."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        *,
        group: str,
        expected: dict[TopicPartition, int | None],
        watchdog: Watchdog,
        max_records: int,
    ) -> None:
        self._consumer = consumer
        self._group = group
        self._expected = expected
        self._watchdog = watchdog
        self._max_records = max_records
        self._busy = False

    async def take_batch(self, work: BatchWork) -> bool:
        """Wait a little for a batch and work on it; tells whether one came."""
        batch = await self._poll(_POLL_SECONDS, self._max_records)
        if self._busy:
            await self._gather(batch)
        self._busy = bool(batch)
        await self._watchdog.look(progress=bool(batch))
        if not batch:
            return False
        started = time.perf_counter()
        records = [record for partition in batch.values() for record in partition]
        dead = await work.do(records)
        await self._commit(batch)
        self._report(batch, dead=dead, seconds=time.perf_counter() - started)
        return True

    async def _poll(self, seconds: float, max_records: int) -> dict[TopicPartition, list[Any]]:
        polled = self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=max_records)
        batch: dict[TopicPartition, list[Any]] = await answer_within(_ANSWER_SECONDS, polled)
        if batch:
            await answer_within(_ANSWER_SECONDS, self._notice_gaps(batch))
        return batch

    async def _gather(self, batch: dict[TopicPartition, list[Any]]) -> None:
        """
        Add to a batch that has room what comes a moment later; what came alone never waits.

        After a rebalance records may come a second time: handlers take that within a batch as well.
        """
        room = self._max_records - sum(map(len, batch.values()))
        if not batch or room <= 0:
            return
        await asyncio.sleep(_GATHER_SECONDS)
        for partition, records in (await self._poll(0, room)).items():
            batch.setdefault(partition, []).extend(records)

    async def _notice_gaps(self, batch: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Sound the alarm when records went by unread or came back: the broker lost what it kept."""
        for partition, records in batch.items():
            if partition not in self._expected:
                self._expected[partition] = await self._consumer.committed(partition)
            expected = self._expected[partition]
            if expected is not None and records[0].offset != expected:
                log.error(
                    "offsets_skipped" if records[0].offset > expected else "offsets_went_back",
                    group=self._group,
                    topic=partition.topic,
                    partition=partition.partition,
                    missing=records[0].offset - expected,
                )
            self._expected[partition] = records[-1].offset + 1

    async def _commit(self, batch: Mapping[TopicPartition, Sequence[Any]]) -> None:
        try:
            # The client waits for ever for a broker that is away. We join again, and the batch is repeated.
            offsets = {partition: records[-1].offset + 1 for partition, records in batch.items()}
            await answer_within(_ANSWER_SECONDS, self._consumer.commit(offsets))
        except (CommitFailedError, IllegalStateError) as error:
            # The partitions are somebody else's now; the batch comes again there, and changes nothing.
            log.warning("commit_refused", group=self._group, error_class=type(error).__name__)

    def _report(self, batch: Mapping[TopicPartition, Sequence[Any]], *, dead: int, seconds: float) -> None:
        for topic in {partition.topic for partition in batch}:
            handled = sum(len(records) for partition, records in batch.items() if partition.topic == topic)
            metrics.RECORDS_HANDLED.labels(self._group, topic).inc(handled)
        metrics.BATCH_SECONDS.labels(self._group).observe(seconds)
        log.info(
            "batch_handled",
            group=self._group,
            records=sum(map(len, batch.values())),
            dlq=dead,
            duration_ms=round(seconds * 1000, 1),
        )
