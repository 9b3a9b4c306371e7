"""Routing, grouping, waiting, repeating, inhibition and silences, over a simulated clock."""

from dataclasses import replace
from datetime import time, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.alerts.domain.content import encode_content
from services.tracker.alerts.domain.defaults import DEFAULT_ROUTING
from services.tracker.alerts.domain.groups import dedup_key, dispatch
from services.tracker.alerts.domain.messages import content_of
from services.tracker.alerts.domain.routing import (
    Inhibition,
    Match,
    Route,
    Routing,
    Silence,
    Target,
    channels_of,
    leaves_of,
)
from tests.tracker.alerts.support import MONDAY, NEW_YORK, PAGER, SLACK, TARGETS, Site, alert, local


def test_alerts_within_the_wait_become_one_message():
    site = Site()
    site.open(alert(), alert())
    assert site.run(0.5) == []

    site.open(alert())
    (message,) = site.run(0.5)

    assert (message.kind, message.new, len(message.alerts)) == ("firing", 3, 3)


def test_a_later_alert_waits_for_the_interval_and_updates_the_same_message():
    site = Site()
    site.open(alert())
    (first,) = site.run(1)
    site.open(alert())
    assert site.run(4) == []

    (update,) = site.run(1.5)

    assert (update.kind, update.new) == ("update", 1)
    assert (update.group.group_key, update.group.window) == (first.group.group_key, first.group.window)


def test_an_alert_that_is_gone_before_the_wait_is_over_is_never_told():
    site = Site()
    one = alert()
    site.open(one)
    site.look()
    site.close(one)

    assert site.run(10) == []
    assert site.groups == {}


def test_the_last_alert_that_goes_resolves_the_message():
    site = Site()
    one, other = alert(), alert()
    site.open(one, other)
    site.run(1)
    site.close(one)
    site.run(6)
    site.close(other)
    site.run(6)

    assert site.kinds() == ["firing", "update", "resolved"]
    assert site.groups == {}


def test_a_group_repeats_until_somebody_acknowledges_it():
    site = Site()
    one = alert()
    site.open(one)
    site.run(9 * 60)
    assert site.kinds() == ["firing", "firing", "firing"]

    site.acknowledge(one)
    site.run(9 * 60)

    assert site.kinds() == ["firing", "firing", "firing", "update"]  # somebody has it


@pytest.mark.parametrize(("channel", "heard"), [(PAGER, True), (SLACK, True), (UUID(int=3), False)])
def test_where_a_message_stands_it_says_that_somebody_has_it_once_all_is_taken(channel, heard):
    targets = (*TARGETS, Target(UUID(int=3), "email"))
    site = Site(targets=[one for one in targets if one.channel_id == channel])
    one, other = alert(), alert()
    site.open(one, other)
    site.run(10)
    site.acknowledge(one)
    site.run(10)
    assert site.kinds() == ["firing"]

    site.acknowledge(other)
    site.run(60)

    assert site.kinds() == ["firing", "update"][: 1 + heard]
    if heard:
        assert content_of(site.sent[-1][1], at=site.now).acknowledged


def test_a_new_alert_on_a_later_day_begins_a_new_message():
    site = Site()
    site.open(alert())
    site.run(1)
    site.now += timedelta(days=1)
    site.open(alert())
    site.run(6)

    assert site.kinds()[-2:] == ["resolved", "firing"]
    assert site.sent[-1][1].group.window != site.sent[0][1].group.window
    assert len(site.sent[-1][1].alerts) == 2


def test_business_hours_hold_everything_back_and_tell_it_at_once_in_the_morning():
    site = Site(Route(name="calm", channels="all", hours="business"))
    site.now = local("2026-07-02 19:00")  # a Thursday; the 3rd is the observed holiday
    for _ in range(3):
        site.open(alert())
        site.run(60)
    assert site.sent == []

    site.now = local("2026-07-06 07:55")
    (message,) = site.run(10)

    assert (message.kind, message.new) == ("firing", 3)
    assert site.sent[0][0] >= local("2026-07-06 08:00")


@pytest.mark.parametrize(
    ("hours", "calendar", "told_at"),
    [
        ("always", NEW_YORK, "2026-02-28 22:05"),
        ("business", replace(NEW_YORK, weekdays=tuple(range(7))), "2026-03-01 08:00"),
        ("business", replace(NEW_YORK, opens=time(6)), "2026-03-02 06:00"),
        ("business", NEW_YORK, "2026-03-02 08:00"),
    ],
)
def test_what_waits_for_hours_that_are_changed_waits_for_the_new_ones(hours, calendar, told_at):
    site = Site(Route(name="all", channels="all", hours="business"))
    site.now = local("2026-02-28 22:00")  # a Saturday
    site.open(alert())
    assert site.run(5) == []

    site.routing = Routing(route=Route(name="all", channels="all", hours=hours))
    site.calendar = calendar
    site.run(1)
    site.now = max(site.now, local(told_at) - timedelta(minutes=1))
    site.run(2)

    ((at, _),) = site.sent
    assert timedelta(0) <= at - local(told_at) < timedelta(seconds=15)


def test_a_silence_keeps_quiet_until_it_ends_and_resolves_nothing_meanwhile():
    site = Site()
    told, later = alert(), alert()
    site.open(told)
    site.run(1)
    site.silences.append(
        Silence(silence_id=uuid4(), match=Match(), starts_at=site.now, ends_at=site.now + timedelta(hours=2))
    )
    site.open(later)
    assert site.run(119) == []

    (message,) = site.run(10)

    assert (message.kind, message.new, message.gone) == ("update", 1, 0)


def test_what_resolves_during_a_silence_is_said_so():
    site = Site()
    told = alert()
    site.open(told)
    site.run(1)
    site.silences.append(
        Silence(silence_id=uuid4(), match=Match(), starts_at=site.now, ends_at=site.now + timedelta(hours=2))
    )
    site.run(10)
    site.close(told)
    site.run(10)

    assert site.kinds() == ["firing", "resolved"]


def test_a_missed_deadline_keeps_the_clock_of_its_case_quiet():
    site = Site(inhibitions=DEFAULT_ROUTING.inhibitions)
    missed = alert(kind="deadline_missed", rule_id=UUID(int=5))
    site.open(missed, alert(case_id=missed.case_id), alert())
    messages = site.run(1)

    assert {message.alerts[0].kind: len(message.alerts) for message in messages} == {
        "deadline_missed": 1,
        "clock": 1,
    }


def test_an_alert_never_inhibits_itself_and_an_empty_label_is_not_equal():
    everything = Inhibition(source=Match(), target=Match(), equal=("case",))
    site = Site(inhibitions=[everything])
    site.open(alert(case_id=None, subject="feed a"), alert(case_id=None, subject="feed b"))
    (message,) = site.run(1)

    assert len(message.alerts) == 2


TREE = Route(
    name="root",
    channels="quiet",
    routes=(
        Route(name="pages", match=Match(severities=("critical",)), channels="all"),
        Route(name="large", match=Match(amount_at_least=5000), channels=(PAGER,), keep_going=True),
        Route(
            name="acme",
            match=Match(payers=("acme health",)),
            channels=(SLACK,),
            routes=(Route(name="absent", match=Match(categories=("authorization_absent",))),),
        ),
    ),
)


@pytest.mark.parametrize(
    ("about", "paths", "channels"),
    [
        ({"payer": "Other", "payer_id": None}, ["/root"], {SLACK}),
        ({"severity": "critical"}, ["/root/pages"], {SLACK, PAGER}),
        ({"payer_id": None}, ["/root/acme/absent"], {SLACK}),
        ({"category": "not_covered"}, ["/root/acme"], {SLACK}),
        ({"amount": 9000}, ["/root/large", "/root/acme/absent"], {SLACK, PAGER}),
        ({"amount": 9000, "payer": "Other", "payer_id": None}, ["/root/large"], {PAGER}),
        ({"amount": None, "payer": None, "payer_id": None}, ["/root"], {SLACK}),
    ],
)
def test_the_tree_decides_who_hears(about, paths, channels):
    leaves = list(leaves_of(TREE, alert(**about)))

    assert [leaf.path for leaf in leaves] == paths
    assert {one for leaf in leaves for one in channels_of(leaf, TARGETS)} == channels


@pytest.mark.parametrize(
    ("severity", "at", "channels"),
    [
        ("critical", "2026-03-01 03:00", {SLACK, PAGER}),
        ("warning", "2026-03-01 03:00", set()),
        ("warning", "2026-03-02 10:00", {SLACK}),
    ],
)
def test_by_default_only_criticals_page_and_only_they_wake(severity, at, channels):
    site = Site(DEFAULT_ROUTING.route, targets=TARGETS)
    site.now = local(at)
    site.open(alert(severity=severity))

    assert {message.group.channel_id for message in site.run(2)} == channels


def test_after_an_outage_everything_found_is_one_message_a_channel():
    site = Site(DEFAULT_ROUTING.route, targets=TARGETS)
    kinds = ("clock", "deadline_missed", "unowned", "new_case")
    site.open(*(alert(kind=kinds[n % 4], rule_id=UUID(int=n % 4), caught_up_at=MONDAY) for n in range(100)))
    (message,) = site.run(10)

    content = content_of(message, at=site.now)

    assert len(message.alerts) == 100
    assert content.totals.count == 100
    assert len(content.lines) == 50
    assert content.runbook == "catch_up"
    assert b"100 alerts after an interruption" in encode_content(content)


def test_a_dedup_key_is_short_and_the_same_for_every_message_of_a_window():
    site = Site(Route(name="x" * 100, channels="all", group_by=("rule", "payer", "category")))
    one = alert(payer="y" * 100, payer_id=None, category="z" * 100)
    site.open(one)
    site.run(1)
    site.open(alert(payer="y" * 100, payer_id=None, category="z" * 100, severity="critical", tier="1bd"))
    site.run(6)
    site.close(*site.alerts.values())
    site.run(6)

    assert site.kinds() == ["firing", "update", "resolved"]
    assert len({dedup_key(UUID(int=7), message.group) for _, message in site.sent}) == 1
    assert len(dedup_key(UUID(int=7), site.sent[0][1].group)) < 80
    assert site.sent[1][1].group.severity == "critical"


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["open", "close", "wait", "die", "outage"]), st.integers(0, 9)),
    min_size=1,
    max_size=60,
)


@given(ACTIONS)
def test_no_alert_is_lost_or_doubled_over_restarts_at_any_point(actions):
    site = Site()
    for action, number in actions:
        if action == "open":
            site.open(alert())
        elif action == "close" and site.alerts:
            site.close(list(site.alerts.values())[number % len(site.alerts)])
        elif action == "wait":
            site.run(number)
        elif action == "outage":
            site.now += timedelta(minutes=number * 3)
        site.look(dies=action == "die")
        site.now += timedelta(seconds=15)
    site.run(6)

    first_told = [one.alert_id for _, message in site.sent for one in message.alerts]
    news = sum(message.new for _, message in site.sent)

    assert set(site.alerts) <= set(first_told)  # none is lost
    assert news == len(set(first_told))  # each was new in one message exactly
    assert all(
        message.new or message.gone or at - site.sent[0][0] >= timedelta(hours=4) for at, message in site.sent
    )


@given(ACTIONS)
def test_when_nothing_stands_any_more_every_message_was_resolved(actions):
    site = Site()
    for action, number in actions:
        if action == "open":
            site.open(alert())
        elif action == "close" and site.alerts:
            site.close(list(site.alerts.values())[number % len(site.alerts)])
        site.run(number / 4)
    site.close(*site.alerts.values())
    site.run(11)

    fired = {(m.group.group_key, m.group.window) for _, m in site.sent if m.kind == "firing"}
    resolved = {(m.group.group_key, m.group.window) for _, m in site.sent if m.kind == "resolved"}

    assert fired == resolved
    assert site.groups == {}


def test_a_channel_that_is_gone_ends_its_groups_quietly_or_with_a_last_word():
    site = Site()
    one = alert()
    site.open(one)
    site.run(1)
    site.targets = ()
    site.close(one)
    found = dispatch(
        [],
        list(site.groups.values()),
        routing=site.routing,
        targets=(),
        silences=(),
        calendar=NEW_YORK,
        at=site.now + timedelta(hours=1),
    )

    assert [message.kind for message in found.messages] == ["resolved"]
    assert len(found.ended) == 1
