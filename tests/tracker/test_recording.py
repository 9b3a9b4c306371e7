"""Batches of decisions in a real database: ledger, cases, messages and receipts, once and together."""

import asyncio
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import msgspec
import pytest

from services.tracker.domain.cases import case_id_of
from services.tracker.domain.observations import observe
from services.tracker.store.cases import roll_deadlines
from services.tracker.store.facts import keep_fact
from services.tracker.workers.recording import record_decisions
from shared.contracts.base import encode
from shared.contracts.fact_recorded import FactRecorded
from shared.kafka.parcels import payloads_of
from shared.postgres import transaction
from tests.tracker.support import KEY, ORGANIZATION, clock, denial, outcome, person

JAN, FEB, MAR = date(2026, 1, 10), date(2026, 2, 10), date(2026, 3, 10)
CASES = "select * from tracker.cases order by claim_key, ordinal"


async def sent(select, type_: str) -> list[dict]:
    return [
        msgspec.json.decode(payload)
        for parcel in await select("select * from tracker.outbox_parcels order by parcel_id")
        for sent_type, payload in zip(parcel.types, payloads_of(parcel), strict=True)
        if sent_type == type_
    ]


async def test_a_denial_becomes_a_ledger_row_a_case_an_event_and_two_receipts(record, select):
    event = denial()
    await record(event)

    [case] = await select(CASES)
    [ledger] = await select("select * from tracker.ledger")
    [opened] = await sent(select, "CaseOpened")
    receipts = await sent(select, "EventsReceipted")

    assert (case.case_id, case.state, case.version) == (case_id_of(ORGANIZATION, KEY, 0), "open", 1)
    assert (ledger.decision_id, ledger.denied_amount) == (event.decision_id, 100)
    assert (opened["case_id"], opened["version"], opened["amount_at_stake"]) == (str(case.case_id), 1, "100")
    assert {(one["producer"], one["receipts"][0]["message_id"]) for one in receipts} == {
        ("ingest", str(event.event_id)),
        ("triage", str(event.decision_id)),
    }


async def test_nothing_that_names_a_patient_or_a_claim_is_in_case_events(record, select):
    patient = person("SECRET-NAME", "SECRET-MEMBER", "SECRET-SEALED")
    await record(denial(claim_number="SECRET-1", payer_claim_number="SECRET-2", patient=patient))

    [opened] = await sent(select, "CaseOpened")

    assert "SECRET" not in str(opened)


async def test_duplicates_inside_and_across_batches_change_nothing_and_are_receipted_again(record, select):
    event = denial()
    await record(event, event, event)
    await record(event)

    cases, ledger = await select(CASES), await select("select * from tracker.ledger")

    assert ([case.version for case in cases], len(ledger)) == ([1], 1)
    assert len(await sent(select, "CaseOpened")) == 1
    assert len(await sent(select, "EventsReceipted")) == 4


async def test_a_payment_in_a_later_batch_closes_the_case_and_says_what_changed(record, select):
    await record(denial(on=JAN))
    await record(outcome("paid", on=FEB))

    [case] = await select(CASES)
    [closed] = await sent(select, "CaseClosed")

    assert (case.state, case.closed_reason, case.version) == ("closed", "recovered", 2)
    assert (case.paid_amount, case.recovered_payer_amount, case.next_deadline_at) == (100, 100, None)
    assert case.closed_at is not None
    assert {"state", "paid_amount", "deadlines", "event_ids"} <= set(closed["changed"])
    assert closed["closed_reason"] == "recovered"


async def test_a_takeback_opens_the_case_again(record, select):
    await record(denial(on=JAN), outcome("paid", on=FEB))
    await record(outcome("reversed", on=MAR, paid=100))

    [case] = await select(CASES)

    assert (case.state, case.closed_at, case.version) == ("open", None, 2)


async def test_an_event_that_changes_nothing_of_the_case_but_its_evidence_is_announced_as_such(
    record, select
):
    first = denial(on=JAN)
    await record(first)
    await record(denial(on=FEB, payer_date=date(2026, 1, 1)))

    [case] = await select(CASES)
    [changed] = await sent(select, "CaseChanged")

    assert case.current_event_id == first.event_id
    assert changed["changed"] == ["event_ids"]


async def test_a_net_zero_pair_of_one_remittance_is_never_announced_as_opened(record, select):
    await record(denial(on=JAN), outcome("reversed", on=JAN, position=2))

    assert [case.state for case in await select(CASES)] == ["reversed"]
    assert await sent(select, "CaseOpened") == []


def a_story(number: int) -> list:
    """Four remittances about one claim: denied, taken back and paid, taken back, denied again."""
    key = UUID(int=KEY.int + number)
    common = {"claim_key": key, "claim_number": f"C-{number}"}
    return [
        denial(**common, on=JAN),
        outcome("reversed", **common, on=FEB, position=1),
        outcome("paid", **common, on=FEB, position=2),
        outcome("reversed", **common, on=MAR, position=1, paid=100),
        denial(**common, on=MAR, position=2),
        denial(**common, on=JAN, is_test=True),
    ]


def facts_of(cases) -> list[tuple]:
    return [
        (c.claim_key, c.is_test, c.state, c.current_event_id, sorted(c.event_ids), c.denied_amount)
        for c in cases
    ]


async def test_shuffled_batches_and_two_workers_at_once_give_the_same_cases(engine, record, select):
    story = [event for number in range(25) for event in a_story(number)]
    chaos = random.Random(7)  # noqa: S311  a fixed shuffle
    shuffled = story + chaos.sample(story, 40)
    chaos.shuffle(shuffled)
    pieces = [shuffled[start : start + 12] for start in range(0, len(shuffled), 12)]

    async def work(mine) -> None:
        for piece in mine:
            await record_decisions(engine, [(observe(event), encode(event)) for event in piece])

    await asyncio.gather(work(pieces[::2]), work(pieces[1::2]), work(pieces[::3]))
    cases = await select(CASES + ", is_test")

    living = [case for case in cases if case.closed_reason not in ("merged", "withdrawn")]
    assert len(living) == 50
    assert {case.state for case in living} == {"open"}
    assert len(await select("select * from tracker.ledger")) == len(story)
    last = {event.claim_key: event.event_id for event in story if not event.is_test}
    assert {case.claim_key: case.current_event_id for case in living if not case.is_test} == last


async def test_an_error_leaves_no_trace_and_the_repetition_leaves_one(engine, record, select, monkeypatch):
    event = denial()

    async def fail(*_args, **_kwargs):
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr("services.tracker.workers.recording.announce", fail)
        with pytest.raises(RuntimeError):
            await record(event)
    assert await select("select 1 from tracker.ledger") == []

    await record(event)
    assert len(await select(CASES)) == 1


async def test_organizations_in_one_batch_stay_apart(record, select):
    theirs = uuid4()
    await record(denial(), denial(organization_id=theirs))

    mine, others = await select(CASES), await select(CASES, organization=theirs)

    assert [case.organization_id for case in mine] == [ORGANIZATION]
    assert [case.organization_id for case in others] == [theirs]
    assert mine[0].case_id != others[0].case_id


async def test_the_decision_that_weighed_a_fact_settles_it(engine, record, select):
    fact = uuid4()
    stated = FactRecorded(
        organization_id=ORGANIZATION,
        fact_id=fact,
        claim_key=KEY,
        case_id=uuid4(),
        event_ids=(),
        kind="urgency",
        value="urgent",
        recorded_at=datetime.now(UTC),
        recorded_by=uuid4(),
    )
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await keep_fact(connection, stated, note=None, role="biller")
    await record(denial())
    assert [row.settled_at for row in await select("select settled_at from tracker.facts")] == [None]

    await record(denial(decision_revision=2, fact_ids=(fact,)))

    assert [row.settled_at is None for row in await select("select settled_at from tracker.facts")] == [False]


async def test_the_sweep_moves_a_passed_deadline_to_the_next_one(engine, record, select):
    soon, later = datetime.now(UTC) + timedelta(hours=1), datetime(2099, 1, 1, tzinfo=UTC)
    await record(denial(clocks=(clock(soon), clock(later))))
    assert [case.next_deadline_at for case in await select(CASES)] == [soon]
    await select(
        "update tracker.cases set deadlines = array[now() - interval '1 hour', :later],"
        " next_deadline_at = now() - interval '1 hour' returning 1",
        later=later,
    )

    assert await roll_deadlines(engine) == 1
    assert await roll_deadlines(engine) == 0
    assert [case.next_deadline_at for case in await select(CASES)] == [later]


async def test_a_case_read_back_equals_the_case_written(record, select):
    """Else every repetition would count as a change: amounts, instants and floats survive the round trip."""
    uncertain = clock(None, permitted=None, earliest=datetime(2098, 1, 1, 1, 2, 3, 456789, tzinfo=UTC))
    await record(
        denial(confidence=0.123456789, amount_at_stake=Decimal("100.10"), clocks=(clock(), uncertain))
    )
    await record(outcome("reversed", on=FEB, charge=1))

    [changed] = await sent(select, "CaseChanged")

    assert set(changed["changed"]) == {"event_ids", "needs_human", "needs_human_reasons"}
