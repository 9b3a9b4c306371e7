"""The consumer's loop, on both brokers: everything is handled, or laid aside with a reason, or waits."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from shared.contracts.base import Event, encode
from shared.contracts.events_receipted import EventsReceipted
from shared.contracts.fact_recorded import FactRecorded
from shared.errors import UnavailableError
from shared.kafka.batches import ATTEMPTS
from shared.kafka.consumer import Handle, _Membership, consume
from shared.kafka.dead_letters import DeadLetterBudget, TooManyDeadLettersError
from shared.kafka.envelope import write_headers
from shared.kafka.producer import OutgoingRecord, Producer
from shared.kafka.received import Received, receive
from tests.kafka.support import Listener, eventually, fact, ids, running
from tests.support.brokers import Broker

TOPIC = "case-facts"
DEAD_LETTERS = "case-facts-triage-dlq"


def outgoing(event: Event, *, type_: str | None = None, value: bytes | None = None) -> OutgoingRecord:
    headers = write_headers(
        service="tracker",
        message_id=event.message_id,
        revision=1,
        type_=type_ or type(event).__name__,
        organization_id=event.organization_id,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        trace_parent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    return OutgoingRecord(TOPIC, str(event.message_key).encode(), value or encode(event), headers)


async def send(producer: Producer, *records: OutgoingRecord) -> None:
    assert set(await producer.send_all(records)) == {None}


class Seen:
    """Counts what a handler got; `refuse` names what it cannot take."""

    def __init__(self, refuse: dict[UUID, Exception] | None = None) -> None:
        self.facts: Counter[UUID] = Counter()
        self.refused: Counter[UUID] = Counter()
        self._refuse = refuse or {}

    async def handle(self, batch: Sequence[Received]) -> None:
        facts = [one.event for one in batch if isinstance(one.event, FactRecorded)]
        for one in facts:
            if error := self._refuse.get(one.fact_id):
                self.refused[one.fact_id] += 1
                raise error
        self.facts.update(one.fact_id for one in facts)

    async def have(self, number: int, *, seconds: float = 90) -> None:
        async def enough() -> bool:
            return len(self.facts) >= number

        await eventually(enough, seconds=seconds)


def loop(broker: Broker, producer: Producer, handle: Handle, **settings: Any) -> Any:
    return lambda stop: consume(
        broker.bootstrap,
        group="triage",
        topics=[TOPIC],
        handle=handle,
        producer=producer,
        stop=stop,
        **settings,
    )


async def test_a_poison_record_is_laid_aside_and_harms_no_other(broker: Broker, producer: Producer):
    facts = [fact(number) for number in range(60)]
    poison = facts[23]
    seen = Seen({poison.fact_id: ZeroDivisionError("the patient is called Doe")})
    await send(producer, *map(outgoing, facts))

    async with running(loop(broker, producer, seen.handle)):
        await seen.have(59)
        async with Listener(broker.bootstrap, DEAD_LETTERS) as listener:
            (dead,) = await listener.hear(1)
        async with Listener(broker.bootstrap, "settlement-receipts") as listener:
            (told,) = await listener.hear(1)

    headers = dict(dead.headers)
    assert set(seen.facts) == {one.fact_id for one in facts} - {poison.fact_id}
    assert (dead.key, dead.value) == (str(poison.claim_key).encode(), encode(poison))
    assert headers["ce_id"].decode() == f"{poison.fact_id}:1"
    assert headers["error-class"] == b"ZeroDivisionError"
    assert b"test_consumer.py" in headers["error-frames"]
    assert (headers["original-topic"], int(headers["original-offset"]) >= 0) == (TOPIC.encode(), True)
    assert not [value for value in headers.values() if b"Doe" in value]

    receipt = receive(told)
    assert isinstance(receipt.event, EventsReceipted)
    assert (receipt.event.producer, receipt.event.shard) == ("tracker", poison.claim_key.int % 12)
    assert [(one.message_id, one.outcome, one.reason) for one in receipt.event.receipts] == [
        (poison.fact_id, "parked", "ZeroDivisionError")
    ]
    assert receipt.envelope.source == "reprieve/triage"
    assert receipt.envelope.trace_parent is not None


async def test_a_record_gets_five_attempts_before_it_is_given_up(broker: Broker, producer: Producer):
    await send(producer, outgoing(poison := fact()))
    seen = Seen({poison.fact_id: ValueError()})
    async with (
        running(loop(broker, producer, seen.handle)),
        Listener(broker.bootstrap, DEAD_LETTERS) as listener,
    ):
        await listener.hear(1)
    assert seen.refused == {poison.fact_id: ATTEMPTS}


async def test_records_that_nobody_can_read_are_laid_aside_at_once(broker: Broker, producer: Producer):
    good, unknown, garbled, foreign = fact(), fact(), fact(), fact()
    bare = OutgoingRecord(TOPIC, b"key", b"not ours", [])
    stolen = outgoing(foreign, value=encode(FactRecorded(**{**_fields(foreign), "organization_id": uuid4()})))
    await send(
        producer,
        bare,
        outgoing(unknown, type_="FactForgotten"),
        outgoing(garbled, value=b'{"fact_id": 7}'),
        stolen,
        outgoing(good),
    )
    seen = Seen()
    async with (
        running(loop(broker, producer, seen.handle)),
        Listener(broker.bootstrap, DEAD_LETTERS) as listener,
    ):
        dead = await listener.hear(4)
        await seen.have(1)

    assert set(seen.facts) == {good.fact_id}
    assert sorted(dict(record.headers)["error-class"] for record in dead) == [
        b"UnknownTypeError",
        b"UnreadableError",
        b"UnreadableError",
        b"UnreadableError",
    ]


def _fields(event: FactRecorded) -> dict[str, Any]:
    return {name: getattr(event, name) for name in FactRecorded.__struct_fields__}


async def test_fields_that_we_do_not_know_are_passed_over(broker: Broker, producer: Producer):
    newer = fact()
    await send(producer, outgoing(newer, value=encode(newer)[:-1] + b',"added_in_2027":[1]}'))
    seen = Seen()
    async with running(loop(broker, producer, seen.handle)):
        await seen.have(1)


async def test_while_the_database_is_away_the_batch_is_repeated_and_nothing_is_laid_aside(
    broker: Broker, producer: Producer
):
    seen, refusals = Seen(), [UnavailableError("The database does not answer.")] * 4

    async def handle(batch: Sequence[Received]) -> None:
        if refusals:
            raise refusals.pop()
        await seen.handle(batch)

    facts = [fact(number) for number in range(30)]
    await send(producer, *map(outgoing, facts))
    async with running(loop(broker, producer, handle)):
        await seen.have(30)
    async with Listener(broker.bootstrap, DEAD_LETTERS) as listener:
        await listener.hear_nothing_more(seconds=1.5)

    assert refusals == []


async def test_what_was_handled_but_not_committed_comes_again(broker: Broker, producer: Producer):
    class KilledError(BaseException):
        """Nothing in the loop may stop a dying process."""

    async def handle_and_die(batch: Sequence[Received]) -> None:
        await before.handle(batch)
        raise KilledError

    before, after = Seen(), Seen()
    facts = [fact(number) for number in range(10)]
    await send(producer, *map(outgoing, facts))
    with pytest.raises(KilledError):
        await asyncio.wait_for(loop(broker, producer, handle_and_die)(asyncio.Event()), 90)
    async with running(loop(broker, producer, after.handle)):
        await after.have(10)

    assert before.facts
    assert set(after.facts) == {one.fact_id for one in facts}


async def test_what_was_committed_does_not_come_again(broker: Broker, producer: Producer):
    before, after = Seen(), Seen()
    await send(producer, *(outgoing(fact()) for _ in range(10)))
    async with running(loop(broker, producer, before.handle)):
        await before.have(10)
    await send(producer, outgoing(new := fact()))
    async with running(loop(broker, producer, after.handle)):
        await after.have(1)
        await asyncio.sleep(1)

    assert after.facts == {new.fact_id: 1}


async def test_the_consumer_outlives_its_broker_even_if_that_forgets_everything(
    broker: Broker, producer: Producer
):
    seen = Seen()
    first, second = [fact() for _ in range(40)], [fact() for _ in range(15)]
    async with running(loop(broker, producer, seen.handle)) as consumer:
        await send(producer, *map(outgoing, first))
        await seen.have(40)
        await broker.kill()
        await broker.forget()
        await asyncio.sleep(1)
        await broker.start()

        async def accepted() -> bool:
            try:
                return set(await producer.send_all([outgoing(one) for one in second])) == {None}
            except UnavailableError:
                return False

        await eventually(accepted)
        await seen.have(55)
        assert not consumer.done()

    assert set(seen.facts) == {one.fact_id for one in (*first, *second)}


async def test_a_consumer_started_before_its_broker_waits_for_it(broker: Broker, producer: Producer):
    await broker.kill()
    seen = Seen()
    async with running(loop(broker, producer, seen.handle)) as consumer:
        await asyncio.sleep(1.5)
        assert not consumer.done()
        await broker.start()
        await eventually(lambda: _accepted(producer, outgoing(fact())))
        await seen.have(1)


async def _accepted(producer: Producer, record: OutgoingRecord) -> bool:
    try:
        return await producer.send_all([record]) == [None]
    except UnavailableError:
        return False


async def test_a_release_that_fails_at_everything_stops_before_it_empties_the_topic(
    broker: Broker, producer: Producer
):
    async def handle(batch: Sequence[Received]) -> None:
        raise NotImplementedError

    await send(producer, *(outgoing(fact(), value=b"{") for _ in range(300)))
    with pytest.raises(TooManyDeadLettersError):
        await asyncio.wait_for(loop(broker, producer, handle)(asyncio.Event()), 90)
    async with Listener(broker.bootstrap, DEAD_LETTERS) as listener:
        await listener.hear_nothing_more(seconds=1)
    fixed = Seen()
    async with running(loop(broker, producer, fixed.handle)) as consumer:
        await asyncio.wait([consumer], timeout=90)
        assert isinstance(consumer.exception(), TooManyDeadLettersError)


def test_a_few_poison_records_among_many_are_within_the_budget():
    budget = DeadLetterBudget(burst=10, share=0.1)
    for _ in range(50):
        budget.spend(dead=1, handled=100)
    budget.spend(dead=10, handled=10)
    with pytest.raises(TooManyDeadLettersError):
        budget.spend(dead=900, handled=900)


async def test_lost_records_sound_the_alarm(broker: Broker, producer: Producer):
    if broker.kind == "apache":
        pytest.skip("only the embedded broker trims what it was told to keep")
    large = [outgoing(fact(value="x" * 200_000)) for _ in range(150)]
    seen = Seen()
    await send(producer, *(outgoing(fact()) for _ in range(40)))
    async with running(loop(broker, producer, seen.handle)):
        await seen.have(40)
    await send(producer, *large)
    with capture_logs() as logs:
        async with running(loop(broker, producer, seen.handle)):
            await seen.have(41)

            async def alarmed() -> bool:
                return any(line["event"] == "offsets_skipped" for line in logs)

            await eventually(alarmed)


class Scripted:
    """A client that gives these fetches, one at each poll, and keeps what was asked and committed."""

    def __init__(self, *fetches: dict[TopicPartition, list[int]]) -> None:
        self.fetches = list(fetches)
        self.committed_offsets: list[dict[TopicPartition, int]] = []
        self.waits_ms: list[int] = []

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        self.waits_ms.append(timeout_ms)
        fetched = self.fetches.pop(0)
        assert sum(map(len, fetched.values())) <= max_records
        return {one: [SimpleNamespace(offset=at) for at in offsets] for one, offsets in fetched.items()}

    async def committed(self, _partition: TopicPartition) -> None:
        return None

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.committed_offsets.append(offsets)


class Counted:
    """Stands for the work and the watchdog of a membership: counts the records of each batch."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    async def do(self, records: Sequence[Any]) -> int:
        self.batches.append(len(records))
        return 0

    async def look(self, *, progress: bool) -> None:
        pass


async def test_under_load_a_batch_takes_what_comes_a_moment_later_and_what_comes_alone_does_not_wait():
    one, two = TopicPartition(TOPIC, 1), TopicPartition(TOPIC, 2)
    client, work = Scripted({one: [4]}, {one: [5], two: [1]}, {one: [8]}, {}, {one: [9]}), Counted()
    membership: Any = _Membership(client, group="triage", expected={}, watchdog=work, max_records=9)  # type: ignore[arg-type]

    with capture_logs() as logs:
        took = [await membership.take_batch(work) for _ in range(4)]

    assert took == [True, True, False, True]
    assert work.batches == [1, 3, 1]
    assert client.waits_ms == [500, 500, 0, 500, 500]
    assert client.committed_offsets == [{one: 5}, {one: 9, two: 2}, {one: 10}]
    # Records that went by unread are noticed between the polls of one batch as well.
    assert [line["missing"] for line in logs if line["event"] == "offsets_skipped"] == [2]


async def test_two_members_share_the_work_and_one_takes_over_when_the_other_leaves(
    broker: Broker, producer: Producer
):
    if broker.kind == "embedded":
        pytest.skip("the embedded broker takes one member of a group")
    one, other = Seen(), Seen()
    async with running(loop(broker, producer, one.handle)):
        async with running(loop(broker, producer, other.handle)):

            async def both_work() -> bool:
                await send(producer, *(outgoing(fact()) for _ in range(24)))
                return bool(one.facts) and bool(other.facts)

            await eventually(both_work)
        last = [fact() for _ in range(24)]
        await send(producer, *map(outgoing, last))

        async def taken_over() -> bool:
            return {fact.fact_id for fact in last} <= set(one.facts) | set(other.facts)

        await eventually(taken_over)


async def test_ids_of_dead_letters_are_those_of_their_events(broker: Broker, producer: Producer):
    await send(producer, outgoing(poison := fact()))
    seen = Seen({poison.fact_id: ValueError()})
    async with (
        running(loop(broker, producer, seen.handle)),
        Listener(broker.bootstrap, DEAD_LETTERS) as listener,
    ):
        assert ids(await listener.hear(1)) == [str(poison.fact_id)]
