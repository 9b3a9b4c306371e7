"""
What a rule would have sent: the same judging and grouping, over the cases of a past stretch of time.

The history is what is still known: of a case when it opened, was sent, first assigned and closed, and its
deadlines as they are now; of denials the payer's day and ours; of a channel every attempt.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from services.tracker.alerts.domain.alerts import Alert, case_alert, other_alert, settle
from services.tracker.alerts.domain.calendar import ONE_DAY, Calendar, start_of, today
from services.tracker.alerts.domain.groups import Group, Message, dispatch
from services.tracker.alerts.domain.judging import CaseFacts, concerns, judge
from services.tracker.alerts.domain.patterns import DailyCount, jumps_on
from services.tracker.alerts.domain.routing import Routing, Target
from services.tracker.alerts.domain.rules import CaseSettings, Pipeline, Rule

STEP = timedelta(minutes=15)
"""Changes are gone through in steps of a quarter of an hour."""
_SOMEBODY = Target(UUID(int=1), "webhook")


@dataclass(frozen=True, slots=True)
class Replay:
    """`alerts` counts what would have been found; `messages` would have gone out, each at its instant."""

    alerts: int
    messages: tuple[tuple[datetime, Message], ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """What a rule finds in a subject from an instant on; None: nothing any more."""

    at: datetime
    subject: str
    alert: Alert | None


def replay(
    turns: Iterable[Turn],
    *,
    routing: Routing,
    targets: Sequence[Target],
    calendar: Calendar,
    since: datetime,
    until: datetime,
) -> Replay:
    """Go through what a rule found in a past stretch of time. Without a channel, as if there were one."""
    steps: dict[datetime, list[Turn]] = defaultdict(list)
    for turn in turns:
        steps[_stepped(max(turn.at, since), since)].append(turn)
    simulation = _Simulation(routing, tuple(targets) or (_SOMEBODY,), calendar)
    for at in sorted(steps):
        simulation.run_until(at)
        simulation.change(at, steps[at])
    simulation.run_until(until)
    return Replay(simulation.opened, tuple(simulation.messages))


def case_turns(
    rule: Rule, cases: Iterable[CaseFacts], *, calendar: Calendar, since: datetime, until: datetime
) -> Iterator[Turn]:
    """Give each instant at which what a rule finds in a case changes."""
    for case in cases:
        if concerns(rule.only, case):
            yield from _turns(rule, case, calendar=calendar, since=since, until=until)


def spells(
    rule: Rule, subject: str, seen: Iterable[tuple[datetime, bool]], *, label: str, until: datetime
) -> Iterator[Turn]:
    """
    Give the turns of something that goes well or does not: it stands from so long after it first went ill.

    `seen` are instants in order, each with whether it went well.
    """
    assert isinstance(rule.settings, Pipeline)  # noqa: S101  the callers ask for this kind
    patience = timedelta(seconds=rule.settings.for_seconds)
    ill_at: datetime | None = None
    for at, well in (*seen, (until, True)):
        if not well:
            ill_at = ill_at or at
        elif ill_at is not None:
            if ill_at + patience < at:
                begins = ill_at + patience
                alert = other_alert(rule, subject, severity=rule.settings.severity, label=label, at=begins)
                yield Turn(begins, subject, alert)
                if at < until:
                    yield Turn(at, subject, None)
            ill_at = None


def jump_turns(
    rule: Rule, rows: Sequence[DailyCount], *, calendar: Calendar, since: datetime, until: datetime
) -> Iterator[Turn]:
    """Give the turns of a rule about jumps, which is looked at once a day, by what was seen until then."""
    standing: set[str] = set()
    day = today(calendar, since) + ONE_DAY
    while (at := start_of(calendar, day)) < until:
        known = [row for row in rows if row.seen_on < day]
        found = {alert.subject: alert for alert in jumps_on(day, rule, known, at=at)}
        yield from (Turn(at, subject, None) for subject in sorted(standing - found.keys()))
        yield from (
            Turn(at, subject, alert) for subject, alert in sorted(found.items()) if subject not in standing
        )
        standing = set(found)
        day += ONE_DAY


def _turns(
    rule: Rule, case: CaseFacts, *, calendar: Calendar, since: datetime, until: datetime
) -> Iterator[Turn]:
    assert isinstance(rule.settings, CaseSettings)  # noqa: S101  the caller asks for these kinds
    at = max(since, case.opened_at)
    ends = min(until, case.closed_at or until)
    before: Alert | None = None
    while at < ends:
        verdict = judge(rule.settings, case, at=at, calendar=calendar)
        found = case_alert(rule, case, verdict, at=at)
        if (found and (found.tier, found.severity)) != (before and (before.tier, before.severity)):
            yield Turn(at, str(case.case_id), found)
        before = found
        if verdict.recheck_at is None:
            break
        at = max(verdict.recheck_at, at + timedelta(seconds=1))
    if before is not None and case.closed_at is not None and case.closed_at < until:
        yield Turn(max(case.closed_at, since), str(case.case_id), None)


def _stepped(at: datetime, since: datetime) -> datetime:
    return since + STEP * math.ceil((at - since) / STEP)


class _Simulation:
    """Alerts and groups while time passes; nothing is looked at between two changes but what is due."""

    def __init__(self, routing: Routing, targets: Sequence[Target], calendar: Calendar) -> None:
        self._routing, self._targets, self._calendar = routing, targets, calendar
        self._alerts: dict[str, Alert] = {}
        self._groups: dict[tuple[UUID, str], Group] = {}
        self._looked_at: dict[tuple[UUID, str], datetime] = {}
        self._changed_at: datetime | None = None
        self.opened = 0
        self.messages: list[tuple[datetime, Message]] = []

    def change(self, at: datetime, turns: Sequence[Turn]) -> None:
        for turn in turns:
            change = settle(self._alerts.get(turn.subject), turn.alert)
            if change.resolved:
                del self._alerts[turn.subject]
            if (now := change.opened or change.kept) is not None:
                self._alerts[turn.subject] = replace(now, opened_at=at)
            self.opened += change.opened is not None
        self._changed_at = at
        self._look(at)

    def run_until(self, until: datetime) -> None:
        while (due := self._next()) is not None and due < until:
            self._look(due)

    def _next(self) -> datetime | None:
        """Give when a group is to be looked at: soon where something changed, else at its repetition."""
        return min((self._due(place, group) for place, group in self._groups.items()), default=None)

    def _due(self, place: tuple[UUID, str], group: Group) -> datetime:
        looked_at = self._looked_at.get(place)
        if group.notified_at is None or looked_at is None:
            return group.flush_at
        if self._changed_at is not None and looked_at < self._changed_at:
            return group.flush_at
        # Whether it repeats is the route's matter; it is asked each hour.
        return max(group.flush_at, looked_at + timedelta(hours=1))

    def _look(self, at: datetime) -> None:
        done = dispatch(
            list(self._alerts.values()),
            list(self._groups.values()),
            routing=self._routing,
            targets=self._targets,
            silences=(),
            calendar=self._calendar,
            at=at,
        )
        for place, group in self._groups.items():
            if group.flush_at <= at:
                self._looked_at[place] = at
        for group in done.ended:
            del self._groups[group.channel_id, group.group_key]
        for group in done.groups:
            self._groups[group.channel_id, group.group_key] = group
        self.messages += [(at, message) for message in done.messages]
