"""An outbox row goes through its states, and no two statements stand in each other's way."""

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.events_receipted import EventsReceipted, Receipt
from shared.kafka.outbox import Message, insert_messages, release_staged
from shared.kafka.parcels import Unpacked, unpack
from shared.kafka.relay import Relay, _keys, _mark
from shared.kafka.stamps import make_due, settle
from shared.postgres import rows, transaction
from tests.kafka.support import ORGANIZATION, TABLE, TOPIC, change_parcels, count, fact, message, put, stored


def receipts(*outcomes: tuple[Message, str], producer: str = "ingest") -> EventsReceipted:
    return EventsReceipted(
        organization_id=ORGANIZATION,
        batch_id=uuid4(),
        producer=producer,
        shard=0,
        receipts=tuple(
            Receipt(
                message_id=one.message_id,
                revision=1,
                outcome=outcome,
                reason="ValueError" if outcome == "parked" else None,
            )
            for one, outcome in outcomes
        ),
    )


async def due(engine: AsyncEngine, *, window_bytes: int = 10_000_000, limit: int = 1000) -> list[UUID]:
    """Give the messages that the relay would send now, in its order."""
    relay = Relay(engine, TABLE, None)  # type: ignore[arg-type]  nothing is sent
    async with transaction(engine) as connection:
        found = await rows(
            connection,
            "select * from ingest.due_claim_events(cast(:shards as smallint[]), :window, :limit)",
            shards=list(range(12)),
            window=window_bytes,
            limit=limit,
        )
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        fetched = await connection.execute(relay._fetch, _keys(found))
    return [one.message_id for parcel in map(unpacked, fetched) for one in parcel.message_ids(parcel.places)]


def unpacked(parcel: Any) -> Unpacked:
    return unpack(parcel, service="ingest", partitions={TOPIC: 12})


async def sent(engine: AsyncEngine, messages: list[Message]) -> None:
    """Mark the parcels of these messages sent."""
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        parcels = await rows(
            connection,
            f"select organization_id, parcel_id, due_at from {TABLE.parcels} p where exists (select from"
            f" {TABLE.name} m where m.parcel_id = p.parcel_id and m.message_id = any(:ids))",
            ids=[one.message_id for one in messages],
        )
        dues = [one.due_at for one in parcels]
        await connection.execute(_mark(TABLE), {**_keys(parcels), "dues": dues})


async def test_a_message_is_written_once_however_often_it_comes(engine: AsyncEngine):
    first, second = message(), message()
    extra = {
        "remittance_id": ("uuid", [uuid4()] * 3),
        "charge_amount": ("numeric", [1] * 3),
        "denied_amount": ("numeric", [0] * 3),
    }
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        new = await insert_messages(connection, TABLE, [first, second, first], extra=extra)
        again = await insert_messages(connection, TABLE, [second, first, second], extra=extra)

    assert (new, again) == (2, 0)
    assert [row.message_id for row in await stored(engine)] == [first.message_id, second.message_id]


async def test_an_event_is_wrapped_with_its_own_identity(engine: AsyncEngine):
    event = fact()
    wrapped = Message.of(event, trace_parent="00-a-b-01")
    assert (wrapped.message_id, wrapped.message_key, wrapped.type) == (
        event.fact_id,
        event.claim_key,
        "FactRecorded",
    )
    assert wrapped.shard == event.claim_key.int % 12
    assert Message.of(event, UUID(int=7)).shard == 7


async def test_staged_messages_are_due_once_they_are_released(engine: AsyncEngine):
    mine, other = uuid4(), uuid4()
    await put(engine, [one := message()], staged=True, remittance=mine)
    await put(engine, [message()], staged=True, remittance=other)
    assert await due(engine) == []

    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        released = await release_staged(connection, TABLE, mine)

    assert released == 1
    assert await due(engine) == [one.message_id]


async def test_settled_wins_over_parked_and_is_never_taken_back(engine: AsyncEngine):
    both, twice, parked, strange = (message() for _ in range(4))
    await put(engine, [both, twice, parked, strange])

    await settle(
        engine, TABLE, receipts((both, "parked"), (both, "settled"), (twice, "settled"), (parked, "parked"))
    )
    await settle(
        engine,
        TABLE,
        receipts((twice, "parked"), (parked, "parked")),
        receipts((strange, "settled"), producer="triage"),
    )

    states = {row.message_id: (row.settled_at is not None, row.parked_reason) for row in await stored(engine)}
    assert states == {
        both.message_id: (True, None),
        twice.message_id: (True, None),
        parked.message_id: (False, "ValueError"),
        strange.message_id: (False, None),
    }
    assert await due(engine) == [strange.message_id]


async def test_a_receipt_reaches_no_other_organization(engine: AsyncEngine):
    await put(engine, [mine := message()])
    foreign = EventsReceipted(
        organization_id=uuid4(),
        batch_id=uuid4(),
        producer="ingest",
        shard=0,
        receipts=(Receipt(message_id=mine.message_id, revision=1, outcome="settled"),),
    )
    assert await settle(engine, TABLE, foreign) == 0
    assert await due(engine) == [mine.message_id]


async def test_what_is_made_due_is_open_again_and_keeps_its_slot(engine: AsyncEngine):
    settled, parked, staged = message(), message(), message()
    await put(engine, [settled, parked])
    await put(engine, [staged], staged=True)
    await sent(engine, [settled, parked])
    await settle(engine, TABLE, receipts((settled, "settled"), (parked, "parked")))
    assert await due(engine) == []

    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        assert await make_due(connection, TABLE, [settled.id, parked.id, staged.id, settled.id]) == 2

    assert set(await due(engine, window_bytes=0)) == {settled.message_id, parked.message_id}
    assert await count(engine, "attempts = 1") == 2


async def test_waiting_rows_never_block_the_repetitions_that_free_the_window(engine: AsyncEngine):
    first = [message(shard=5) for _ in range(3)]
    await put(engine, first)
    for _ in range(50):
        await put(engine, [message(shard=5)])
    await sent(engine, first)
    await change_parcels(engine, "due_at = now() where attempts > 0")

    assert await due(engine, window_bytes=300, limit=10) == [one.message_id for one in first]


async def test_the_wait_doubles_from_a_minute_to_an_hour(engine: AsyncEngine):
    await put(engine, [one := message()])
    waits = []
    for _ in range(9):
        await sent(engine, [one])
        waits.append(
            (await stored(engine, "round(extract(epoch from due_at - now()) / 60) as minutes"))[0].minutes
        )
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_marking_and_settling_the_same_rows_at_once_never_deadlocks(engine: AsyncEngine):
    messages = [message() for _ in range(400)]
    await put(engine, messages)

    async def mark() -> None:
        for _ in range(15):
            await sent(engine, random.sample(messages, 300))

    async def stamp(outcome: str) -> None:
        for _ in range(15):
            await settle(engine, TABLE, receipts(*((one, outcome) for one in random.sample(messages, 300))))

    async def reopen() -> None:
        for _ in range(15):
            async with transaction(engine, organizations=[ORGANIZATION]) as connection:
                await make_due(connection, TABLE, [one.id for one in random.sample(messages, 300)])

    await asyncio.gather(mark(), mark(), stamp("settled"), stamp("parked"), reopen())
    await settle(engine, TABLE, receipts(*((one, "settled") for one in messages)))
    assert await count(engine, "settled_at is not null") == 400
