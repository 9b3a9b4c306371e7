"""
The way to the broker: records go out in order, and one by one it is known which of them arrived.

They are laid into Kafka's batches here, partition by partition. A batch has one acknowledgment, so no record
needs a future of its own.

aiokafka's idempotent producer retries for ever and gives up for good when the broker forgets it. So a
producer here opens at its first use, bounds every sending in time, and starts afresh after a failure;
what was not acknowledged is sent again by whoever kept it. Repeating is harmless, losing is not.

A broker refuses batches, not records. So a refused batch is sent again in smaller ones, each time over a new
connection since the broker misses the refused one's number, and a record is refused only where it was alone.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidMessageError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.metadata import MetadataRequest

from shared.errors import InvalidInputError, UnavailableError
from shared.kafka.backoff import answer_within
from shared.kafka.envelope import Headers

MAX_RECORD_BYTES = 8 * 1024 * 1024

# A request carries one batch of each partition. What a service hands on at once has to fit into one, or its
# end comes later, as a small batch that costs as much as a large one. Unless told otherwise a broker takes a
# megabyte.
_BATCH_BYTES = 768 * 1024
_LEAST_BATCH_BYTES = 16 * 1024  # to begin with: a single odd record must not make batches of one for ever
_ACK_SECONDS = 15
_CLUSTER_CHECK_SECONDS = 1
_STOP_SECONDS = 2
_REFUSED_FOR_EVER = (MessageSizeTooLargeError, InvalidMessageError, RecordListTooLargeError)

_Filled = tuple[BatchBuilder, list[int]]  # a batch and the places of the records in it

_partition_of = DefaultPartitioner()

log = structlog.get_logger()


class RefusedRecordError(InvalidInputError):
    """The broker will never take this record, however often it is sent."""


class _RefusedInCompanyError(UnavailableError):
    """The broker did not take the batch that this record was in: smaller ones tell whose fault it was."""


class OutgoingRecord(NamedTuple):
    """Without a partition, the key decides."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers
    partition: int | None = None


class Producer:
    """Use open_producer(). May be shared by the tasks of one event loop."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._client: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()
        self._batch_bytes = _BATCH_BYTES
        self._cluster_id = ""
        self._cluster_checked_at = 0.0

    async def send_all(self, records: Sequence[OutgoingRecord]) -> list[Exception | None]:
        """
        Send records in order and wait for their acknowledgments; gives None for each that arrived.

        RefusedRecordError stands for a record that can never arrive, UnavailableError for one that may have.
        Raises UnavailableError when no broker answers at all.
        """
        outcomes: list[Exception | None] = [
            UnavailableError("The broker did not acknowledge the record in time.")
        ] * len(records)
        self._batch_bytes = max(self._batch_bytes, _LEAST_BATCH_BYTES)
        deadline = time.monotonic() + _ACK_SECONDS
        places: Sequence[int] = range(len(records))
        while places:
            client = await self._open()
            with contextlib.suppress(KafkaError, TimeoutError, OSError):
                await answer_within(_ACK_SECONDS, _send(client, records, places, outcomes))
            became = [outcomes[place] for place in places]
            if any(became):
                await self._discard(client)
            if not any(map(_is_refusal, became)) or time.monotonic() > deadline:
                break
            if any(isinstance(outcome, _RefusedInCompanyError) for outcome in became):
                self._batch_bytes //= 2
            places = [place for place in places if isinstance(outcomes[place], UnavailableError)]
        return outcomes.copy()

    async def partitions(self, topic: str) -> int:
        """Count a topic's partitions; raises UnavailableError when nobody knows the topic."""
        client = await self._open()
        try:
            return len(await answer_within(_ACK_SECONDS, client.partitions_for(topic)))
        except (KafkaError, TimeoutError, OSError) as error:
            await self._discard(client)
            raise UnavailableError(
                f"The broker does not know the topic {topic}.", remedy="Run `reprieve topics create`."
            ) from error

    async def cluster_id(self) -> str:
        """Name the cluster. A broker that lost what it kept has another name; remembered for a second."""
        if self._client is not None and time.monotonic() - self._cluster_checked_at < _CLUSTER_CHECK_SECONDS:
            return self._cluster_id
        client = await self._open()
        try:
            asked = client.client.send(client.client.get_random_node(), MetadataRequest([]))
            answer = await answer_within(_ACK_SECONDS, asked)
        except (KafkaError, TimeoutError, OSError) as error:
            await self._discard(client)
            raise UnavailableError("The broker does not answer.", remedy="It is tried again.") from error
        self._cluster_id = str(answer.cluster_id)
        self._cluster_checked_at = time.monotonic()
        return self._cluster_id

    async def _open(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._client is None:
                client = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap_servers,
                    enable_idempotence=True,
                    acks="all",
                    linger_ms=2,
                    max_batch_size=self._batch_bytes,
                    max_request_size=MAX_RECORD_BYTES,
                    request_timeout_ms=10_000,
                    metadata_max_age_ms=30_000,
                )
                try:
                    await answer_within(_ACK_SECONDS, client.start())
                except BaseException as error:
                    await _stop(client)
                    if not isinstance(error, (KafkaError, TimeoutError, OSError)):
                        raise
                    raise UnavailableError(
                        "The broker does not answer.", remedy="It is tried again."
                    ) from error
                self._client = client
            return self._client

    async def _discard(self, client: AIOKafkaProducer) -> None:
        if self._client is client:
            self._client = None
            self._cluster_checked_at = 0.0
            log.warning("producer_restarted")
            await _stop(client)

    async def close(self) -> None:
        """Send what is under way, and let the broker go."""
        if self._client is not None:
            client, self._client = self._client, None
            await _stop(client)


@asynccontextmanager
async def open_producer(bootstrap_servers: str) -> AsyncIterator[Producer]:
    """Open a producer. It connects when it is first used, so a broker that is down stops nobody here."""
    producer = Producer(bootstrap_servers)
    try:
        yield producer
    finally:
        await producer.close()


async def _send(
    client: AIOKafkaProducer,
    records: Sequence[OutgoingRecord],
    places: Sequence[int],
    outcomes: list[Exception | None],
) -> None:
    """Send the records at `places`, and write into `outcomes` what became of each as soon as it is known."""
    lanes: dict[tuple[str, int], list[int]] = {}
    partitions = {
        topic: sorted(await client.partitions_for(topic)) for topic in {one.topic for one in records}
    }
    for place in places:
        record = records[place]
        partition = record.partition
        if partition is None:
            known = partitions[record.topic]
            partition = _partition_of(record.key, known, known)
        lanes.setdefault((record.topic, partition), []).append(place)
    await asyncio.gather(
        *(
            _send_lane(client, topic, partition, _batches(client, records, inside, outcomes), outcomes)
            for (topic, partition), inside in lanes.items()
        )
    )


def _batches(
    client: AIOKafkaProducer,
    records: Sequence[OutgoingRecord],
    places: Sequence[int],
    outcomes: list[Exception | None],
) -> Iterator[_Filled]:
    """Lay the records at `places` into batches, as each is wanted; what is too large is refused."""
    batch, inside = client.create_batch(), list[int]()
    for place in places:
        record = records[place]
        if len(record.value) > MAX_RECORD_BYTES:
            outcomes[place] = RefusedRecordError("The record is larger than any broker takes.")
            continue
        if not _append(batch, record):
            yield batch, inside
            batch, inside = client.create_batch(), []
            _append(batch, record)  # the first one always finds room
        inside.append(place)
    if inside:
        yield batch, inside


def _append(batch: BatchBuilder, record: OutgoingRecord) -> bool:
    return (
        batch.append(timestamp=None, key=record.key, value=record.value, headers=record.headers) is not None
    )


async def _send_lane(
    client: AIOKafkaProducer,
    topic: str,
    partition: int,
    batches: Iterator[_Filled],
    outcomes: list[Exception | None],
) -> None:
    """Send one partition's batches, one after the other."""
    sent = []
    with contextlib.suppress(KafkaError, AssertionError, OSError):
        for batch, inside in batches:
            batch.close()
            sent.append((await client.send_batch(batch, topic, partition=partition), inside))
    for acknowledged, inside in sent:
        outcome = await _outcome(acknowledged, alone=len(inside) == 1)
        for place in inside:
            outcomes[place] = outcome


async def _stop(client: AIOKafkaProducer) -> None:
    """Stop a producer even if its broker is gone and its batches cannot be flushed."""
    with contextlib.suppress(KafkaError, TimeoutError, OSError, AssertionError):
        await answer_within(_STOP_SECONDS, client.stop())
        return
    if client._sender.sender_task is not None:  # noqa: SLF001  stop() waits for batches that never leave
        client._sender.sender_task.cancel()  # noqa: SLF001
    with contextlib.suppress(KafkaError, TimeoutError, OSError, AssertionError):
        await answer_within(_STOP_SECONDS, client.client.close())


def _is_refusal(outcome: Exception | None) -> bool:
    return isinstance(outcome, RefusedRecordError | _RefusedInCompanyError)


async def _outcome(acknowledged: asyncio.Future[object], *, alone: bool) -> Exception | None:
    try:
        await acknowledged
    except _REFUSED_FOR_EVER as error:
        if not alone:
            return _RefusedInCompanyError(f"The broker refuses the batch: {type(error).__name__}.")
        return RefusedRecordError(f"The broker refuses the record: {type(error).__name__}.")
    except (KafkaError, AssertionError, OSError) as error:
        return UnavailableError(f"The record was not acknowledged: {type(error).__name__}.")
    return None
