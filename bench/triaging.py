"""
triage-worker alone on Apache Kafka: denials a second from the topic to settled, and what each costs.

    reprieve bench triaging        REPRIEVE_BENCH_DENIALS (default 20000)

The events lie in `claim-events` when the clock starts: until then the worker is stopped. It is a process as
in life, and consumes, decides, stores, produces and settles; this process plays the tracker: it reads
`claim-decisions` and gives a receipt for every decision and every event, a message per shard and producer.
Processor time is told apart: what the worker and PostgreSQL take is triage's, what Apache Kafka and this
process take stands for the rest of the installation. A first fifth warms all of it up.
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
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
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
_PATIENCE_SECONDS = 300
_PROGRESS = "select count(*) as decided, count(settled_at) as settled from triage.decisions"


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
    await create_topics(node.bootstrap)
    database = await server.fresh()
    collect_seldom()
    warm = len(events) - DENIALS
    async with open_producer(node.bootstrap) as producer:
        await send(producer, "ingest", events[:warm])
        stop = asyncio.Event()
        tracker = asyncio.create_task(receipt(node, producer, stop))
        worker = process(node, database)
        try:
            await until_settled(database, warm, tracker)
            worker.send_signal(signal.SIGSTOP)
            await send(producer, "ingest", events[warm:])
            before = spent(worker, server, node)
            began = time.perf_counter()
            worker.send_signal(signal.SIGCONT)
            await until_settled(database, len(events), tracker)
            seconds = time.perf_counter() - began
            show(seconds, before, spent(worker, server, node))
        finally:
            worker.send_signal(signal.SIGCONT)
            worker.terminate()
            worker.wait()
            stop.set()
            await tracker


def process(node: ApacheKafka, database: Database) -> "subprocess.Popen[bytes]":
    """Start the worker."""
    settings = {
        "REPRIEVE_DATABASE_URL": database.url("reprieve_triage"),
        "REPRIEVE_KAFKA_BOOTSTRAP_SERVERS": node.bootstrap,
        "REPRIEVE_PORT": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "services.cli", "serve", "triage-worker"],
        env=os.environ | settings,
        stderr=(node.folder / "worker.log").open("wb"),
    )


async def receipt(node: ApacheKafka, producer: Producer, stop: asyncio.Event) -> None:
    """Play the tracker until `stop` is set."""
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


async def until_settled(database: Database, count: int, tracker: asyncio.Task[None]) -> None:
    """Wait for the last stamp."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    engine = create_engine(database.url("reprieve_triage"), name="bench", pool_size=1)
    try:
        while True:
            async with transaction(engine, organizations=[ORGANIZATION]) as connection:
                (now,) = await rows(connection, _PROGRESS)
            if now.settled >= count:
                return
            if tracker.done() or time.monotonic() > deadline:
                found = f"{now.decided:,} decided, {now.settled:,} settled of {count:,}"
                raise SystemExit(f"Not settled: {found}.")
            await asyncio.sleep(0.25)
    finally:
        await engine.dispose()


def spent(worker: "subprocess.Popen[bytes]", server: PostgresForTests, node: ApacheKafka) -> dict[str, float]:
    """Give the processor seconds so far."""
    postmaster = psutil.Process(int((server.folder / "pg" / "postmaster.pid").read_text().split()[0]))
    ended = postmaster.cpu_times()
    return {
        "worker": used(psutil.Process(worker.pid)),
        "PostgreSQL": sum(used(each) for each in [postmaster, *postmaster.children()])
        + ended.children_user
        + ended.children_system,
        "Apache Kafka": used(psutil.Process(node.pid)),
        "this process": used(psutil.Process()),
    }


def show(seconds: float, before: dict[str, float], after: dict[str, float]) -> None:
    """Print rate and costs."""
    print(f"triage-worker, {DENIALS:,} denials on Apache Kafka, {os.cpu_count()} processors:")
    print(f"  {DENIALS / seconds:,.0f} a second from topic to settled ({seconds:.1f} s)")
    for name, used_by_then in after.items():
        each = (used_by_then - before[name]) / DENIALS * 1e6
        print(f"  {name:<14}{each:6.0f} µs of processor time a denial")


if __name__ == "__main__":
    main()
