"""A parcel is sent whole, and again without what is done; its messages live and are parked one by one."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import clock
from shared.errors import UnavailableError
from shared.kafka import relay, stamps
from shared.kafka.outbox import (
    PARCEL_BYTES_MAX,
    PARCEL_MESSAGES_MAX,
    Message,
    insert_messages,
    join_payloads,
    pack,
)
from shared.kafka.parcels import payloads_of
from shared.kafka.producer import MAX_RECORD_BYTES, OutgoingRecord, Producer
from shared.kafka.relay import Relay
from shared.kafka.stamps import make_due, park_messages, settle_messages
from shared.postgres import create_engine, rows, transaction
from shared.postgres.arrays import array_of
from tests.kafka.support import (
    ORGANIZATION,
    TABLE,
    Listener,
    change_parcels,
    count,
    eventually,
    ids,
    message,
    parcels,
    put,
    running,
    stored,
)
from tests.support.brokers import Broker
from tests.support.database import Database

OTHER = UUID("22222222-2222-4222-8222-222222222222")


async def settle(engine: AsyncEngine, messages: Sequence[Message]) -> int:
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        return await settle_messages(connection, TABLE, [one.id for one in messages])


async def repeat(engine: AsyncEngine) -> None:
    """Let the back-off of everything in flight be over."""
    await change_parcels(engine, "due_at = now() where attempts > 0 and due_at is not null")


async def is_sent(engine: AsyncEngine) -> bool:
    return all(one.attempts for one in await parcels(engine))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([ORGANIZATION, OTHER]), st.integers(0, 2), st.integers(1, PARCEL_BYTES_MAX + 1)
        ),
        max_size=30,
    )
)
def test_messages_keep_their_order_in_parcels_that_are_bounded(given_messages):
    messages = [
        Message(organization, uuid4(), 1, "T", "t", uuid4(), shard, bytes(size))
        for organization, shard, size in given_messages
    ]
    parcels = [[messages[at] for at in parcel] for parcel in pack(messages)]

    for parcel in parcels:
        assert len({(one.organization_id, one.shard) for one in parcel}) == 1
        assert len(parcel) == 1 or sum(len(one.payload) for one in parcel) <= PARCEL_BYTES_MAX
    for lane in {(one.organization_id, one.shard) for one in messages}:
        assert [one for one in messages if (one.organization_id, one.shard) == lane] == [
            one for parcel in parcels for one in parcel if (one.organization_id, one.shard) == lane
        ]


def test_a_parcel_takes_no_more_than_its_number_of_messages():
    parcels = pack([message(shard=1, size=1) for _ in range(2 * PARCEL_MESSAGES_MAX + 1)])
    assert [len(parcel) for parcel in parcels] == [PARCEL_MESSAGES_MAX] * 2 + [1]


@given(st.lists(st.binary(max_size=40), min_size=1))
def test_payloads_come_out_of_a_parcel_as_they_went_in(payloads):
    assert payloads_of(SimpleNamespace(**join_payloads(payloads))) == payloads


async def test_what_was_there_already_is_in_no_second_parcel(
    broker: Broker, producer: Producer, engine: AsyncEngine
):
    first, second, third = (message(shard=1) for _ in range(3))
    await put(engine, [first, second, first])
    await put(engine, [second, third, second, third])
    await put(engine, [third, first])

    assert [(one.messages, one.open_messages, one.open_bytes) for one in await parcels(engine)] == [
        (2, 2, 200),
        (1, 1, 100),
    ]
    async with running(Relay(engine, TABLE, producer).run), Listener(broker.bootstrap) as listener:
        heard = await listener.hear(3)
        await listener.hear_nothing_more()
    assert ids(heard) == [str(one.message_id) for one in (first, second, third)]


async def test_a_parcel_of_a_transaction_that_was_rolled_back_never_was(engine: AsyncEngine):
    lost, kept = message(shard=1), message(shard=1)
    extra = {
        "remittance_id": ("uuid", [uuid4()]),
        "charge_amount": ("numeric", [1]),
        "denied_amount": ("numeric", [1]),
    }
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        attempt = await connection.begin_nested()
        assert await insert_messages(connection, TABLE, [lost], extra=extra) == 1
        await attempt.rollback()
    await put(engine, [kept, lost])

    [parcel] = await parcels(engine)
    assert (parcel.messages, parcel.open_messages) == (2, 2)
    assert parcel.message_ids == [kept.message_id, lost.message_id]


async def test_a_repetition_sends_only_what_is_open(broker: Broker, producer: Producer, engine: AsyncEngine):
    messages = [message(shard=1) for _ in range(5)]
    await put(engine, messages)
    async with running(Relay(engine, TABLE, producer).run), Listener(broker.bootstrap) as listener:
        await listener.hear(5)
        await eventually(lambda: is_sent(engine))
        await settle(engine, [messages[0], messages[3]])
        async with transaction(engine, organizations=[ORGANIZATION]) as connection:
            await park_messages(connection, TABLE, [messages[1].id], reason="KeyError")
        assert [(one.open_messages, one.open_bytes) for one in await parcels(engine)] == [(2, 200)]

        await repeat(engine)
        heard = await listener.hear(7)
        assert ids(heard[5:]) == [str(messages[2].message_id), str(messages[4].message_id)]

        async with transaction(engine, organizations=[ORGANIZATION]) as connection:
            assert await make_due(connection, TABLE, [messages[1].id]) == 1
        heard = await listener.hear(10)
        assert ids(heard[7:]) == [str(messages[place].message_id) for place in (1, 2, 4)]

        assert await settle(engine, messages) == 3
        [parcel] = await parcels(engine)
        assert (parcel.open_messages, parcel.open_bytes, parcel.due_at) == (0, 0, None)
        await repeat(engine)
        await listener.hear_nothing_more()


async def test_what_is_made_due_while_it_is_on_its_way_stays_due(engine: AsyncEngine):
    await put(engine, [one := message(shard=1)])
    read = await parcels(engine)
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await make_due(connection, TABLE, [one.id])
        told = {**relay._keys(read), "dues": [row.due_at for row in read]}
        await connection.execute(relay._mark(TABLE), told)

    [parcel] = await parcels(engine)
    assert parcel.attempts == 1
    assert parcel.due_at <= clock.now()


async def test_settling_a_part_of_a_parcel_makes_room_for_the_next(
    broker: Broker, producer: Producer, engine: AsyncEngine
):
    first = [message(size=1000, shard=1) for _ in range(4)]
    second = [message(size=1000, shard=1) for _ in range(2)]
    await put(engine, first)
    await put(engine, second)
    shards_per_partition = -(-12 // await producer.partitions(first[0].topic))
    sending = Relay(engine, TABLE, producer, window_bytes_per_partition=5000 * shards_per_partition)

    async with running(sending.run), Listener(broker.bootstrap) as listener:
        await listener.hear(4)
        await listener.hear_nothing_more()
        await settle(engine, first[:1])
        heard = await listener.hear(6)

    assert ids(heard[4:]) == [str(one.message_id) for one in second]


async def test_what_is_parked_leaves_the_window(broker: Broker, producer: Producer, engine: AsyncEngine):
    first, second = message(size=5000, shard=1), message(size=5000, shard=1)
    await put(engine, [first])
    await put(engine, [second])
    sending = Relay(engine, TABLE, producer, window_bytes_per_partition=5000)

    async with running(sending.run), Listener(broker.bootstrap) as listener:
        await listener.hear(1)
        await eventually(lambda: first_is_sent(engine))
        await listener.hear_nothing_more()
        async with transaction(engine, organizations=[ORGANIZATION]) as connection:
            await park_messages(connection, TABLE, [first.id], reason="KeyError")
        assert ids(await listener.hear(2))[1] == str(second.message_id)


async def first_is_sent(engine: AsyncEngine) -> bool:
    return (await parcels(engine))[0].attempts == 1


async def test_what_no_broker_takes_is_parked_and_the_rest_of_its_parcel_arrives(
    producer: Producer, engine: AsyncEngine, broker: Broker
):
    messages = [message(shard=1) for _ in range(3)]
    await put(engine, messages)
    refused = str(messages[1].message_id)

    class Refusing(Producer):
        async def send_all(self, records: Sequence[OutgoingRecord]) -> list[Exception | None]:
            large = bytes(MAX_RECORD_BYTES + 1)
            return await super().send_all(
                [one._replace(value=large) if refused in str(one.headers) else one for one in records]
            )

    refusing = Refusing(broker.bootstrap)
    async with running(Relay(engine, TABLE, refusing).run), Listener(broker.bootstrap) as listener:
        heard = await listener.hear(2)
        await eventually(lambda: is_sent(engine))
    await refusing.close()

    assert ids(heard) == [str(messages[0].message_id), str(messages[2].message_id)]
    assert [one.parked_reason for one in await stored(engine)] == [None, "RefusedRecordError", None]
    assert [(one.open_messages, one.open_bytes) for one in await parcels(engine)] == [(2, 200)]


async def test_of_a_parcel_that_arrived_in_part_all_is_sent_again(
    producer: Producer, engine: AsyncEngine, broker: Broker
):
    messages = [message(shard=1) for _ in range(3)]
    await put(engine, messages)

    class Failing(Producer):
        failed = False

        async def send_all(self, records: Sequence[OutgoingRecord]) -> list[Exception | None]:
            if self.failed:
                return await super().send_all(records)
            self.failed = True
            lost: list[Exception | None] = [UnavailableError("It was lost.")] * (len(records) - 1)
            return await super().send_all(records[:1]) + lost

    failing = Failing(broker.bootstrap)
    async with running(Relay(engine, TABLE, failing).run), Listener(broker.bootstrap) as listener:
        heard = await listener.hear(4)
        await eventually(lambda: is_sent(engine))
    await failing.close()

    assert ids(heard) == [str(one.message_id) for one in (messages[0], *messages)]
    assert {one.attempts for one in await parcels(engine)} == {1}


async def test_a_done_message_that_is_sent_anew_waits_for_room_like_a_new_one(engine: AsyncEngine):
    await put(engine, [done := message(shard=1), other := message(shard=1)])
    await change_parcels(engine, "attempts = 3")
    await settle(engine, [done, other])
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        assert await make_due(connection, TABLE, [done.id], anew=True) == 1
    [parcel] = await parcels(engine)
    assert (parcel.attempts, parcel.open_messages, parcel.open_bytes) == (0, 1, 100)

    await change_parcels(engine, "attempts = 3")
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        assert await make_due(connection, TABLE, [other.id], anew=True) == 1
    [parcel] = await parcels(engine)
    assert (parcel.attempts, parcel.open_messages) == (3, 2)


async def test_without_its_parcel_a_message_stays_but_is_not_sent(engine: AsyncEngine):
    await put(engine, [one := message()])
    await settle(engine, [one])
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await rows(connection, f"update {TABLE.name} set parcel_id = -1 returning 1")  # as if it were deleted
        assert await make_due(connection, TABLE, [one.id]) == 0
    assert await settle(engine, [one]) == 0


async def test_many_stamps_at_once_count_right(engine: AsyncEngine):
    messages = [message(shard=1) for _ in range(60)]
    for start in range(0, 60, 20):
        await put(engine, messages[start : start + 20])

    async def stamp(some: Sequence[Message]) -> None:
        for one in some:
            await settle(engine, [one, *messages[:5]])

    async def reopen() -> None:
        for _ in range(20):
            async with transaction(engine, organizations=[ORGANIZATION]) as connection:
                await make_due(connection, TABLE, [one.id for one in messages[:30]])

    await asyncio.gather(stamp(messages[::2]), stamp(messages[1::2]), reopen(), reopen())
    for parcel in await parcels(engine):
        is_open = f"settled_at is null and parcel_id = {parcel.parcel_id}"
        assert parcel.open_messages == await count(engine, is_open)
        assert parcel.open_bytes == 100 * parcel.open_messages
        assert (parcel.due_at is None) == (parcel.open_messages == 0)


async def test_what_is_planned_once_reads_no_table_whole_even_if_it_was_small(
    engine: AsyncEngine, database: Database
):
    await put(engine, messages := [message() for _ in range(3)])
    owner = create_engine(database.owner, name="test")
    async with transaction(owner) as connection:
        for table in (TABLE.name, TABLE.parcels):
            await connection.execute(text(f"alter table {table} no force row level security"))
            await connection.execute(text(f"analyze {table}"))
            await connection.execute(text(f"alter table {table} force row level security"))
    await owner.dispose()
    told = stamps._told([one.id for one in messages])
    there = await parcels(engine)
    keys = relay._keys(there)
    statements = [
        (stamps._stamp(TABLE), {**told, "reasons": array_of([None] * 3)}),
        (stamps._reopen(TABLE), {**told, "anew": False}),
        (relay._fetch(TABLE), keys),
        (relay._mark(TABLE), {**keys, "dues": [one.due_at for one in there]}),
    ]
    for statement, parameters in statements:
        async with transaction(engine, organizations=[ORGANIZATION], planned_once=True) as connection:
            plan = "\n".join(
                (await connection.execute(text(f"explain {statement.text}"), parameters)).scalars()
            )
        assert "Index Scan" in plan
        assert "Seq Scan" not in plan
