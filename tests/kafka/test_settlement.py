"""The loop closes: what is sent is settled or parked from its end, and what was parked can be sent again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.events_receipted import EventsReceipted, Receipt
from shared.contracts.fact_recorded import FactRecorded
from shared.http.app import create_app
from shared.http.probes import Health
from shared.kafka.consumer import consume
from shared.kafka.outbox import Message, OutboxTable, insert_messages
from shared.kafka.parked import parked_router
from shared.kafka.producer import Producer
from shared.kafka.received import Received
from shared.kafka.relay import Relay
from shared.kafka.settlement import settlement_consumer
from shared.postgres import create_engine, transaction
from shared.values import shard_of
from tests.kafka.support import ORGANIZATION, TABLE, count, eventually, fact, put, running
from tests.security.support import a_key
from tests.support.brokers import Broker
from tests.support.database import Database

OUTBOX = OutboxTable(service="tracker", name="tracker.outbox", receipted=False)


class Ledger:
    """A tracker in little: receipts for what it sees go through its own outbox. It chokes on `poison`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.poison: set[str] = set()

    async def handle(self, batch: Sequence[Received]) -> None:
        events = [one.event for one in batch if isinstance(one.event, FactRecorded)]
        if any(event.value in self.poison for event in events):
            raise LookupError
        messages = [
            Message.of(
                EventsReceipted(
                    organization_id=event.organization_id,
                    batch_id=uuid4(),
                    producer="ingest",
                    shard=shard_of(event.claim_key),
                    receipts=(Receipt(message_id=event.fact_id, revision=1, outcome="settled"),),
                )
            )
            for event in events
        ]
        async with transaction(
            self.engine, organizations={event.organization_id for event in events}
        ) as connection:
            await insert_messages(connection, OUTBOX, messages)


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    engine = create_engine(database.url("reprieve_tracker"), name="test", pool_size=10)
    yield Ledger(engine)
    await engine.dispose()


def messages(facts: Sequence[FactRecorded]) -> list[Message]:
    made = [Message.of(one) for one in facts]
    return [
        Message(**{**{name: getattr(one, name) for name in Message.__slots__}, "topic": "claim-events"})
        for one in made
    ]


async def whole_loop(
    stop: asyncio.Event, broker: Broker, producer: Producer, engine: AsyncEngine, ledger: Ledger
) -> None:
    """Everything that a stack runs between two databases, for one producer."""
    await asyncio.gather(
        Relay(engine, TABLE, producer, window_bytes_per_partition=broker.window_bytes).run(stop),
        Relay(ledger.engine, OUTBOX, producer).run(stop),
        consume(
            broker.bootstrap,
            group="triage",
            topics=["claim-events"],
            handle=ledger.handle,
            producer=producer,
            stop=stop,
        ),
        settlement_consumer(
            broker.bootstrap, producer_name="ingest", engine=engine, table=TABLE, producer=producer, stop=stop
        ),
    )


async def test_every_message_is_settled_even_if_the_broker_dies_and_forgets(
    broker: Broker, producer: Producer, engine: AsyncEngine, ledger: Ledger
):
    async def settled(number: int) -> bool:
        return await count(engine, "settled_at is not null") >= number

    async with running(lambda stop: whole_loop(stop, broker, producer, engine, ledger)):
        await put(engine, messages([fact() for _ in range(300)]))
        await eventually(lambda: settled(300))

        await put(engine, messages([fact() for _ in range(700)]))
        await eventually(lambda: settled(310))
        await broker.kill()
        await broker.forget()
        await broker.start()
        await eventually(lambda: settled(1000), seconds=120)

    assert await count(engine, "parked_at is not null") == 0


async def test_what_was_parked_is_listed_and_replayed(
    broker: Broker, producer: Producer, engine: AsyncEngine, ledger: Ledger, database: Database
):
    ledger.poison = {"2026-02-30"}
    good, bad = fact(), fact(value="2026-02-30")
    operator = {"Authorization": f"Bearer {await a_key(database, 'operator')}"}
    supervisor = {"Authorization": f"Bearer {await a_key(database, 'supervisor')}"}
    await found_organization(database)
    app = create_app(title="test", version="1", engine=engine, health=Health())
    app.include_router(parked_router(TABLE, engine))

    async def is_so(condition: str) -> bool:
        return await count(engine, condition) == 1

    async with (
        running(lambda stop: whole_loop(stop, broker, producer, engine, ledger)),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client,
    ):
        await put(engine, messages([good, bad]))
        await eventually(lambda: is_so("settled_at is not null"))
        await eventually(lambda: is_so("parked_reason = 'LookupError'"))

        (listed,) = (await client.get("/v1/parked", headers=operator)).json()["data"]
        assert (listed["message_id"], listed["type"], listed["reason"]) == (
            str(bad.fact_id),
            "FactRecorded",
            "LookupError",
        )
        assert (await client.get("/v1/parked", headers=supervisor)).json() == {"data": [], "has_more": False}

        ledger.poison = set()
        item = {"organization_id": str(ORGANIZATION), "message_id": str(bad.fact_id), "revision": 1}
        nothing = await client.post("/v1/parked/replay", headers=supervisor, json={"items": [item]})
        replayed = await client.post("/v1/parked/replay", headers=operator, json={"all": True})
        assert (nothing.json(), replayed.json()) == ({"made_due": 0}, {"made_due": 1})

        async def all_settled() -> bool:
            return await count(engine, "settled_at is not null") == 2

        await eventually(all_settled)
        repaired = await client.post("/v1/reconciliation/repair", headers=operator, json={"items": [item]})
        assert repaired.json() == {"made_due": 1}
        await eventually(all_settled)

        both = await client.post("/v1/parked/replay", headers=operator, json={"items": [item], "all": True})
        neither = await client.post("/v1/parked/replay", headers=operator, json={})
        viewer = {"Authorization": f"Bearer {await a_key(database, 'viewer')}"}
        refused = await client.get("/v1/parked", headers=viewer)
        assert (both.status_code, neither.status_code, refused.status_code) == (422, 422, 403)


async def found_organization(database: Database) -> None:
    """Let the installation know the organization whose messages the tests send."""
    owner = create_engine(database.owner, name="test")
    async with transaction(owner) as connection:
        await connection.execute(
            text("insert into access.organizations values (:id, 'of the tests', 'UTC', 'x')"),
            {"id": ORGANIZATION},
        )
    await owner.dispose()
