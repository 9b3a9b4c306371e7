"""Batches become decisions exactly once, whatever is repeated, reordered or done by two workers at a time."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

import msgspec
import pytest
from sqlalchemy import text

from services.triage.workers import deciding
from services.triage.workers.handling import batch_handler
from shared.contracts.base import Event, encode
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Decision
from shared.contracts.denial_triaged import DenialTriaged
from shared.postgres import create_engine, transaction
from tests.support.database import Database
from tests.triage.conftest import Triage
from tests.triage.messages import RECEIVED_ON, adjudication, denial, fact, received, reversal


async def test_a_denial_is_decided_once_however_often_it_comes(triage: Triage):
    event = denial()
    await triage.handle(event, denial(), event)
    await triage.handle(event)

    decisions = [one for one in await triage.decisions() if one.event_id == event.event_id]
    assert [(one.message_id, one.revision) for one in decisions] == [(uuid5(event.event_id, "1:1"), 1)]
    assert len(await triage.decisions()) == 2


async def test_a_decision_carries_the_claim_and_its_sums(triage: Triage):
    event = denial()
    await triage.handle(event)

    (decision,) = await triage.decisions()
    assert (decision.type, decision.topic, decision.message_key) == (
        "DenialTriaged",
        "claim-decisions",
        event.claim_key,
    )
    assert (decision.charge_amount, decision.denied_amount) == (Decimal("250.00"), Decimal("250.00"))
    assert decision.payload["claim_number"] == "INVENTED1"
    assert decision.payload["as_of"] == str(RECEIVED_ON)


async def test_what_a_newer_release_says_of_a_denial_goes_on_with_the_decision(triage: Triage):
    event = denial()
    one = received(event)
    one.record.value = one.record.value[:-1] + b',"of_a_newer_release":{"a":"b}"}}\n'
    handle = batch_handler(triage.engine, triage.rules, triage.producer)  # type: ignore[arg-type]
    await handle([one])

    (decision,) = await triage.decisions()
    assert decision.payload["of_a_newer_release"] == {"a": "b}"}
    assert decision.payload | {"of_a_newer_release": None} == msgspec.json.decode(
        encode(DenialTriaged.of(event, decided_alone(triage, event)))
    ) | {"of_a_newer_release": None}


def decided_alone(triage: Triage, event: ClaimDenied) -> Decision:
    return deciding.decide(
        event, (), triage.rules.policies.reference, triage.rules.calendar, event.received_on
    )


async def test_a_decision_goes_on_with_the_trace_of_its_event(triage: Triage):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    handle = batch_handler(triage.engine, triage.rules, triage.producer)
    await handle([received(denial(), trace_parent=trace)])

    assert [one.trace_parent for one in await triage.decisions()] == [trace]


async def test_a_payment_and_a_reversal_are_passed_on_as_outcomes(triage: Triage):
    event = denial()
    paid = adjudication(claim_key=event.claim_key)
    taken_back = reversal(claim_key=event.claim_key)
    await triage.handle(event, taken_back, paid)

    decisions = await triage.decisions()
    assert [one.type for one in decisions] == ["DenialTriaged", "ClaimOutcomeSeen", "ClaimOutcomeSeen"]
    assert [one.payload.get("outcome") for one in decisions] == [None, "reversed", "paid"]
    assert decisions[2].message_id == uuid5(paid.event_id, "1:1")
    assert decisions[2].denied_amount == 0


async def test_a_fact_that_comes_later_gives_a_second_decision(triage: Triage):
    event = denial()
    about = fact(event)
    await triage.handle(event)
    await triage.handle(about, about)
    await triage.handle(about)

    decisions = await triage.decisions()
    assert [(one.revision, one.payload.get("fact_ids", [])) for one in decisions] == [
        (1, []),
        (2, [str(about.fact_id)]),
    ]
    assert decisions[1].payload["as_of"] == "2026-03-10"


async def test_a_fact_that_comes_first_waits_for_its_event(triage: Triage):
    event = denial()
    about = fact(event)
    await triage.handle(about)
    assert await triage.decisions() == []

    await triage.handle(event)

    (decision,) = await triage.decisions()
    assert (decision.revision, decision.payload["fact_ids"]) == (1, [str(about.fact_id)])


async def test_a_fact_and_its_event_in_one_batch_give_one_decision(triage: Triage):
    event = denial()
    about = fact(event)
    await triage.handle(about, event)

    (decision,) = await triage.decisions()
    assert (decision.revision, decision.payload["fact_ids"]) == (1, [str(about.fact_id)])


async def test_a_fact_replaces_an_earlier_one_of_its_kind_and_both_are_settled(
    triage: Triage, monkeypatch: pytest.MonkeyPatch
):
    weighed = []
    monkeypatch.setattr(
        deciding,
        "decide",
        lambda event, facts, **rest: weighed.append(list(facts)) or DECIDE(event, facts, **rest),
    )
    event = denial()
    later = fact(event, value="elective", recorded_at=datetime(2026, 3, 11, tzinfo=UTC))
    earlier = fact(event)
    await triage.handle(later, event, earlier)

    (decision,) = await triage.decisions()
    assert weighed == [[later]]
    assert decision.payload["fact_ids"] == [str(earlier.fact_id), str(later.fact_id)]


async def test_a_fact_reopens_every_denial_that_it_names(triage: Triage):
    first = denial()
    second = denial(claim_key=first.claim_key)
    third = denial(claim_key=first.claim_key)
    await triage.handle(first, second, third)
    await triage.handle(fact(first, second))

    again = [one.event_id for one in await triage.decisions() if one.revision == 2]
    assert sorted(again) == sorted([first.event_id, second.event_id])


async def test_a_higher_revision_of_an_event_supersedes_the_lower_one(triage: Triage):
    event = denial()
    corrected = denial(
        event_id=event.event_id, claim_key=event.claim_key, revision=2, charge_amount=Decimal("300.00")
    )
    await triage.handle(event)
    await triage.handle(corrected)
    await triage.handle(fact(event))

    decided = [(one.event_revision, one.revision, one.charge_amount) for one in await triage.decisions()]
    assert decided == [(1, 1, Decimal("250.00")), (2, 1, Decimal("300.00")), (2, 2, Decimal("300.00"))]


async def test_the_day_of_a_fact_is_the_day_in_the_organizations_own_zone(triage: Triage, database: Database):
    owner = create_engine(database.owner, name="test")
    async with transaction(owner) as connection:
        await connection.execute(
            text("insert into access.organizations values (:id, 'Invented', 'America/Chicago', 'x', now())"),
            {"id": UUID(int=1)},
        )
    await owner.dispose()
    event = denial()
    await triage.handle(event, fact(event, recorded_at=datetime(2026, 3, 10, 2, tzinfo=UTC)))

    (decision,) = await triage.decisions()
    assert decision.payload["as_of"] == "2026-03-09"


async def test_organizations_with_the_same_claims_do_not_meet(triage: Triage):
    mine, theirs = UUID(int=1), UUID(int=2)
    event = denial(organization_id=mine)
    twin = denial(organization_id=theirs, event_id=event.event_id, claim_key=event.claim_key)
    await triage.handle(event, twin)
    await triage.handle(fact(event))

    assert [one.revision for one in await triage.decisions(mine)] == [1, 2]
    assert [one.revision for one in await triage.decisions(theirs)] == [1]


async def test_a_defect_in_a_decision_leaves_nothing_behind(triage: Triage, monkeypatch: pytest.MonkeyPatch):
    poison = denial()
    monkeypatch.setattr(deciding, "decide", refusing(poison))
    with pytest.raises(ZeroDivisionError):
        await triage.handle(denial(), poison)

    assert await triage.decisions() == []
    assert await triage.rows("select * from triage.events") == []


async def test_two_workers_with_the_same_batch_decide_it_once(triage: Triage):
    events = [denial() for _ in range(40)]
    await asyncio.gather(*(triage.handle(*events) for _ in range(4)))

    assert len(await triage.decisions()) == 40


async def test_an_event_and_its_fact_cannot_miss_each_other(triage: Triage):
    events = [denial() for _ in range(30)]
    facts = [fact(event) for event in events]
    both = [one for pair in zip(events, facts, strict=True) for one in pair]
    random.Random(7).shuffle(both)  # noqa: S311  an order, not a secret
    await asyncio.gather(*(triage.handle(one) for one in both))

    latest = {one.event_id: one.payload for one in await triage.decisions()}
    assert {event_id: payload["fact_ids"] for event_id, payload in latest.items()} == {
        about.event_ids[0]: [str(about.fact_id)] for about in facts
    }


@pytest.mark.parametrize("seed", range(12))
async def test_the_last_decision_does_not_depend_on_the_order_of_arrival(triage: Triage, seed: int):
    event = denial()
    corrected = denial(event_id=event.event_id, claim_key=event.claim_key, revision=2)
    facts = [
        fact(event, kind="urgency", value="emergency"),
        fact(event, kind="urgency", value="elective", recorded_at=datetime(2026, 3, 12, 15, tzinfo=UTC)),
        fact(event, kind="network_status", value="in"),
    ]
    shuffled = random.Random(seed)  # noqa: S311  an order, not a secret
    messages: list[Event] = [event, corrected, *facts] * 2
    shuffled.shuffle(messages)
    while messages:
        size = shuffled.randint(1, 4)
        await triage.handle(*messages[:size])
        messages = messages[size:]

    last = max(await triage.decisions(), key=lambda one: (one.event_revision, one.revision))
    assert last.event_revision == 2
    assert last.payload["as_of"] == "2026-03-12"
    assert set(last.payload["fact_ids"]) == {str(one.fact_id) for one in facts}


async def test_a_repeated_event_has_its_settled_decision_sent_again(triage: Triage):
    event = denial()
    await triage.handle(event)
    await settle(triage, seconds_ago=40)
    await triage.handle(event)

    (decision,) = await triage.decisions()
    assert (decision.settled_at, decision.attempts) == (None, 0)
    assert decision.due_at <= datetime.now(UTC)


async def test_a_repeated_event_whose_decision_was_lost_is_decided_again(triage: Triage, database: Database):
    event = denial()
    await triage.handle(event)
    (before,) = await triage.decisions()
    owner = create_engine(database.owner, name="test")
    async with transaction(owner, organizations=[event.organization_id]) as connection:
        await connection.execute(text("delete from triage.decisions"))
    await owner.dispose()
    assert await triage.decisions() == []

    await triage.handle(event)

    assert [one.message_id for one in await triage.decisions()] == [before.message_id]


async def test_a_repeated_fact_has_its_settled_decision_sent_again(triage: Triage):
    event = denial()
    about = fact(event)
    await triage.handle(event, about)
    await settle(triage, seconds_ago=40)
    await triage.handle(about)

    assert [one.settled_at for one in await triage.decisions()] == [None]


async def test_only_the_latest_decision_is_sent_again(triage: Triage):
    event = denial()
    await triage.handle(event)
    await triage.handle(fact(event))
    await settle(triage, seconds_ago=40)
    await triage.handle(event)

    assert [one.settled_at is None for one in await triage.decisions()] == [False, True]


async def test_a_decision_settled_a_moment_ago_is_not_sent_again(triage: Triage):
    event = denial()
    await triage.handle(event)
    await settle(triage, seconds_ago=5)
    await triage.handle(event)

    assert [one.settled_at is None for one in await triage.decisions()] == [False]


async def test_a_decision_in_flight_keeps_its_back_off_when_its_event_is_repeated(triage: Triage):
    event = denial()
    await triage.handle(event)
    await triage.change(
        "update triage.decisions_parcels set attempts = 3, due_at = now() + interval '8 minutes'"
    )
    await triage.handle(event)

    (decision,) = await triage.decisions()
    assert decision.attempts == 3
    assert decision.due_at > datetime.now(UTC) + timedelta(minutes=7)


async def test_messages_whose_decision_is_parked_are_parked_when_repeated(triage: Triage):
    event = denial()
    about = fact(event)
    await triage.handle(event, about)
    await triage.park_decisions()
    await triage.handle(event, about)

    told = {
        (one.producer, one.receipts[0].message_id, one.receipts[0].reason) for one in triage.producer.receipts
    }
    assert told == {("ingest", event.event_id, "KeyError"), ("tracker", about.fact_id, "KeyError")}
    assert {one.receipts[0].outcome for one in triage.producer.receipts} == {"parked"}
    assert [one.parked_reason for one in await triage.decisions()] == ["KeyError"]


DECIDE = deciding.decide


def refusing(poison: ClaimDenied):
    def decide(event, facts, **rest):
        if event.event_id == poison.event_id:
            raise ZeroDivisionError
        return DECIDE(event, facts, **rest)

    return decide


async def settle(triage: Triage, *, seconds_ago: int) -> None:
    await triage.change("update triage.decisions_parcels set attempts = 1")
    await triage.settle_decisions(seconds_ago=seconds_ago)
