"""tracker-worker against a real broker: what it reads, what it sends, and what a kill leaves behind."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer

from services.tracker import app
from services.tracker.domain.observations import VIEWS
from services.tracker.store.facts import keep_fact
from services.tracker.workers.recording import record_batch
from shared.contracts.base import Event, encode
from shared.contracts.events_receipted import EventsReceipted, Receipt
from shared.contracts.fact_recorded import FactRecorded
from shared.kafka.consumer import consume
from shared.kafka.envelope import write_headers
from shared.kafka.producer import OutgoingRecord, open_producer
from shared.kafka.received import receive
from shared.postgres import transaction
from tests.support.ports import free_port
from tests.tracker.support import KEY, ORGANIZATION, denial, outcome

SECONDS = 120
JAN, FEB = date(2026, 1, 10), date(2026, 2, 10)


def record_of(event: Event, *, service: str = "triage") -> OutgoingRecord:
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
    )


async def publish(broker, events, *, service: str = "triage") -> None:
    async with open_producer(broker.bootstrap) as producer:
        assert set(await producer.send_all([record_of(event, service=service) for event in events])) == {None}


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + SECONDS
    while not await true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


@pytest.fixture
def settings(database, broker, monkeypatch) -> dict[str, str]:
    """The environment of a worker, for this process and for one of its own."""
    found = {
        "REPRIEVE_DATABASE_URL": database.url("reprieve_tracker"),
        "REPRIEVE_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
        "REPRIEVE_KAFKA_WINDOW_BYTES": str(broker.window_bytes),
        "REPRIEVE_PORT": str(free_port()),
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@contextlib.asynccontextmanager
async def a_worker():
    """The worker's loops inside this process; leaving stops them as SIGTERM does."""
    stop = asyncio.Event()
    running = asyncio.create_task(app.run_worker(stop))
    try:
        yield running
    finally:
        stop.set()
        await running


async def read_all(broker, topic: str, *, enough: Callable[[list[Event]], bool]) -> list[Event]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    found: list[Event] = []
    deadline = time.monotonic() + SECONDS
    try:
        while not enough(found):
            assert time.monotonic() < deadline, f"{topic} does not have what was expected"
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [receive(record).event for record in records]
    finally:
        await consumer.stop()
    return found


async def count(select, table: str) -> int:
    [row] = await select(f"select count(*) as rows from tracker.{table}")
    return row.rows


async def test_decisions_become_cases_and_receipts_and_case_events_come_back(settings, broker, select):
    denied, paid = denial(on=JAN), outcome("paid", on=FEB)
    async with a_worker() as running:
        await publish(broker, [denied, paid])
        receipts = await read_all(
            broker,
            "settlement-receipts",
            enough=lambda found: sum(len(one.receipts) for one in found) >= 4 or running.done(),
        )
        events = await read_all(
            broker, "case-events", enough=lambda found: found and found[-1].closed_reason == "recovered"
        )

        async def sent() -> bool:
            return await count(select, "outbox_parcels") == 0

        await until(sent)

    told = {
        (one.producer, receipt.message_id, receipt.outcome) for one in receipts for receipt in one.receipts
    }
    assert told == {
        ("ingest", denied.event_id, "settled"),
        ("ingest", paid.event_id, "settled"),
        ("triage", denied.decision_id, "settled"),
        ("triage", paid.decision_id, "settled"),
    }
    assert {event.case_id for event in events} == {events[0].case_id}
    assert [case.state for case in await select("select state from tracker.cases")] == ["closed"]


async def test_a_fact_goes_out_and_is_parked_when_triage_says_so(settings, broker, engine, select):
    fact = FactRecorded(
        organization_id=ORGANIZATION,
        fact_id=uuid4(),
        claim_key=KEY,
        case_id=uuid4(),
        event_ids=(uuid4(),),
        kind="urgency",
        value="urgent",
        recorded_at=datetime.now(UTC),
        recorded_by=uuid4(),
    )
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await keep_fact(connection, fact, note="stays here", role="biller")

    async with a_worker():
        [sent] = await read_all(broker, "case-facts", enough=bool)
        receipt = Receipt(message_id=fact.fact_id, revision=1, outcome="parked", reason="ValueError")
        await publish(
            broker,
            [
                EventsReceipted(
                    organization_id=ORGANIZATION,
                    batch_id=uuid4(),
                    producer="tracker",
                    shard=0,
                    receipts=(receipt,),
                )
            ],
        )

        async def parked() -> bool:
            [row] = await select("select parked_reason from tracker.facts")
            return row.parked_reason == "ValueError"

        await until(parked)

    assert sent == fact


async def test_a_death_between_commit_and_offset_changes_nothing_when_the_batch_comes_again(
    settings, broker, engine, select
):
    story = [denial(on=JAN), outcome("paid", on=FEB)]
    await publish(broker, story)

    async def record_and_die(batch) -> None:
        await record_batch(engine, batch)
        raise asyncio.CancelledError

    async with open_producer(broker.bootstrap) as producer:
        dying = asyncio.create_task(
            consume(
                broker.bootstrap,
                group="tracker",
                topics=app.TOPICS,
                handle=record_and_die,
                types=VIEWS,
                producer=producer,
                stop=asyncio.Event(),
            )
        )
        with pytest.raises(asyncio.CancelledError):
            await dying
    versions = await select("select case_id, version from tracker.cases")
    before = await count(select, "outbox_parcels")
    assert before > 0

    async with a_worker():
        receipts = await read_all(
            broker, "settlement-receipts", enough=lambda found: sum(len(one.receipts) for one in found) >= 8
        )

    assert await count(select, "ledger") == 2
    assert await select("select case_id, version from tracker.cases") == versions
    assert {receipt.outcome for one in receipts for receipt in one.receipts} == {"settled"}


def start_process(settings: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", "from services.serve import serve; serve('tracker-worker')"],
        env={**os.environ, **settings},
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
@pytest.mark.parametrize("broker", [pytest.param("apache", marks=pytest.mark.apache)], indirect=True)
async def test_kill_9_in_the_middle_loses_nothing_and_doubles_nothing(settings, broker, select):
    keys = [UUID(int=uuid4().int) for _ in range(1500)]
    story = [
        event
        for key in keys
        for event in (denial(claim_key=key, on=JAN), outcome("paid", claim_key=key, on=FEB))
    ]
    await publish(broker, story)
    for threshold in (1, 1500):
        worker = start_process(settings)
        try:

            async def far_enough(threshold=threshold) -> bool:
                return await count(select, "ledger") >= threshold

            await until(far_enough)
        finally:
            worker.kill()
            worker.wait()
    worker = start_process(settings)
    try:

        async def done() -> bool:
            return await count(select, "ledger") == len(story) and await count(select, "outbox_parcels") == 0

        await until(done)
    finally:
        worker.terminate()
        status = worker.wait(60)

    cases = await select("select claim_key, state from tracker.cases")
    assert status == 0
    assert sorted(case.claim_key for case in cases) == sorted(keys)
    assert {case.state for case in cases} == {"closed"}
    settled: set[tuple] = set()
    wanted = {("ingest", event.event_id) for event in story} | {
        ("triage", event.decision_id) for event in story
    }

    def all_settled(found: list[EventsReceipted]) -> bool:
        settled.update((one.producer, receipt.message_id) for one in found for receipt in one.receipts)
        return wanted <= settled

    await read_all(broker, "settlement-receipts", enough=all_settled)
