"""The processes themselves, on real brokers: files become events, receipts settle them, kills lose nothing."""

import asyncio
import json
import os
import subprocess
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from shared.clock import now
from shared.contracts.events_receipted import EventsReceipted, Receipt
from shared.kafka.consumer import consume
from shared.kafka.envelope import write_headers
from shared.kafka.outbox import Message
from shared.kafka.producer import OutgoingRecord, open_producer
from tests.ingest.processes import REPRIEVE, serve, until
from tests.ingest.remittances import TestSet, denied, paid, remittance
from tests.ingest.site import Site
from tests.support.brokers import Broker, EmbeddedBroker
from tests.support.database import Database


class Tracker:
    """Stands for everything behind ingest: it takes claim events and sends their receipts."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.seen: list[Any] = []

    async def run(self, stop: asyncio.Event) -> None:
        async with open_producer(self.bootstrap) as producer:

            async def handle(batch) -> None:
                self.seen += [one.event for one in batch]
                await producer.send_all([receipt_for(one.event) for one in batch])

            await consume(
                self.bootstrap,
                group="triage",
                topics=["claim-events"],
                handle=handle,
                producer=producer,
                stop=stop,
            )


def receipt_for(event) -> OutgoingRecord:
    told = EventsReceipted(
        organization_id=event.organization_id,
        batch_id=uuid4(),
        producer="ingest",
        shard=0,
        receipts=(Receipt(message_id=event.message_id, revision=event.message_revision, outcome="settled"),),
    )
    message = Message.of(told)
    headers = write_headers(
        service="tracker",
        message_id=message.message_id,
        revision=message.revision,
        type_=message.type,
        organization_id=message.organization_id,
        created_at=now(),
    )
    return OutgoingRecord(message.topic, str(message.message_key).encode(), message.payload, headers)


@pytest.fixture
async def tracker(broker: Broker):
    stop = asyncio.Event()
    tracker = Tracker(broker.bootstrap)
    running = asyncio.create_task(tracker.run(stop))
    yield tracker
    stop.set()
    await running


async def settled(site: Site, events: int) -> bool:
    (row,) = await site.rows(
        "select count(*) as events, count(settled_at) as settled from ingest.claim_events"
        " join ingest.claim_events_parcels p using (organization_id, parcel_id)"
        " where p.due_at is distinct from 'infinity'"
    )
    return (row.events, row.settled) == (events, events)


async def staged(site: Site, claims: int) -> bool:
    (row,) = await site.rows("select count(*) as n from ingest.claims")
    return row.n >= claims


async def processed(site: Site, receipt_id: str) -> bool:
    return (await site.get(f"/v1/remittances/{receipt_id}")).json()["status"] == "processed"


async def command(*arguments: str, url: str, key: str) -> subprocess.CompletedProcess[str]:
    """Run `reprieve …` as a person does."""
    environment = {**os.environ, "REPRIEVE_INGEST_URL": url, "REPRIEVE_API_KEY": key, "COLUMNS": "100"}
    return await asyncio.to_thread(
        subprocess.run, [REPRIEVE, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )


async def test_a_pushed_file_is_read_sent_and_settled(
    site: Site, database: Database, broker: Broker, tracker: Tracker, tmp_path: Path
):
    good, bad = tmp_path / "good.835", tmp_path / "bad.835"
    good.write_bytes(remittance(TestSet([denied(f"A{n}") for n in range(40)] + [paid("A1"), paid("B1")])))
    bad.write_bytes(b"no remittance")
    with (
        serve("ingest-api", database=database, broker=broker, folder=tmp_path) as api,
        serve("ingest-worker", database=database, broker=broker, folder=tmp_path) as worker,
    ):
        await api.ready()
        await worker.ready()
        reached = partial(command, url=api.url, key=site.keys["submitter"])
        created = await reached("feeds", "create", "nightly")
        same = await reached("feeds", "create", "nightly", "--acknowledgment", "negative")
        other = await reached(
            *("feeds", "create", "nightly", "--acknowledgment", "all", "--cadence-hours", "24")
        )
        listed = await reached("feeds", "list")
        first = await reached("push", str(good), "--feed", "nightly", "--wait", "--format", "json")
        again = await reached("push", str(good), str(bad), "--feed", "main", "--wait")
        unknown = await reached("push", str(good), "--feed", "nowhere")
        await until(partial(settled, site, 41))
        assert (worker.stop(), api.stop()) == (0, 0)

    assert created.stdout == "nightly: created\n"
    assert (same.returncode, same.stdout) == (0, "nightly: was there already\n")
    assert other.returncode == 1
    assert "acknowledgment, cadence hours" in other.stderr
    assert "reprieve feeds edit nightly" in other.stderr
    assert [line.split()[0] for line in listed.stdout.split("\n") if line.strip()][-2:] == ["main", "nightly"]
    assert first.returncode == 0, first.stderr
    receipt = json.loads(first.stdout)
    assert (receipt["status"], receipt["duplicate"], receipt["claims_read"]) == ("processed", False, 42)
    assert again.returncode == 1
    assert "duplicate" in again.stdout
    assert "refused" in again.stdout
    assert unknown.returncode == 2
    assert "feeds create" in unknown.stderr
    assert {event.event_id for event in tracker.seen} == {
        claim.event_id for claim in await site.claims() if claim.evented
    }
    logged = [json.loads(line) for line in worker.log.read_text().splitlines()]
    assert sum(line["event"] == "file_read" for line in logged) == 2
    assert [line for line in logged if "dropped_keys" in line] == []
    assert "JANE" not in worker.log.read_text()


@pytest.mark.slow
async def test_killing_workers_in_the_middle_of_a_file_loses_and_doubles_nothing(
    site: Site, database: Database, tmp_path: Path
):
    broker = EmbeddedBroker()
    await broker.start()
    claims = [denied(f"A{n}") if n % 3 else paid(f"A{n}") for n in range(20_000)]
    content = remittance(
        TestSet(claims[:12_000], trace="T1"), TestSet([*claims[12_000:], paid("A1")], trace="T2")
    )
    pushed = await site.push(content)
    try:
        for kill in range(1, 5):
            with (
                serve("ingest-worker", database=database, broker=broker, folder=tmp_path) as one,
                serve("ingest-worker", database=database, broker=broker, folder=tmp_path) as two,
            ):
                await until(partial(staged, site, kill * 3_000))
                one.kill()
                two.kill()
        with serve("ingest-worker", database=database, broker=broker, folder=tmp_path) as worker:
            await until(partial(processed, site, pushed.json()["receipt_id"]))
            assert worker.stop() == 0
    finally:
        await broker.kill()

    assert len(await site.claims()) == 20_001
    events = await site.events()
    assert (
        len({event.event_id for event in events}) == len(events) == sum(n % 3 > 0 for n in range(20_000)) + 1
    )
    assert sum(line["claims_read"] for line in await site.reconciled()) == 20_001
    assert sum(line["duplicates"] for line in await site.reconciled()) == 0
