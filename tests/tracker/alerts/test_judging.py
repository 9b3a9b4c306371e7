"""What rules find in a case, instant by instant."""

from datetime import date, time, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.alerts.domain.alerts import case_alert, settle
from services.tracker.alerts.domain.calendar import (
    Calendar,
    at_work,
    business_days_after,
    last_day_within,
    next_opening,
)
from services.tracker.alerts.domain.defaults import INSTALLATION, default_rules
from services.tracker.alerts.domain.judging import OUR_TURN, concerns, judge
from services.tracker.alerts.domain.rules import (
    KINDS,
    Clock,
    DeadlineMissed,
    FollowUp,
    InformationRequest,
    NewCase,
    Only,
    Rule,
    Tier,
    Unowned,
    read_settings,
)
from services.tracker.domain.states import LIVE_STATES
from tests.tracker.alerts.support import NEW_YORK, case, local

# A Wednesday; the Monday before Thanksgiving week's end makes 26 November a holiday.
DEADLINE = local("2026-12-02 23:59")


def found(settings, at: str, **given):
    verdict = judge(settings, case(**given), at=local(at), calendar=NEW_YORK)
    return verdict.finding and (verdict.finding.tier, verdict.finding.severity)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-16 23:59", None),
        ("2026-11-17 00:00", ("10bd", "info")),  # Thanksgiving, the 26th, is no business day
        ("2026-11-23 23:59", ("10bd", "info")),
        ("2026-11-24 00:00", ("5bd", "warning")),
        ("2026-11-29 12:00", ("5bd", "warning")),
        ("2026-11-30 00:00", ("2bd", "error")),
        ("2026-12-01 00:00", ("1bd", "critical")),
        ("2026-12-02 23:58", ("1bd", "critical")),
        ("2026-12-03 00:00", None),
    ],
)
def test_a_clock_escalates_by_business_days(at, expected):
    assert found(Clock(), at, deadline=DEADLINE) == expected


def test_a_tier_may_be_hours_before_the_end():
    settings = Clock(tiers=(Tier(business_days=2, severity="error"), Tier(hours=6, severity="critical")))

    assert found(settings, "2026-12-02 17:00", deadline=DEADLINE) == ("2bd", "error")
    assert found(settings, "2026-12-02 18:00", deadline=DEADLINE) == ("6h", "critical")


@pytest.mark.parametrize("state", ["submitted", "corrected_claim_sent", "paid", "reversed", "closed"])
def test_a_clock_that_is_not_ours_to_keep_says_nothing(state):
    assert found(Clock(), "2026-12-02 10:00", deadline=DEADLINE, state=state) is None


def test_a_clock_is_ours_to_keep_in_every_live_state_but_those_that_wait_for_the_payer():
    assert LIVE_STATES - {"submitted", "corrected_claim_sent"} == OUR_TURN


def test_a_missed_deadline_is_told_for_some_business_days():
    settings = DeadlineMissed(business_days=2)

    assert found(settings, "2026-12-02 23:00", deadline=DEADLINE) is None
    assert found(settings, "2026-12-03 00:00", deadline=DEADLINE) == ("missed", "error")
    assert found(settings, "2026-12-04 23:00", deadline=DEADLINE) == ("missed", "error")
    assert found(settings, "2026-12-07 00:00", deadline=DEADLINE) is None


def test_nobody_missed_what_had_passed_before_the_case_was_known():
    opened = local("2026-12-03 08:00")

    assert found(DeadlineMissed(), "2026-12-03 09:00", deadline=DEADLINE, opened_at=opened) is None


def test_a_new_case_stands_out_by_its_amount_or_its_time():
    settings = NewCase(amount_at_least=Decimal(5000), business_days_left=2)
    opened = local("2026-11-24 09:00")

    def at(**given):
        return found(settings, "2026-11-24 10:00", deadline=DEADLINE, opened_at=opened, **given)

    assert at(amount=Decimal("4999.99")) is None
    assert at(amount=Decimal(5000)) == ("large", "warning")
    assert found(settings, "2026-11-30 10:00", deadline=DEADLINE, opened_at=local("2026-11-30 09:00")) == (
        "near",
        "warning",
    )
    assert found(settings, "2026-11-25 10:00", opened_at=opened, amount=Decimal(9000)) is None


def test_a_follow_up_is_due_on_its_day_and_overdue_two_business_days_later():
    on = date(2026, 11, 25)  # the Wednesday before Thanksgiving

    assert found(FollowUp(), "2026-11-24 23:59", follow_up_on=on) is None
    assert found(FollowUp(), "2026-11-25 00:00", follow_up_on=on, state="submitted") == ("due", "info")
    assert found(FollowUp(), "2026-11-29 12:00", follow_up_on=on) == ("due", "info")
    assert found(FollowUp(), "2026-11-30 00:00", follow_up_on=on) == ("overdue", "warning")
    assert found(FollowUp(), "2026-11-30 00:00", follow_up_on=on, state="closed") is None


def test_a_request_for_information_runs_out():
    due = local("2026-12-02 17:00")

    assert found(InformationRequest(), "2026-11-30 09:00", information_due_at=due) == ("2bd", "warning")
    assert found(InformationRequest(), "2026-12-03 09:00", information_due_at=due) == ("late", "error")


def test_a_case_is_unowned_after_some_hours_when_its_deadline_is_near():
    at = "2026-11-30 10:00"

    assert found(Unowned(), at, deadline=DEADLINE) == ("unowned", "warning")
    assert found(Unowned(), at, deadline=DEADLINE, assignee_id=uuid4()) is None
    assert found(Unowned(), at, deadline=DEADLINE, opened_at=local("2026-11-30 09:00")) is None


def test_a_rule_is_about_whom_it_names():
    assert concerns(Only(payers=(" ACME health",)), case())
    assert concerns(Only(payers=("1999999999",)), case())
    assert not concerns(Only(payers=("Other",)), case())
    assert not concerns(Only(categories=("not_covered",)), case())
    assert not concerns(Only(amount_at_least=Decimal("1200.01")), case())


RULE = Rule(rule_id=uuid4(), name="clocks", settings=Clock())


def alert_at(at: str, one):
    verdict = judge(RULE.settings, one, at=local(at), calendar=NEW_YORK)
    return case_alert(RULE, one, verdict, at=local(at))


def test_an_alert_opens_escalates_eases_and_resolves():
    one = case(deadline=DEADLINE)
    ten = settle(None, alert_at("2026-11-17 09:00", one)).opened
    assert ten is not None
    assert ten.tier == "10bd"

    worse = settle(ten, alert_at("2026-11-24 09:00", one))
    assert worse.resolved == (ten, "escalated")
    assert worse.opened is not None
    assert worse.opened.tier == "5bd"

    eased = settle(worse.opened, alert_at("2026-11-17 09:00", one))
    assert eased.kept is not None
    assert (eased.kept.alert_id, eased.kept.tier) == (worse.opened.alert_id, "10bd")

    assert settle(ten, None).resolved == (ten, "gone")
    assert settle(None, None).opened is None


@given(
    hours=st.integers(0, 24 * 60),
    tier=st.sampled_from([Clock(), NewCase(), DeadlineMissed(), FollowUp(), InformationRequest(), Unowned()]),
    later=st.integers(0, 24 * 60),
)
def test_a_verdict_holds_until_the_instant_that_it_names(hours, tier, later):
    one = case(
        deadline=local("2026-03-10 17:00"),
        opened_at=local("2026-02-20 09:30"),
        follow_up_on=date(2026, 3, 3),
        information_due_at=local("2026-03-09 12:00"),
        amount=Decimal(20_000),
    )
    at = one.opened_at + timedelta(hours=hours)
    verdict = judge(tier, one, at=at, calendar=NEW_YORK)
    then = at + timedelta(hours=later)
    if verdict.recheck_at is not None and then >= verdict.recheck_at:
        then = max(at, verdict.recheck_at - timedelta(seconds=1))

    assert judge(tier, one, at=then, calendar=NEW_YORK).finding == verdict.finding


@given(low=st.integers(0, 20), more=st.integers(0, 20), hours=st.integers(0, 24 * 40))
def test_a_wider_clock_finds_whatever_a_narrower_one_finds(low, more, hours):
    one = case(deadline=local("2026-03-10 17:00"))
    at = local("2026-02-10 00:00") + timedelta(hours=hours)

    def reached(days: int) -> bool:
        tiers = (Tier(business_days=days, severity="info"),)
        return judge(Clock(tiers=tiers), one, at=at, calendar=NEW_YORK).finding is not None

    assert reached(low + more) or not reached(low)


def test_days_are_those_of_the_organization():
    friday = date(2026, 7, 10)
    assert last_day_within(NEW_YORK, friday, 0) == date(2026, 7, 12)
    assert last_day_within(NEW_YORK, friday, 1) == date(2026, 7, 13)
    assert business_days_after(NEW_YORK, friday, 2) == date(2026, 7, 14)
    assert at_work(NEW_YORK, local("2026-07-10 17:59"))
    assert not at_work(NEW_YORK, local("2026-07-03 12:00"))  # the fourth is a Saturday
    assert next_opening(NEW_YORK, local("2026-07-02 18:00")) == local("2026-07-06 08:00")
    works_always = Calendar(zone="UTC", weekdays=tuple(range(7)), opens=time(0), country="")
    assert next_opening(works_always, local("2026-07-04 03:00")) == local("2026-07-04 03:00")


def test_default_rules_read_back_and_every_kind_is_offered():
    organization = uuid4()
    chosen = [*default_rules(organization), *default_rules(INSTALLATION)]

    assert {rule.settings.kind for rule in chosen} == set(KINDS)
    assert all(read_settings(rule.settings.model_dump_json()) == rule.settings for rule in chosen)
    assert [rule.rule_id for rule in default_rules(organization)] == [
        rule.rule_id for rule in default_rules(organization)
    ]
