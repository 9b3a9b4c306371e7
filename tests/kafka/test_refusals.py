"""What a broker refuses is found one by one, and what it only lost is sent again, whatever lies beside it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.errors import UnavailableError
from shared.http.app import create_app
from shared.http.probes import Health
from shared.kafka.outbox import Message, OutboxTable, insert_messages
from shared.kafka.parked import parked_router
from shared.kafka.producer import OutgoingRecord, Producer, RefusedRecordError
from shared.kafka.relay import Relay
from shared.postgres import create_engine, rows, transaction
from tests.kafka.support import (
    ORGANIZATION,
    TABLE,
    Listener,
    change_parcels,
    count,
    eventually,
    message,
    parcels,
    put,
    running,
)
from tests.security.support import a_key
from tests.support.brokers import Broker
from tests.support.database import Database

UNRECEIPTED = OutboxTable(service="tracker", name="tracker.outbox", receipted=False)
FACTS = OutboxTable(service="tracker", name="tracker.facts")


class Judge:
    """Stands for a producer: `judge` tells what becomes of a payload; what arrives is in `arrived`."""

    def __init__(self, judge: Callable[[bytes], Exception | None]) -> None:
        self.judge = judge
        self.arrived: list[bytes] = []

    async def cluster_id(self) -> str:
        return "of the tests"

    async def partitions(self, _topic: str) -> int:
        return 12

    async def send_all(self, records: Sequence[OutgoingRecord]) -> list[Exception | None]:
        outcomes = [self.judge(one.value) for one in records]
        self.arrived += [one.value for one, became in zip(records, outcomes, strict=True) if became is None]
        return outcomes


def _with(letter: str) -> Message:
    return replace(message(shard=1), payload=letter.encode() * 100)


@pytest.mark.parametrize("broker", [pytest.param("apache", marks=pytest.mark.apache)], indirect=True)
async def test_a_small_limit_of_a_topic_refuses_large_records_and_no_small_ones(
    broker: Broker, producer: Producer
):
    topic = f"small-{uuid4()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1, topic_configs={"max.message.bytes": "20000"})])
    await admin.close()
    sizes = [30_000 if number in {40, 90, 91} else 1000 for number in range(600)]
    records = [
        OutgoingRecord(topic, str(number).encode(), b"x" * size, [], number % 2)
        for number, size in enumerate(sizes)
    ]

    outcomes = await producer.send_all(records)
    again = await producer.send_all(records[:40])
    async with Listener(broker.bootstrap, topic) as listener:
        heard = await listener.hear(597 + 40)

    refused = [number for number, became in enumerate(outcomes) if isinstance(became, RefusedRecordError)]
    assert refused == [40, 90, 91]
    assert outcomes.count(None) == 597
    assert again == [None] * 40
    assert {one.key for one in heard} == {
        one.key for one, size in zip(records, sizes, strict=True) if size < 20_000
    }


async def test_of_a_parcel_without_receipts_only_the_refused_lie_until_they_are_replayed(database: Database):
    engine = create_engine(database.url("reprieve_tracker"), name="test")
    taken, refused, lost = _with("t"), _with("r"), _with("l")
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await insert_messages(connection, UNRECEIPTED, [taken, refused, lost])
    await _grant_organization(database)
    away = True

    def judge(payload: bytes) -> Exception | None:
        if payload == refused.payload:
            return RefusedRecordError("too large")
        return UnavailableError("lost") if away and payload == lost.payload else None

    producer = Judge(judge)
    relay = Relay(engine, UNRECEIPTED, producer)  # type: ignore[arg-type]  stands for one

    async def backlog() -> list[Any]:
        async with transaction(engine) as connection:
            return await rows(connection, "select state, messages, bytes from tracker.backlog_outbox()")

    async def is_laid_aside() -> bool:
        return await backlog() == [("parked", 1, 100)]

    async def is_tried_twice() -> bool:
        return producer.arrived.count(taken.payload) > 1

    async with running(relay.run):
        await eventually(is_tried_twice)
        assert await backlog() == [("waiting", 3, 300)]
        away = False
        await eventually(is_laid_aside)
    assert lost.payload in producer.arrived
    producer.arrived.clear()
    producer.judge = lambda _: None

    app = create_app(title="test", version="1", engine=engine, health=Health())
    app.include_router(parked_router(FACTS, engine, unreceipted=UNRECEIPTED))
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app),
        base_url="http://tracker",
        headers={"Authorization": f"Bearer {await a_key(database, 'operator')}"},
    ) as client:
        (listed,) = (await client.get("/v1/parked")).json()["data"]
        others = await client.get("/v1/parked", params={"message_id": str(taken.message_id)})
        item = {name: listed[name] for name in ("organization_id", "message_id", "revision")}
        unknown = {"items": [{**item, "message_id": str(taken.message_id)}]}
        replayed = [
            (await client.post("/v1/parked/replay", json=wanted)).json()["made_due"]
            for wanted in (unknown, {"items": [item]}, {"all": True})
        ]

    async def is_empty() -> bool:
        return await backlog() == []

    async with running(relay.run):
        await eventually(is_empty)
    await engine.dispose()

    assert (listed["message_id"], listed["reason"]) == (str(refused.message_id), "RefusedRecordError")
    assert others.json()["data"] == []
    assert replayed == [0, 1, 0]
    assert producer.arrived == [refused.payload]


async def _grant_organization(database: Database) -> None:
    owner = create_engine(database.owner, name="test")
    async with transaction(owner) as connection:
        await connection.execute(
            text("insert into access.organizations values (:id, 'of the tests', 'UTC', 'x')"),
            {"id": ORGANIZATION},
        )
    await owner.dispose()


async def test_a_relay_that_parks_and_marks_holds_no_parcel_while_it_waits_for_another(engine: AsyncEngine):
    first, refused = _with("f"), _with("r")
    await put(engine, [first])
    await put(engine, [refused])
    one, other = [row.parcel_id for row in await parcels(engine)]
    producer = Judge(lambda value: RefusedRecordError("too large") if value == refused.payload else None)
    relay = Relay(engine, TABLE, producer)  # type: ignore[arg-type]  stands for one

    async with transaction(engine, organizations=[ORGANIZATION]) as settling:
        await _lock(settling, one)
        async with running(relay.run) as relaying:
            await eventually(lambda: _somebody_waits(engine))
            await asyncio.wait_for(_lock(settling, other), 30)
            await settling.rollback()
            await eventually(lambda: _is(engine, "attempts = 1", 2))
            assert await count(engine, "parked_at is not null") == 1
            assert not relaying.done()


async def _lock(connection: AsyncConnection, parcel_id: int) -> None:
    await connection.execute(
        text(f"select from {TABLE.parcels} where parcel_id = :parcel_id for update"), {"parcel_id": parcel_id}
    )


async def _somebody_waits(engine: AsyncEngine) -> bool:
    async with transaction(engine) as connection:
        return bool(await rows(connection, "select 1 from pg_locks where not granted"))


async def _is(engine: AsyncEngine, condition: str, number: int) -> bool:
    return await count(engine, condition) == number


async def test_a_transaction_that_lost_a_deadlock_may_be_repeated(engine: AsyncEngine):
    await put(engine, [_with("f")])
    await put(engine, [_with("g")])
    ids = [row.parcel_id for row in await parcels(engine)]
    both_have_one = asyncio.Barrier(2)

    async def lock(parcel_ids: Sequence[int]) -> None:
        async with transaction(engine, organizations=[ORGANIZATION]) as connection:
            await _lock(connection, parcel_ids[0])
            await both_have_one.wait()
            await _lock(connection, parcel_ids[1])

    became = await asyncio.gather(lock(ids), lock(ids[::-1]), return_exceptions=True)
    assert sorted(type(one) for one in became if one) == [UnavailableError]


async def test_a_message_that_belongs_to_another_parcel_is_not_sent_again_from_this_one(engine: AsyncEngine):
    await put(engine, [moved := _with("m"), kept := _with("k")])
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await connection.execute(
            text(f"update {TABLE.name} set parcel_id = parcel_id + 1 where message_id = :message_id"),
            {"message_id": moved.message_id},
        )
    await change_parcels(engine, "attempts = 1")
    producer = Judge(lambda _: None)

    async def is_sent() -> bool:
        return bool(producer.arrived)

    async with running(Relay(engine, TABLE, producer).run):  # type: ignore[arg-type]  stands for one
        await eventually(is_sent)
    assert producer.arrived == [kept.payload]
