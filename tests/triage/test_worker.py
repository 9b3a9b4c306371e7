"""triage-worker on real brokers: what comes in is decided once and goes out until it is settled."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer

from services.triage import app
from services.triage.workers import deciding, handling
from shared.contracts.base import Event, encode
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.events_receipted import EventsReceipted, Receipt
from shared.contracts.fact_recorded import FactRecorded
from shared.kafka.envelope import write_headers
from shared.kafka.producer import OutgoingRecord, Producer, open_producer
from shared.values import shard_of
from tests.support.brokers import Broker
from tests.support.database import Database
from tests.triage.conftest import Triage
from tests.triage.messages import adjudication, denial, fact
from tests.triage.test_deciding import refusing

SECONDS = 120


async def test_events_are_decided_sent_and_settled(work: "Work"):
    event = denial()
    paid = adjudication(claim_key=event.claim_key)
    async with work.worker():
        await work.publish(event, event)
        await work.publish(event, paid)
        sent = await work.read("claim-decisions", 2)
        await work.settle(sent)
        await eventually(work.all_settled)

    assert {record["event_id"] for record in sent} == {str(event.event_id), str(paid.event_id)}
    assert len(await work.triage.decisions()) == 2


async def test_a_fact_leads_to_another_decision(work: "Work"):
    event = denial()
    about = fact(event)
    async with work.worker():
        await work.publish(about)
        await work.publish(event)
        await eventually(lambda: work.decided(1))
        later = fact(event, kind="network_status", value="in", recorded_at=datetime(2026, 3, 15, tzinfo=UTC))
        await work.publish(later)
        sent = await work.read("claim-decisions", 2)

    last = max(sent, key=lambda record: record["decision_revision"])
    assert set(last["fact_ids"]) == {str(about.fact_id), str(later.fact_id)}


async def test_an_earlier_remittance_that_comes_late_leads_to_another_decision(work: "Work"):
    later = denial(payer_claim_number="INVENTED7")
    earlier = msgspec.structs.replace(later, event_id=uuid4(), payer_date=date(2026, 2, 10))
    async with work.worker():
        await work.publish(later)
        await eventually(lambda: work.decided(1))
        await work.publish(earlier)
        sent = await work.read("claim-decisions", 3)

    decided = [
        (record["event_id"], record["decision_revision"], record.get("told_before")) for record in sent
    ]
    assert decided == [
        (str(later.event_id), 1, None),
        (str(earlier.event_id), 1, None),
        (str(later.event_id), 2, {"first_on": "2026-02-10"}),
    ]


async def test_poison_is_parked_alone_and_decided_when_it_is_replayed(
    work: "Work", monkeypatch: pytest.MonkeyPatch
):
    poison = denial()
    others = [denial() for _ in range(20)]
    healthy = deciding.decide
    monkeypatch.setattr(deciding, "decide", refusing(poison))
    async with work.worker():
        await work.publish(*others[:10], poison, *others[10:])
        (told,) = await work.read("settlement-receipts", 1)
        (dead,) = await work.read("claim-events-triage-dlq", 1)
        await eventually(lambda: work.decided(20))
        monkeypatch.setattr(deciding, "decide", healthy)
        await work.publish(poison)
        await eventually(lambda: work.decided(21))

    assert dead["event_id"] == str(poison.event_id)
    assert (told["producer"], told["receipts"][0]["message_id"]) == ("ingest", str(poison.event_id))
    assert (told["receipts"][0]["outcome"], told["receipts"][0]["reason"]) == ("parked", "ZeroDivisionError")


async def test_a_worker_that_dies_between_commit_and_offset_leaves_no_double(
    work: "Work", monkeypatch: pytest.MonkeyPatch
):
    events = [denial() for _ in range(50)]
    dying = handling.batch_handler

    def batch_handler(*parts: Any) -> Callable[[Sequence[Any]], Awaitable[None]]:
        handle = dying(*parts)

        async def handle_and_die(batch: Sequence[Any]) -> None:
            await handle(batch)
            raise DiedError

        return handle_and_die

    class DiedError(BaseException):
        """As sudden as a kill: nothing after it runs, above all no commit of offsets."""

    monkeypatch.setattr(app, "batch_handler", batch_handler)
    await work.publish(*events)
    with pytest.raises(BaseExceptionGroup):
        async with work.worker():
            await asyncio.sleep(SECONDS)
    assert 0 < len(await work.triage.decisions()) <= 50

    monkeypatch.setattr(app, "batch_handler", dying)
    async with work.worker():
        await eventually(lambda: work.decided(50))
        sent = await work.read("claim-decisions", 50)

    assert {record["event_id"] for record in sent} == {str(event.event_id) for event in events}
    assert len(await work.triage.decisions()) == 50


@pytest.mark.slow
@pytest.mark.parametrize("broker", [pytest.param("apache", marks=pytest.mark.apache)], indirect=True)
async def test_workers_killed_while_they_work_leave_every_event_decided_once(work: "Work", tmp_path: Path):
    events = [denial() for _ in range(3000)]
    first, second = work.process(tmp_path / "1.log"), work.process(tmp_path / "2.log")
    try:
        for start in range(0, 3000, 500):
            await work.publish(*events[start : start + 500])
            await work.publish(*events[start : start + 50])
        for kills in range(1, 4):
            await eventually(lambda kills=kills: work.decided(kills * 400))
            first.send_signal(signal.SIGKILL)
            first.wait(30)
            first, second = second, work.process(tmp_path / f"{kills + 2}.log")
        await eventually(lambda: work.decided(3000))
    finally:
        for process in (first, second):
            process.kill()
            process.wait(30)

    found = await work.triage.rows("select event_id, revision from triage.decisions")
    assert len(found) == 3000
    assert {row.event_id for row in found} == {event.event_id for event in events}


class Work:
    """The worker, the services around it played by the test, and a look into the tables."""

    def __init__(self, broker: Broker, database: Database, triage: Triage, producer: Producer) -> None:
        self.broker = broker
        self.database = database
        self.triage = triage
        self.producer = producer

    @property
    def environment(self) -> dict[str, str]:
        return {
            "REPRIEVE_DATABASE_URL": self.database.url("reprieve_triage"),
            "REPRIEVE_KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap,
            "REPRIEVE_KAFKA_WINDOW_BYTES": str(self.broker.window_bytes),
            "REPRIEVE_PORT": "0",
        }

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """A worker in this process; a crash of it ends the block."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(app.run_worker(stop))
            try:
                yield
            finally:
                stop.set()

    def process(self, log: Path) -> subprocess.Popen[bytes]:
        """A worker as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli", "serve", "triage-worker"],
            env=os.environ | self.environment,
            stdout=subprocess.DEVNULL,
            stderr=log.open("wb"),
        )

    async def publish(self, *events: Event) -> None:
        """Send events as ingest and the tracker do."""
        await self._send(events, {ClaimDenied: "ingest", FactRecorded: "tracker"})

    async def settle(self, decisions: Sequence[dict[str, Any]]) -> None:
        """Give the receipts that the tracker gives."""
        receipts = [
            EventsReceipted(
                organization_id=UUID(one["organization_id"]),
                batch_id=uuid4(),
                producer="triage",
                shard=shard_of(UUID(one["claim_key"])),
                receipts=(
                    Receipt(
                        message_id=UUID(one["decision_id"]),
                        revision=one.get("decision_revision", 1),
                        outcome="settled",
                    ),
                ),
            )
            for one in decisions
        ]
        await self._send(receipts, {EventsReceipted: "tracker"})

    async def _send(self, events: Sequence[Event], services: dict[type[Event], str]) -> None:
        topics = {event.topic for event in events}
        partitions = {topic: await self.producer.partitions(topic) for topic in topics}
        outcomes = await self.producer.send_all(
            [
                OutgoingRecord(
                    topic=event.topic,
                    key=str(event.message_key).encode(),
                    value=encode(event),
                    headers=write_headers(
                        service=services.get(type(event), "ingest"),
                        message_id=event.message_id,
                        revision=event.message_revision,
                        type_=type(event).__name__,
                        organization_id=event.organization_id,
                        created_at=datetime.now(UTC),
                    ),
                    partition=shard_of(event.message_key) % partitions[event.topic],
                )
                for event in events
            ]
        )
        assert not any(outcomes)

    async def read(self, topic: str, count: int) -> list[dict[str, Any]]:
        """Read a topic from its beginning until so many different records were there."""
        reader = AIOKafkaConsumer(
            topic,
            bootstrap_servers=self.broker.bootstrap,
            auto_offset_reset="earliest",
            metadata_max_age_ms=500,
        )
        await reader.start()
        found: dict[bytes, dict[str, Any]] = {}
        try:
            async with asyncio.timeout(SECONDS):
                while len(found) < count:
                    for records in (await reader.getmany(timeout_ms=200)).values():
                        for record in records:
                            found[dict(record.headers)["ce_id"]] = msgspec.json.decode(record.value)
        finally:
            await reader.stop()
        return list(found.values())

    async def decided(self, count: int) -> bool:
        (row,) = await self.triage.rows("select count(*) as decided from triage.decisions")
        return row.decided >= count

    async def all_settled(self) -> bool:
        return all(one.settled_at for one in await self.triage.decisions())


async def eventually(true: Callable[[], Awaitable[bool]], *, seconds: float = SECONDS) -> None:
    """Ask until it is true."""
    deadline = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < deadline, "it did not become true in time"
        await asyncio.sleep(0.05)


@pytest.fixture
async def work(
    broker: Broker, database: Database, triage: Triage, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Work]:
    async with open_producer(broker.bootstrap) as producer:
        work = Work(broker, database, triage, producer)
        for name, value in work.environment.items():
            monkeypatch.setenv(name, value)
        yield work
