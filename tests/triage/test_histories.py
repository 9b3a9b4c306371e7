"""Remittances that repeat a denial: the earliest one's clocks govern, whatever the order in which they come."""

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from services.triage.domain.policies import load_policies
from services.triage.store import histories
from services.triage.store.policy_sets import PolicySets
from services.triage.store.retention import empty_claims
from services.triage.workers import deciding
from services.triage.workers.deciding import Rules
from shared.calendars import Calendar
from shared.contracts.claim import ClaimObserved, Party
from shared.contracts.claim_denied import ClaimDenied
from shared.postgres import transaction
from tests.triage.conftest import Triage
from tests.triage.domain.test_policies import SOUND
from tests.triage.messages import adjudication, denial, fact, reversal
from tests.triage.test_deciding import refusing

JANUARY, FEBRUARY, MARCH = date(2026, 1, 5), date(2026, 2, 5), date(2026, 3, 20)
# Aetna reconsiders within 180 days of the remittance. 5 January is day 5, + 180 = 185, 4 July.
# 5 February is day 36, + 180 = 216, 4 August. 20 March is day 79, + 180 = 259, 16 September.
FROM_JANUARY, FROM_FEBRUARY, FROM_MARCH = "2026-07-04", "2026-08-04", "2026-09-16"


def told(event: ClaimObserved, day: date, **changes: Any) -> Any:
    """The claim as the remittance of this day tells it; received a day later."""
    return replace(
        event,
        **{
            "event_id": uuid4(),
            "payer_date": day,
            "received_on": day + timedelta(days=1),
            "payer_claim_number": "INVENTED7",
            "service_from": date(2025, 12, 2),
            "service_to": date(2025, 12, 2),
        }
        | changes,
    )


def refused(**changes: Any) -> ClaimDenied:
    return denial(payer=Party(name="AETNA"), filing_indicator="12", **changes)


def paid(event: ClaimDenied, day: date) -> Any:
    lines = tuple(replace(line, paid_amount=line.charge_amount) for line in event.lines)
    return told(adjudication(claim_key=event.claim_key, payer=event.payer, lines=lines), day)


async def last(triage: Triage, event: ClaimObserved) -> dict[str, Any]:
    """The last decision of an event."""
    found = [one for one in await triage.decisions() if one.event_id == event.event_id]
    payload: dict[str, Any] = max(found, key=lambda one: (one.event_revision, one.revision)).payload
    return payload


async def revisions(triage: Triage, event: ClaimObserved) -> list[int]:
    return [one.revision for one in await triage.decisions() if one.event_id == event.event_id]


def end(decision: dict[str, Any], kind: str = "reconsideration") -> str:
    ends = [clock["deadline_at"] for clock in decision["clocks"] if clock["kind"] == kind]
    return str(ends[0])[:10]


@pytest.fixture
def three() -> tuple[ClaimDenied, ClaimDenied, ClaimDenied]:
    event = refused()
    first, second, third = (told(event, day) for day in (JANUARY, FEBRUARY, MARCH))
    return first, second, third


async def test_a_repeated_denial_keeps_the_clocks_of_the_first(triage: Triage, three: Sequence[ClaimDenied]):
    first, _, third = three
    await triage.handle(first)
    await triage.handle(third)

    decision = await last(triage, third)
    assert (end(await last(triage, first)), end(decision)) == (FROM_JANUARY, FROM_JANUARY)
    assert decision["told_before"] == {"first_on": "2026-01-05"}
    assert len(await triage.decisions()) == 2


@pytest.mark.parametrize("together", [True, False])
async def test_the_last_decisions_do_not_depend_on_the_order_of_arrival(
    triage: Triage, three: Sequence[ClaimDenied], *, together: bool
):
    found = []
    for order in itertools.permutations(range(3)):
        key = uuid4()
        events = [replace(one, claim_key=key, event_id=uuid4()) for one in three]
        arriving = [events[place] for place in order]
        for batch in [arriving] if together else [[one] for one in arriving]:
            await triage.handle(*batch)
        decisions = [await last(triage, one) for one in events]
        for name in ("decision_id", "decision_revision", "event_id", "claim_key"):
            for one in decisions:
                one.pop(name, None)
        found.append(decisions)

    assert [end(one) for one in found[0]] == [FROM_JANUARY] * 3
    assert found == [found[0]] * 6


async def test_an_earlier_denial_that_arrives_late_decides_the_later_one_again(
    triage: Triage, three: Sequence[ClaimDenied]
):
    first, second, third = three
    await triage.handle(third)
    assert end(await last(triage, third)) == FROM_MARCH
    late = replace(first, received_on=date(2026, 4, 2))
    await triage.handle(late)

    decision = await last(triage, third)
    assert (end(decision), decision["decision_revision"], decision["as_of"]) == (
        FROM_JANUARY,
        2,
        "2026-04-02",
    )
    await triage.handle(second)
    assert await revisions(triage, third) == [1, 2]  # what came in between tells nothing new of it
    assert await revisions(triage, late) == [1]


async def test_an_earlier_denial_that_cannot_be_decided_again_does_not_hold_up_what_arrives(
    triage: Triage, three: Sequence[ClaimDenied], monkeypatch: pytest.MonkeyPatch
):
    first, _, third = three
    await triage.handle(third)
    monkeypatch.setattr(deciding, "decide", refusing(third))
    await triage.handle(first)

    assert await revisions(triage, first) == [1]
    assert await revisions(triage, third) == [1]
    [entry] = await triage.rows("select * from triage.audit_log")
    assert (entry.action, entry.subject_id) == ("redecision_failed", str(third.event_id))
    assert entry.detail == {"reason": "ZeroDivisionError", "decision_revision": 1}


async def test_a_payment_in_between_starts_the_clocks_anew_whenever_it_arrives(
    triage: Triage, three: Sequence[ClaimDenied]
):
    first, _, third = three
    await triage.handle(first, third)
    assert end(await last(triage, third)) == FROM_JANUARY
    await triage.handle(paid(first, FEBRUARY))

    decision = await last(triage, third)
    assert (end(decision), decision["told_before"]) == (FROM_MARCH, {"paid_on": "2026-02-05"})
    assert end(await last(triage, first)) == FROM_JANUARY


async def test_a_takeback_moves_no_clock_that_counts_from_the_service(
    triage: Triage, three: Sequence[ClaimDenied]
):
    first, _, third = three
    await triage.handle(third)
    before = [one for one in (await last(triage, third))["clocks"] if one["kind"] == "retro_authorization"]
    await triage.handle(paid(first, JANUARY), told(reversal(claim_key=first.claim_key), FEBRUARY))

    after = await last(triage, third)
    assert after["told_before"] == {"paid_on": "2026-01-05"}
    assert [one for one in after["clocks"] if one["kind"] == "retro_authorization"] == before


async def test_a_reversal_alone_leaves_the_first_denial_to_govern(
    triage: Triage, three: Sequence[ClaimDenied]
):
    first, _, third = three
    await triage.handle(first)
    await triage.handle(told(reversal(claim_key=first.claim_key, payer=first.payer), FEBRUARY), third)

    assert end(await last(triage, third)) == FROM_JANUARY


async def test_a_policy_that_counts_anew_is_followed(triage: Triage, three: Sequence[ClaimDenied]):
    anew = SOUND.replace('anchors = ["dos_first"]', 'anchors = ["remit_date"]\nrestarts_on_repeat = true')
    policies = load_policies({"a.toml": anew.encode()})
    strict = Triage(triage.engine, triage.producer, Rules(policies=PolicySets(policies), calendar=Calendar()))
    first, _, third = (replace(one, payer=Party(name="PLAN A")) for one in three)
    await strict.handle(third)
    await strict.handle(first)

    # 20 March is day 79, + 30 = 109, 19 April.
    assert end(await last(triage, third), "retro_authorization") == "2026-04-19"


async def test_a_redelivery_changes_nothing(triage: Triage, three: Sequence[ClaimDenied]):
    first, second, third = three
    await triage.handle(third)
    await triage.handle(first)
    before = [(one.event_id, one.revision) for one in await triage.decisions()]
    await triage.handle(first, third)
    await triage.handle(third)

    assert [(one.event_id, one.revision) for one in await triage.decisions()] == before
    assert await revisions(triage, second) == []


async def test_two_workers_with_two_remittances_of_a_claim_cannot_both_miss(triage: Triage):
    pairs = []
    for _ in range(15):
        event = refused()
        pairs.append((told(event, JANUARY), told(event, MARCH)))
    await asyncio.gather(*(triage.handle(one) for pair in pairs for one in reversed(pair)))

    assert [end(await last(triage, later)) for _, later in pairs] == [FROM_JANUARY] * 15


async def test_a_fact_decides_again_with_the_history(triage: Triage, three: Sequence[ClaimDenied]):
    first, _, third = three
    await triage.handle(first, third)
    await triage.handle(fact(third, recorded_at=datetime(2026, 4, 10, 15, tzinfo=UTC)))

    decision = await last(triage, third)
    assert (decision["decision_revision"], end(decision)) == (2, FROM_JANUARY)


async def test_a_better_reading_of_the_earlier_remittance_decides_the_later_one_again(
    triage: Triage, three: Sequence[ClaimDenied]
):
    first, _, third = three
    await triage.handle(first, third)
    await triage.handle(replace(first, revision=2, payer_date=FEBRUARY))
    assert end(await last(triage, third)) == FROM_FEBRUARY

    await triage.handle(replace(first, revision=3, payer_date=date(2026, 4, 1)))

    decision = await last(triage, third)
    assert (end(decision), decision.get("told_before")) == (FROM_MARCH, None)
    assert end(await last(triage, first)) == FROM_MARCH  # now the later one governs this


async def test_claims_of_other_organizations_or_numbers_tell_nothing(
    triage: Triage, three: Sequence[ClaimDenied]
):
    first, _, third = three
    await triage.handle(replace(first, organization_id=UUID(int=2)), replace(first, claim_key=uuid4()), third)

    assert end(await last(triage, third)) == FROM_MARCH


async def test_what_was_purged_cannot_tell_and_a_person_is_asked(
    triage: Triage, three: Sequence[ClaimDenied]
):
    first, second, third = three
    await triage.handle(first)
    async with transaction(triage.engine, organizations=[first.organization_id]) as connection:
        await empty_claims(connection, claim_keys=[first.claim_key], events=[first.event_id])
    await triage.handle(third)
    await triage.handle(second)

    decision = await last(triage, third)
    assert end(decision) == FROM_FEBRUARY
    assert any("purged" in one for one in decision["needs_human_reasons"])
    assert await revisions(triage, first) == [1]


async def test_of_a_number_that_names_no_claim_only_some_remittances_are_read(
    triage: Triage, three: Sequence[ClaimDenied], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(histories, "OBSERVATIONS_MAX", 2)
    monkeypatch.setattr(histories, "_ROWS", text(histories._ROWS.text.replace("limit 200", "limit 2")))
    for event in three:
        await triage.handle(event)

    decision = await last(triage, three[2])
    assert end(decision) == FROM_FEBRUARY
    assert any("too many" in one for one in decision["needs_human_reasons"])


async def test_claims_that_come_once_read_no_history(triage: Triage, monkeypatch: pytest.MonkeyPatch):
    seen = []

    def recording(event, facts, **rest):
        seen.append((list(rest["history"]), rest["history_partial"]))
        return DECIDE(event, facts, **rest)

    monkeypatch.setattr(deciding, "decide", recording)
    monkeypatch.setattr(histories, "_ROWS", None)
    event = denial()
    await triage.handle(event, denial(), denial())
    await triage.handle(denial(), denial(event_id=event.event_id, claim_key=event.claim_key, revision=2))

    assert seen == [([], False)] * 5


async def test_the_hot_question_is_one_look_into_the_index_of_a_table_that_just_grew(triage: Triage):
    await triage.handle(*(denial() for _ in range(300)))
    event = denial()
    async with transaction(triage.engine, organizations=[UUID(int=1)]) as connection:
        plan = await connection.execute(
            text("explain (costs off) " + histories._SHARED.text),
            {
                "organizations": [event.organization_id] * 300,
                "claim_keys": [event.claim_key] * 300,
                "events": [event.event_id] * 300,
            },
        )
        lines = "\n".join(plan.scalars())

    assert "Index Scan using events_claim" in lines
    assert "Seq Scan" not in lines


DECIDE = deciding.decide
