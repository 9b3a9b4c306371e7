"""What a rule would have sent last month."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from services.tracker.alerts.domain.defaults import DEFAULT_ROUTING
from services.tracker.alerts.domain.patterns import DailyCount
from services.tracker.alerts.domain.replay import case_turns, jump_turns, replay, spells
from services.tracker.alerts.domain.rules import Clock, DenialJump, NewCase, Only, Pipeline, Rule, Tier
from tests.tracker.alerts.support import NEW_YORK, case, local

SINCE, UNTIL = local("2026-03-02 00:00"), local("2026-04-01 00:00")


def run(chosen, cases, only=Only()):
    rule = Rule(rule_id=uuid4(), name="a rule", settings=chosen, only=only)
    turns = case_turns(rule, cases, calendar=NEW_YORK, since=SINCE, until=UNTIL)
    return replay(turns, routing=DEFAULT_ROUTING, targets=(), calendar=NEW_YORK, since=SINCE, until=UNTIL)


def test_a_clock_would_have_told_of_each_tier_in_the_morning():
    two_tiers = Clock(tiers=(Tier(business_days=5, severity="info"), Tier(business_days=1, severity="error")))
    found = run(two_tiers, [case(deadline=local("2026-03-20 17:00"))])

    assert found.alerts == 2
    assert [(f"{at.astimezone(SINCE.tzinfo):%m-%d %H}", message.kind) for at, message in found.messages][
        :1
    ] == [("03-13 08", "firing")]
    assert ("resolved", "firing") in [
        (one.kind, other.kind)
        for (_, one), (_, other) in zip(found.messages, found.messages[1:], strict=False)
    ]


def test_cases_that_ended_or_began_outside_the_month_count_for_their_part_of_it():
    closed = case(deadline=local("2026-03-20 17:00"), closed_at=local("2026-03-03 12:00"))
    long_ago = case(deadline=local("2026-02-20 17:00"))

    assert run(Clock(), [closed, long_ago]).messages == ()


def test_new_cases_of_one_morning_are_one_message():
    opened = local("2026-03-10 03:00")
    cases = [case(opened_at=opened + timedelta(minutes=9 * n), amount=Decimal(60_000)) for n in range(20)]
    found = run(NewCase(), cases)

    assert found.alerts == 20
    assert [message.new for _, message in found.messages if message.kind != "resolved"] == [20]


MONTH = st.lists(
    st.tuples(
        st.integers(0, 29 * 24),  # hours after the month's begin at which it opened
        st.integers(0, 40 * 24),  # hours from there to its deadline
        st.integers(0, 500),  # dollars
    ),
    max_size=12,
)


@settings(max_examples=15)
@given(MONTH, st.integers(0, 500), st.integers(0, 500))
def test_raising_a_threshold_never_finds_or_sends_more(month, one, other):
    cases = [
        case(
            opened_at=SINCE + timedelta(hours=opened),
            deadline=SINCE + timedelta(hours=opened + left),
            amount=Decimal(dollars),
        )
        for opened, left, dollars in month
    ]
    low, high = sorted((one, other))
    for rules in (
        [Clock(), Clock()],
        [NewCase(amount_at_least=Decimal(amount), business_days_left=None) for amount in (low, high)],
    ):
        more = run(rules[0], cases, Only(amount_at_least=Decimal(low)))
        fewer = run(rules[1], cases, Only(amount_at_least=Decimal(high)))

        assert fewer.alerts <= more.alerts
        assert {alert.subject for _, m in fewer.messages for alert in m.alerts} <= {
            alert.subject for _, m in more.messages for alert in m.alerts
        }
        assert len(fired(fewer)) <= len(fired(more))


def fired(found):
    return [message for _, message in found.messages if message.kind != "resolved"]


def daily(day: int, *, denials: int = 1, seen_on: int | None = None) -> DailyCount:
    at = SINCE.date() + timedelta(days=day)
    seen = at if seen_on is None else SINCE.date() + timedelta(days=seen_on)
    return DailyCount(
        "p", "Acme Health", "1", "authorization_absent", "70553", at, seen, denials, Decimal(100)
    )


def gone_through(turns):
    return replay(turns, routing=DEFAULT_ROUTING, targets=(), calendar=NEW_YORK, since=SINCE, until=UNTIL)


def test_a_jump_would_have_been_told_when_it_was_seen_and_no_earlier():
    steady = [daily(day) for day in range(-70, 30)]
    rule = Rule(rule_id=uuid4(), name="a rule", settings=DenialJump())
    when = {"calendar": NEW_YORK, "since": SINCE, "until": UNTIL}

    assert gone_through(jump_turns(rule, steady, **when)).alerts == 0
    jump = [*steady, daily(10, denials=40)]
    turns = [(turn.at.date() - SINCE.date()).days for turn in jump_turns(rule, jump, **when)]
    late = [*steady, daily(10, denials=40, seen_on=14)]
    late_turns = [(turn.at.date() - SINCE.date()).days for turn in jump_turns(rule, late, **when)]

    assert turns == [11, 17]
    assert late_turns == [15, 17]
    told = fired(gone_through(jump_turns(rule, jump, **when)))
    assert [message.new for message in told] == [1, 0, 0, 0]  # and again each working day, as nobody took it


def test_a_failure_would_have_been_told_when_it_lasted():
    rule = Rule(rule_id=uuid4(), name="a rule", settings=Pipeline(kind="channel_failing", for_seconds=600))
    minutes = [(0, False), (5, True), (20, False), (25, False), (40, True), (50, False)]
    seen = [(SINCE + timedelta(minutes=minute), well) for minute, well in minutes]
    turns = list(spells(rule, "c", seen, label="a channel failed", until=UNTIL))

    assert [((turn.at - SINCE) // timedelta(minutes=1), turn.alert is None) for turn in turns] == [
        (30, False),
        (40, True),
        (60, False),
    ]
