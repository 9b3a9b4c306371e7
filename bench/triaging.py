"""
triage-worker on Apache Kafka: denials a second from topic to topic, and then settled; what each costs.

    reprieve bench triaging        REPRIEVE_BENCH_DENIALS (default 20000), REPRIEVE_BENCH_WORKERS (default 2)

The events lie in `claim-events` when the clock starts, as a backlog does: until then the workers are stopped.
They are processes as in life, one for each of two processors, beside PostgreSQL and Apache Kafka, and nothing
else runs: they consume, decide, store and produce until the last decision is acknowledged and marked as sent.
That is the first figure.

Then comes what a tracker adds, measured by itself: this process reads `claim-decisions` and gives a receipt
for every decision and every event, a message per shard and producer, and the workers settle them. A first
fifth warms all of it up, receipts included.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import psutil
from aiokafka import AIOKafkaConsumer

from bench.end_to_end import used
from bench.recording import ORGANIZATION, simulated
from shared.contracts.base import Event, encode
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.denial_triaged import DenialTriaged
from shared.contracts.events_receipted import EventsReceipted, Receipt
from shared.kafka.envelope import write_headers
from shared.kafka.producer import OutgoingRecord, Producer, open_producer
from shared.kafka.topics import create_topics
from shared.observability.process import collect_seldom
from shared.postgres import create_engine, rows, transaction
from shared.values import shard_of
from tests.support.apache_kafka import ApacheKafka
from tests.support.database import Database, PostgresForTests

DENIALS = int(os.environ.get("REPRIEVE_BENCH_DENIALS", "20000"))
WORKERS = int(os.environ.get("REPRIEVE_BENCH_WORKERS", "2"))
_PATIENCE_SECONDS = 300
_SENT = "select coalesce(sum(messages), 0) as done from triage.decisions_parcels where attempts > 0"
_SETTLED = "select count(settled_at) as done from triage.decisions"


class Decided(msgspec.Struct):
    """What a receipt names."""

    event_id: UUID
    revision: int
    decision_id: UUID
    decision_revision: int
    claim_key: UUID


def main() -> None:
    """Measure and print."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader for a moment
    events = simulated(DENIALS * 6 // 5)
    server = PostgresForTests()
    try:
        with tempfile.TemporaryDirectory(prefix="reprieve-bench-") as folder:
            node = ApacheKafka(Path(folder))
            node.start()
            try:
                asyncio.run(measure(node, server, events))
            finally:
                node.stop()
    finally:
        server.stop()


async def measure(node: ApacheKafka, server: PostgresForTests, events: Sequence[ClaimDenied]) -> None:
    """Warm up with the first events, then measure the others."""
    print(f"{WORKERS} triage-worker, {DENIALS:,} denials on Apache Kafka, {os.cpu_count()} processors:")
    await create_topics(node.bootstrap)
    database = await server.fresh()
    collect_seldom()
    warm = len(events) - DENIALS
    async with open_producer(node.bootstrap) as producer:
        await send(producer, "ingest", events[:warm])
        workers = [process(node, database, number) for number in range(WORKERS)]
        try:
            async with tracker(node, producer):
                await until(database, _SETTLED, warm)
            tell(workers, signal.SIGSTOP)
            await send(producer, "ingest", events[warm:])
            spent = partial(processor_seconds, workers, server, node)
            began, before = time.perf_counter(), spent()
            tell(workers, signal.SIGCONT)
            await until(database, _SENT, len(events))
            sent, then = time.perf_counter(), spent()
            show("consumed, decided, stored and produced", sent - began, before, then)
            async with tracker(node, producer):
                await until(database, _SETTLED, len(events))
            show("receipted and settled", time.perf_counter() - sent, then, spent())
        finally:
            tell(workers, signal.SIGCONT)
            tell(workers, signal.SIGTERM)
            for worker in workers:
                worker.wait()


def process(node: ApacheKafka, database: Database, number: int) -> "subprocess.Popen[bytes]":
    """Start a worker."""
    settings = {
        "REPRIEVE_DATABASE_URL": database.url("reprieve_triage"),
        "REPRIEVE_KAFKA_BOOTSTRAP_SERVERS": node.bootstrap,
        "REPRIEVE_KAFKA_WINDOW_BYTES": str(DENIALS * 8192),  # on its way before the first receipt comes
        "REPRIEVE_PORT": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "services.cli", "serve", "triage-worker"],
        env=os.environ | settings,
        stderr=(node.folder / f"worker-{number}.log").open("wb"),
    )


def tell(workers: "Sequence[subprocess.Popen[bytes]]", what: signal.Signals) -> None:
    for worker in workers:
        worker.send_signal(what)


@asynccontextmanager
async def tracker(node: ApacheKafka, producer: Producer) -> AsyncIterator[None]:
    """Play the tracker inside."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(receipt(node, producer, stop))
        try:
            yield
        finally:
            stop.set()


async def receipt(node: ApacheKafka, producer: Producer, stop: asyncio.Event) -> None:
    """Give a receipt for each decision until `stop` is set."""
    reader = AIOKafkaConsumer(
        DenialTriaged.topic,
        bootstrap_servers=node.bootstrap,
        auto_offset_reset="earliest",
        group_id="bench",
        max_poll_records=500,
    )
    await reader.start()
    decoder = msgspec.json.Decoder(Decided)
    try:
        while not stop.is_set():
            found = await reader.getmany(timeout_ms=100)
            decided = [decoder.decode(record.value) for some in found.values() for record in some]
            await send(producer, "tracker", receipts_for(decided))
    finally:
        await reader.stop()


def receipts_for(decided: Iterable[Decided]) -> list[EventsReceipted]:
    """Settle decisions and their events as the tracker does."""
    groups: dict[tuple[str, int], list[tuple[UUID, int]]] = defaultdict(list)
    for one in decided:
        shard = shard_of(one.claim_key)
        groups["ingest", shard].append((one.event_id, one.revision))
        groups["triage", shard].append((one.decision_id, one.decision_revision))
    return [
        EventsReceipted(
            organization_id=ORGANIZATION,
            batch_id=uuid4(),
            producer=producer,  # type: ignore[arg-type]
            shard=shard,
            receipts=tuple(
                Receipt(message_id=message_id, revision=revision, outcome="settled")
                for message_id, revision in messages
            ),
        )
        for (producer, shard), messages in groups.items()
    ]


async def send(producer: Producer, service: str, events: Sequence[Event]) -> None:
    """Send as a relay does: what is of one shard to one partition, in order."""
    if not events:
        return
    partitions = await producer.partitions(events[0].topic)
    for start in range(0, len(events), 2000):
        some = events[start : start + 2000]
        outcomes = await producer.send_all([record(one, service, partitions) for one in some])
        assert not any(outcomes)  # noqa: S101  nothing is refused here


def record(event: Event, service: str, partitions: int) -> OutgoingRecord:
    return OutgoingRecord(
        topic=event.topic,
        key=str(event.message_key).encode(),
        value=encode(event),
        headers=write_headers(
            service=service,
            message_id=event.message_id,
            revision=event.message_revision,
            type_=type(event).__name__,
            organization_id=event.organization_id,
            created_at=datetime.now(UTC),
        ),
        partition=shard_of(event.message_key) % partitions,
    )


async def until(database: Database, question: str, count: int) -> None:
    """Ask until so many are done."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    engine = create_engine(database.url("reprieve_triage"), name="bench", pool_size=1)
    try:
        while True:
            async with transaction(engine, organizations=[ORGANIZATION]) as connection:
                (now,) = await rows(connection, question)
            if now.done >= count:
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"Only {now.done:,} of {count:,}: {question}")
            await asyncio.sleep(0.25)
    finally:
        await engine.dispose()


def processor_seconds(
    workers: "Sequence[subprocess.Popen[bytes]]", server: PostgresForTests, node: ApacheKafka
) -> dict[str, float]:
    """Give the processor seconds so far."""
    postmaster = psutil.Process(int((server.folder / "pg" / "postmaster.pid").read_text().split()[0]))
    ended = postmaster.cpu_times()
    return {
        "triage": sum(used(psutil.Process(worker.pid)) for worker in workers),
        "PostgreSQL": sum(used(each) for each in [postmaster, *postmaster.children()])
        + ended.children_user
        + ended.children_system,
        "Apache Kafka": used(psutil.Process(node.pid)),
        "this process": used(psutil.Process()),
    }


def show(what: str, seconds: float, before: dict[str, float], after: dict[str, float]) -> None:
    """Print rate and costs."""
    print(f"  {DENIALS / seconds:,.0f} a second {what} ({seconds:.1f} s)")
    for name, used_by_then in after.items():
        each = (used_by_then - before[name]) / DENIALS * 1e6
        print(f"    {name:<14}{each:6.0f} µs of processor time a denial")


if __name__ == "__main__":
    main()
