"""The relay, on both brokers: every row in order and once; after trouble again, and never lost."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.kafka.outbox import MessageId, OutboxTable, insert_messages
from shared.kafka.producer import MAX_RECORD_BYTES, Producer
from shared.kafka.relay import Relay
from shared.kafka.stamps import make_due, park_messages, settle_messages
from shared.postgres import create_engine, rows, transaction
from tests.kafka.support import (
    ORGANIZATION,
    TABLE,
    TOPIC,
    Listener,
    change_parcels,
    count,
    eventually,
    ids,
    message,
    put,
    running,
    stored,
)
from tests.support.brokers import Broker
from tests.support.database import Database


async def settle_everything_in_flight(engine: AsyncEngine) -> None:
    await settle_some(engine, [row for row in await stored(engine) if row.attempts])


async def settle_some(engine: AsyncEngine, messages: Sequence[Any]) -> None:
    ids = [MessageId(one.organization_id, one.message_id, one.revision) for one in messages]
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await settle_messages(connection, TABLE, ids)


async def test_two_relays_send_each_row_once_and_each_key_in_order(
    broker: Broker, producer: Producer, engine: AsyncEngine
):
    keys = [uuid4() for _ in range(40)]
    messages = [message(key=keys[number % 40]) for number in range(3000)]
    await put(engine, messages[:1500])
    one, other = Relay(engine, TABLE, producer), Relay(engine, TABLE, producer)

    async with running(one.run), running(other.run), Listener(broker.bootstrap) as listener:
        await put(engine, messages[1500:])
        heard = await listener.hear(3000)
        await eventually(lambda: is_count(engine, "attempts = 1", 3000))
        await listener.hear_nothing_more()

    sent = defaultdict(list)
    for one_message in messages:
        sent[str(one_message.message_key)].append(str(one_message.message_id))
    arrived = defaultdict(list)
    for record, message_id in zip(heard, ids(heard), strict=True):
        arrived[record.key.decode()].append(message_id)
    assert arrived == sent


async def is_count(engine: AsyncEngine, condition: str, number: int) -> bool:
    return await count(engine, condition) == number


async def test_a_record_carries_its_envelope_and_its_trace(
    broker: Broker, producer: Producer, engine: AsyncEngine
):
    traced = message(trace_parent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    await put(engine, [traced, message(key=traced.message_key)])

    async with running(Relay(engine, TABLE, producer).run), Listener(broker.bootstrap) as listener:
        first, second = await listener.hear(2)

    headers = {name: value.decode() for name, value in first.headers}
    assert headers.pop("ce_time").endswith("+00:00")
    assert headers == {
        "ce_specversion": "1.0",
        "ce_id": f"{traced.message_id}:1",
        "ce_type": "FactRecorded",
        "ce_source": "reprieve/ingest",
        "ce_organizationid": str(ORGANIZATION),
        "content-type": "application/json",
        "traceparent": traced.trace_parent,
    }
    assert (first.key, first.value) == (str(traced.message_key).encode(), traced.payload)
    assert "traceparent" not in dict(second.headers)


async def test_a_relay_killed_between_sending_and_marking_only_repeats(
    broker: Broker, producer: Producer, engine: AsyncEngine
):
    class KilledError(Exception):
        pass

    class Killed(Relay):
        async def _mark(self, *_: object) -> None:
            raise KilledError

    await put(engine, messages := [message() for _ in range(50)])
    async with Listener(broker.bootstrap) as listener:
        with pytest.raises(KilledError):
            await Killed(engine, TABLE, producer).run(asyncio.Event())
        await listener.hear(50)
        async with running(Relay(engine, TABLE, producer).run):
            heard = await listener.hear(100)

    assert Counter(ids(heard)) == {str(one.message_id): 2 for one in messages}


async def test_a_broker_that_lost_everything_gets_everything_unsettled_again(
    broker: Broker, producer: Producer, engine: AsyncEngine
):
    await put(engine, messages := [message() for _ in range(60)])
    async with running(Relay(engine, TABLE, producer).run) as relay:
        async with Listener(broker.bootstrap) as listener:
            await listener.hear(60)
        await eventually(lambda: is_count(engine, "attempts = 1", 60))
        await settle_some(engine, done := messages[:10])
        settled = {str(one.message_id) for one in done}
        await broker.kill()
        await broker.forget()
        await broker.start()
        async with Listener(broker.bootstrap) as listener:
            heard = await listener.hear(50)
            await listener.hear_nothing_more()
        assert not relay.done()

    assert set(ids(heard)) == {str(one.message_id) for one in messages} - settled


async def test_rows_wait_for_a_broker_that_is_away(broker: Broker, producer: Producer, engine: AsyncEngine):
    await broker.kill()
    await put(engine, messages := [message() for _ in range(20)])
    async with running(Relay(engine, TABLE, producer).run) as relay:
        await asyncio.sleep(1.5)
        assert not relay.done()
        assert await count(engine, "attempts > 0") == 0
        await broker.start()
        async with Listener(broker.bootstrap) as listener:
            heard = await listener.hear(20)
        await eventually(lambda: is_count(engine, "attempts > 0", 20))

    assert set(ids(heard)) == {str(one.message_id) for one in messages}


async def test_parked_rows_are_silent_until_they_are_made_due(
    broker: Broker, producer: Producer, engine: AsyncEngine
):
    await put(engine, [parked := message(), settled := message()])
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await park_messages(connection, TABLE, [parked.id], reason="X")
    await settle_some(engine, [settled])
    async with running(Relay(engine, TABLE, producer).run), Listener(broker.bootstrap) as listener:
        await listener.hear_nothing_more(seconds=1.5)
        async with transaction(engine, organizations=[ORGANIZATION]) as connection:
            await make_due(connection, TABLE, [parked.id])
        heard = await listener.hear(1)
        await listener.hear_nothing_more()

    assert ids(heard) == [str(parked.message_id)]


async def test_the_window_bounds_what_is_in_flight_while_nobody_settles(
    broker: Broker, producer: Producer, engine: AsyncEngine
):
    partitions = await producer.partitions(TOPIC)
    shards_per_partition = -(-12 // partitions)
    for _ in range(20):
        await put(engine, [message(size=1000, shard=shard) for shard in (3, 4)])
    relay = Relay(engine, TABLE, producer, window_bytes_per_partition=5000 * shards_per_partition)

    async with running(relay.run), Listener(broker.bootstrap) as listener:
        await listener.hear(10)
        await listener.hear_nothing_more(seconds=1.5)
        await eventually(lambda: is_count(engine, "attempts > 0", 10))
        in_flight = await stored(
            engine, "shard, sum(size) filter (where attempts > 0) over (partition by shard) as bytes"
        )
        assert {(row.shard, row.bytes) for row in in_flight} == {(3, 5000), (4, 5000)}

        # What is sent again reuses its slot.
        await change_parcels(engine, "due_at = now() where attempts > 0")
        await listener.hear(20)
        await listener.hear_nothing_more(seconds=1.5)
        assert await count(engine, "attempts > 0") == 10

        await settle_everything_in_flight(engine)
        await listener.hear(30)


async def test_a_parcel_larger_than_the_window_goes_alone(
    broker: Broker, producer: Producer, engine: AsyncEngine
):
    large, small = message(size=50_000, shard=1), message(size=100, shard=1)
    await put(engine, [large])
    await put(engine, [small])
    relay = Relay(engine, TABLE, producer, window_bytes_per_partition=12_000)

    async with running(relay.run), Listener(broker.bootstrap) as listener:
        heard = await listener.hear(1)
        await listener.hear_nothing_more(seconds=1.5)
        assert ids(heard) == [str(large.message_id)]
        await eventually(lambda: is_count(engine, "attempts > 0", 1))
        await settle_everything_in_flight(engine)
        await listener.hear(2)


async def test_a_row_that_no_broker_takes_is_parked_and_harms_no_other(
    broker: Broker, producer: Producer, engine: AsyncEngine
):
    monster, other = message(size=MAX_RECORD_BYTES + 1, shard=1), message(shard=1)
    await put(engine, [monster, other])
    relay = Relay(engine, TABLE, producer, window_bytes_per_partition=1 << 28)

    async with running(relay.run), Listener(broker.bootstrap) as listener:
        heard = await listener.hear(1)
        await eventually(lambda: is_count(engine, "parked_reason = 'RefusedRecordError'", 1))

    assert ids(heard) == [str(other.message_id)]


async def test_a_table_without_receipts_loses_its_rows_to_the_broker(
    broker: Broker, producer: Producer, database: Database
):
    table = OutboxTable(service="tracker", name="tracker.outbox", receipted=False)
    engine = create_engine(database.url("reprieve_tracker"), name="test")
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await insert_messages(connection, table, messages := [message() for _ in range(30)])

    async def is_empty() -> bool:
        async with transaction(engine, organizations=[ORGANIZATION]) as connection:
            return not await rows(connection, "select 1 from tracker.outbox_parcels")

    async with (
        running(Relay(engine, table, producer).run),
        Listener(broker.bootstrap) as listener,
    ):
        heard = await listener.hear(30)
        await eventually(is_empty)
    await engine.dispose()

    assert sorted(ids(heard)) == sorted(str(one.message_id) for one in messages)


async def test_a_relay_whose_connection_is_cut_takes_its_shards_again(
    broker: Broker, producer: Producer, engine: AsyncEngine, database: Database
):
    async with running(Relay(engine, TABLE, producer).run) as relay, Listener(broker.bootstrap) as listener:
        await put(engine, [message()])
        await listener.hear(1)
        await database.server.execute(
            f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database.name}'"
        )
        await put(engine, [message()])
        await listener.hear(2)
        assert not relay.done()


async def test_what_waits_is_counted(broker: Broker, producer: Producer, engine: AsyncEngine):
    await put(engine, [message()])
    await put(engine, [message(), message()], staged=True)
    async with transaction(engine) as connection:
        backlog = await rows(connection, "select state, messages, bytes from ingest.backlog_claim_events()")
    assert sorted(backlog) == [("staged", 2, 200), ("waiting", 1, 100)]

    def shown(state: str) -> float | None:
        return REGISTRY.get_sample_value("reprieve_outbox_messages", {"table": TABLE.name, "state": state})

    async def is_shown() -> bool:
        return (shown("staged"), shown("waiting")) == (2, 1)

    async with running(Relay(engine, TABLE, producer).run):
        await eventually(is_shown)
