"""Cases, alerts and a site with a simulated clock, for tests of the rules."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from services.tracker.alerts.domain.alerts import Alert
from services.tracker.alerts.domain.calendar import Calendar
from services.tracker.alerts.domain.groups import Group, Message, dispatch
from services.tracker.alerts.domain.judging import CaseFacts
from services.tracker.alerts.domain.routing import Route, Routing, Silence, Target

NEW_YORK = Calendar(zone="America/New_York")
MONDAY = datetime(2026, 3, 2, 15, tzinfo=UTC)  # 10 o'clock in New York
SLACK, PAGER = UUID(int=1), UUID(int=2)
TARGETS = (Target(SLACK, "slack_bot"), Target(PAGER, "pagerduty"))


def local(text: str) -> datetime:
    """An instant by the clock of New York, as in `2026-03-02 10:00`."""
    from zoneinfo import ZoneInfo

    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York"))


def case(deadline: datetime | None = None, **given) -> CaseFacts:
    return CaseFacts(
        **{
            "case_id": uuid4(),
            "version": 1,
            "state": "open",
            "payer_name": "Acme Health",
            "payer_id": "1999999999",
            "category": "authorization_absent",
            "amount": Decimal(1200),
            "deadlines": (deadline,) if deadline else (),
            "zones": ("America/New_York",) if deadline else (),
            "opened_at": datetime(2026, 1, 5, tzinfo=UTC),
            **given,
        }
    )


def alert(opened_at: datetime = MONDAY, **given) -> Alert:
    case_id = given.pop("case_id", uuid4())
    return Alert(
        **{
            "alert_id": uuid4(),
            "rule_id": UUID(int=9),
            "rule_version": 1,
            "kind": "clock",
            "rule_name": "Deadline comes closer",
            "subject": str(case_id),
            "tier": "5bd",
            "severity": "warning",
            "case_id": case_id,
            "payer": "Acme Health",
            "payer_id": "1999999999",
            "category": "authorization_absent",
            "amount": Decimal(100),
            "opened_at": opened_at,
            **given,
        }
    )


class Site:
    """An organization whose alerts are put in and taken out by hand, looked at every 15 seconds."""

    def __init__(self, route: Route | None = None, *, targets=(TARGETS[0],), inhibitions=()) -> None:
        self.routing = Routing(
            route=route or Route(name="all", channels="all"), inhibitions=tuple(inhibitions)
        )
        self.targets = targets
        self.calendar = NEW_YORK
        self.alerts: dict[UUID, Alert] = {}
        self.groups: dict[tuple[UUID, str], Group] = {}
        self.silences: list[Silence] = []
        self.now = MONDAY
        self.sent: list[tuple[datetime, Message]] = []

    def open(self, *alerts: Alert) -> None:
        self.alerts |= {one.alert_id: replace(one, opened_at=self.now) for one in alerts}

    def close(self, *alerts: Alert) -> None:
        for one in alerts:
            del self.alerts[one.alert_id]

    def acknowledge(self, one: Alert) -> None:
        self.alerts[one.alert_id] = replace(self.alerts[one.alert_id], acknowledged_at=self.now)

    def look(self, *, dies: bool = False) -> list[Message]:
        found = dispatch(
            list(self.alerts.values()),
            list(self.groups.values()),
            routing=self.routing,
            targets=self.targets,
            silences=self.silences,
            calendar=self.calendar,
            at=self.now,
        )
        if dies:  # before the one transaction of groups and messages commits
            return []
        for group in found.ended:
            del self.groups[group.channel_id, group.group_key]
        for group in found.groups:
            self.groups[group.channel_id, group.group_key] = group
        self.sent += [(self.now, message) for message in found.messages]
        return list(found.messages)

    def run(self, minutes: float) -> list[Message]:
        """Look every 15 seconds for so long; give what was sent."""
        until, sent = self.now + timedelta(minutes=minutes), []
        while self.now < until:
            sent += self.look()
            self.now += timedelta(seconds=15)
        return sent

    def kinds(self) -> list[str]:
        return [message.kind for _, message in self.sent]
