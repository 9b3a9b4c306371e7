"""The clock to watch: one answer for the row, its steps, its priority, and the money that can be saved."""

from datetime import UTC, date, datetime

import pytest

from services.triage.domain.decide import decide
from services.triage.domain.next_clock import end_ahead, next_clock, next_instant
from services.triage.policies import shipped_policies
from shared.calendars import Calendar
from shared.contracts.decision import Clock
from tests.triage.domain.denials import denial, facts, line, refused

DAY = date(2026, 3, 21)
EARLY, LATE = datetime(2026, 4, 1, 23, tzinfo=UTC), datetime(2026, 5, 1, 23, tzinfo=UTC)


def clock(**given) -> Clock:
    return Clock(
        kind="appeal_level_1",
        policy_id="acme",
        policy_version="1",
        policy_status="confirmed",
        zone="UTC",
        **{"permitted": True, **given},
    )


def decided(payer: str, *, as_of: date = DAY, **told: str):
    one = line(qualifier="HC", code="64483", service_from=date(2026, 3, 2))
    event = denial(refused("197"), lines=[one], payer=payer, facility_type="11", filing_indicator="12")
    return decide(event, facts(**told), shipped_policies(), Calendar(), as_of)


@pytest.mark.parametrize(
    ("day", "end"),
    [
        (date(2026, 3, 21), EARLY),
        (date(2026, 4, 1), EARLY),
        (date(2026, 4, 2), EARLY),
        (date(2026, 5, 1), EARLY),
        (date(2026, 5, 2), None),
    ],
)
def test_an_uncertain_clock_is_planned_for_its_earliest_end_as_long_as_it_may_run(day, end):
    assert end_ahead(clock(earliest=EARLY, latest=LATE), day) == end


@pytest.mark.parametrize(
    "given", [{}, {"permitted": False, "deadline_at": LATE}, {"earliest": datetime(2026, 3, 1, tzinfo=UTC)}]
)
def test_a_clock_that_is_forbidden_or_has_no_end_ahead_is_not_open(given):
    assert end_ahead(clock(**given), DAY) is None


def test_a_clock_that_may_have_closed_is_watched_before_one_that_ends_later():
    perhaps, ahead = clock(earliest=datetime(2026, 3, 1, tzinfo=UTC), latest=LATE), clock(deadline_at=EARLY)

    assert next_clock((ahead, perhaps), DAY) is perhaps
    assert next_instant(perhaps, DAY) == LATE


def test_a_clock_with_an_end_ahead_is_watched_before_one_whose_only_bound_has_passed():
    passed, ahead = clock(earliest=datetime(2026, 3, 1, tzinfo=UTC)), clock(deadline_at=LATE)

    assert next_clock((passed, ahead), DAY) is ahead
    assert next_clock((passed,), DAY) is passed


def test_priority_counts_the_days_of_the_next_clock_where_the_action_has_none():
    decision = decided("AETNA", as_of=date(2026, 6, 20), authorization_found="A-1")
    watched = next_clock(decision.clocks, date(2026, 6, 20))
    left = (watched.deadline_at.date() - date(2026, 6, 20)).days

    assert decision.recommended_action == "send_corrected_claim"
    assert f"({left} days left)" in decision.explanation[-1]


def test_the_next_clock_is_the_rows_and_the_actions_own_is_named_so():
    decision = decided("PRIORITY HEALTH")
    watched = next_clock(decision.clocks, DAY)
    place = decision.explanation.index(f"Next clock: {watched.label} ({watched.policy_id})")

    assert decision.explanation[place + 1 :][: len(watched.steps)] == watched.steps
    [own] = [one for one in decision.clocks if one.kind == "retro_authorization"]
    assert own is not watched
    assert f"Clock of the recommended action: {own.label} ({own.policy_id})" in decision.explanation


def test_priority_counts_to_the_next_clock_though_the_actions_own_ends_later():
    decision = decided("PRIORITY HEALTH")

    # The request until 31 May is advised; the appeal ends first, on 24 May: 65 days from 20 March.
    assert decision.recommended_action == "request_retro_authorization"
    assert "(64 days left)" in decision.explanation[-1]


def test_priority_sinks_evenly_from_the_earliest_reading_to_the_latest():
    # 14 to 90 days from 2 March: 16 March to 31 May, 76 days between; after half of them half is left of 25.
    before, last, after, half, end, closed = (
        decided("NO SUCH PLAN", as_of=day)
        for day in (
            date(2026, 3, 15),
            date(2026, 3, 16),
            date(2026, 3, 17),
            date(2026, 4, 23),
            date(2026, 5, 31),
            date(2026, 6, 1),
        )
    )

    ranks = [one.priority for one in (last, after, half, end, closed)]
    assert before.priority <= last.priority
    assert ranks == sorted(ranks, reverse=True)
    assert last.priority - half.priority in {12, 13}
    assert last.priority - end.priority == 25
    assert end.priority > closed.priority
    assert "time 28/40 (may have closed 38 of 76 days ago, act today)" in half.explanation[-1]
    assert "may have closed" not in last.explanation[-1] + " ".join(last.next_actions)


def test_a_step_says_the_earliest_and_the_latest_end_and_to_act_today_in_between():
    steps = decided("NO SUCH PLAN", as_of=date(2026, 3, 17)).next_actions

    told = ", act today: by the earliest reading it closed on 2026-03-16; by the latest it ends on 2026-05-31"
    assert any(told in step for step in steps)
