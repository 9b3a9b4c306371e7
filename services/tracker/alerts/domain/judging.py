"""
What rules find in a case at an instant.

Pure, and the arbiter: the store only narrows down which cases are looked at. A verdict names the instant at
which time alone may change it, so that a case that nobody touches is looked at no more often than that.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import assert_never
from uuid import UUID
from zoneinfo import ZoneInfo

from services.tracker.alerts.domain.calendar import (
    ONE_DAY,
    Calendar,
    business_days_after,
    last_day_within,
    start_of,
    today,
)
from services.tracker.alerts.domain.content import Severity
from services.tracker.alerts.domain.rules import (
    CaseSettings,
    Clock,
    DeadlineMissed,
    FollowUp,
    InformationRequest,
    NewCase,
    Only,
    Tier,
    Unowned,
)
from services.tracker.domain.clocks import day_of

OUR_TURN: frozenset[str] = frozenset(
    {
        "open",
        "in_preparation",
        "information_requested",
        "approved",
        "partly_approved",
        "denied",
        "partly_paid",
    }
)
"""States in which a deadline is ours to keep. What was sent in time waits for the payer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFacts:
    """A case as far as rules look at it. `deadlines` are instants in order, each with the payer's zone."""

    case_id: UUID
    version: int
    state: str
    payer_name: str | None
    payer_id: str | None
    category: str
    amount: Decimal
    deadlines: tuple[datetime, ...]
    zones: tuple[str, ...]
    opened_at: datetime
    closed_at: datetime | None = None
    assignee_id: UUID | None = None
    follow_up_on: date | None = None
    information_due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a case is worth an alert: how far it has come, how bad that is, and the instant it is about."""

    tier: str
    severity: Severity
    end_at: datetime | None
    zone: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`recheck_at`: when time alone may change it; None when it cannot."""

    finding: Finding | None
    recheck_at: datetime | None


NOTHING = Verdict(None, None)


def judge(  # noqa: PLR0911  one for each kind of rule
    settings: CaseSettings, case: CaseFacts, *, at: datetime, calendar: Calendar
) -> Verdict:
    """Say what a rule finds in a case at an instant."""
    if case.closed_at is not None and case.closed_at <= at:
        return NOTHING
    match settings:
        case Clock():
            return _tiered(settings.tiers, _next_deadline(case, at), at=at, calendar=calendar)
        case NewCase():
            return _new_case(settings, case, at=at, calendar=calendar)
        case Unowned():
            return _unowned(settings, case, at=at, calendar=calendar)
        case DeadlineMissed():
            return _missed(settings, case, at=at, calendar=calendar)
        case FollowUp():
            return _follow_up(settings, case, at=at, calendar=calendar)
        case InformationRequest():
            return _information(settings, case, at=at, calendar=calendar)
        case _:
            assert_never(settings)


def concerns(only: Only, case: CaseFacts) -> bool:
    """Tell whether a rule is about this case at all."""
    if only.amount_at_least is not None and case.amount < only.amount_at_least:
        return False
    if only.categories and case.category not in only.categories:
        return False
    return not only.payers or names_payer(only.payers, case.payer_name, case.payer_id)


def names_payer(wanted: Iterable[str], name: str | None, payer_id: str | None) -> bool:
    """Tell whether a list of payers, by id or by name, names this one."""
    folded = {one.strip().casefold() for one in wanted}
    return bool({(name or "").strip().casefold(), (payer_id or "").strip().casefold()} & folded)


End = tuple[datetime, str] | None


def _next_deadline(case: CaseFacts, at: datetime) -> End:
    if case.state not in OUR_TURN:
        return None
    for deadline, zone in zip(case.deadlines, case.zones, strict=True):
        if deadline > at:
            return deadline, zone
    return None


def _tiered(tiers: tuple[Tier, ...], end: End, *, at: datetime, calendar: Calendar) -> Verdict:
    if end is None:
        return NOTHING
    ends_at, zone = end
    reached = [
        (begins, tier)
        for tier in tiers
        if (begins := tier_begins(tier, ends_at, zone, calendar=calendar)) <= at
    ]
    ahead = [begins for tier in tiers if (begins := tier_begins(tier, ends_at, zone, calendar=calendar)) > at]
    recheck_at = min([*ahead, ends_at])
    if not reached:
        return Verdict(None, recheck_at)
    _, tier = max(reached, key=lambda one: one[0])
    return Verdict(Finding(tier.name, tier.severity, ends_at, zone), recheck_at)


def tier_begins(tier: Tier, ends_at: datetime, zone: str, *, calendar: Calendar) -> datetime:
    """
    Give the instant at which an end is as near as the tier says.

    Hours are counted back from the end. Business days are those of the organization between its own day and
    the payer's day of the end: the tier begins with the first day of which that many are left.
    """
    if tier.hours is not None:
        return ends_at - timedelta(hours=tier.hours)
    assert tier.business_days is not None  # noqa: S101  a tier has one of the two
    return start_of(calendar, first_day_within(calendar, day_of(ends_at, zone=zone), tier.business_days))


@lru_cache(maxsize=8192)
def first_day_within(calendar: Calendar, end: date, business_days: int) -> date:
    """Give the first day from which `end` is at most so many business days ahead."""
    day = end
    while last_day_within(calendar, day - ONE_DAY, business_days) >= end:
        day -= ONE_DAY
        if (end - day).days > _FAR_DAYS:
            break
    return day


_FAR_DAYS = 200


def _within(days: int, end: End, *, at: datetime, calendar: Calendar) -> tuple[bool, datetime | None]:
    """Tell whether an end is so near, and when it will be (None once it is)."""
    if end is None:
        return False, None
    ends_at, zone = end
    begins = start_of(calendar, first_day_within(calendar, day_of(ends_at, zone=zone), days))
    return begins <= at, begins if begins > at else None


def _new_case(settings: NewCase, case: CaseFacts, *, at: datetime, calendar: Calendar) -> Verdict:
    until = case.opened_at + timedelta(hours=settings.hours)
    if at >= until or case.state not in OUR_TURN:
        return NOTHING
    end = _next_deadline(case, at)
    large = settings.amount_at_least is not None and case.amount >= settings.amount_at_least
    near, nears_at = False, None
    if settings.business_days_left is not None:
        near, nears_at = _within(settings.business_days_left, end, at=at, calendar=calendar)
    recheck_at = min(one for one in (until, nears_at, end and end[0]) if one is not None)
    if not large and not near:
        return Verdict(None, recheck_at)
    tier = "large" if large and not near else "near"
    return Verdict(Finding(tier, settings.severity, *(end or (None, None))), recheck_at)


def _unowned(settings: Unowned, case: CaseFacts, *, at: datetime, calendar: Calendar) -> Verdict:
    end = _next_deadline(case, at)
    if case.assignee_id is not None or end is None:
        return NOTHING
    near, nears_at = _within(settings.business_days_left, end, at=at, calendar=calendar)
    old_at = case.opened_at + timedelta(hours=settings.hours)
    recheck_at = min(one for one in (end[0], nears_at, old_at) if one is not None and one > at)
    if not near or old_at > at:
        return Verdict(None, recheck_at)
    return Verdict(Finding("unowned", settings.severity, *end), recheck_at)


def _missed(settings: DeadlineMissed, case: CaseFacts, *, at: datetime, calendar: Calendar) -> Verdict:
    if case.state not in OUR_TURN:
        return NOTHING
    passed = [
        (deadline, zone)
        for deadline, zone in zip(case.deadlines, case.zones, strict=True)
        # What had passed before we knew of the case, nobody here missed.
        if case.opened_at < deadline <= at
    ]
    following = min((deadline for deadline in case.deadlines if deadline > at), default=None)
    if not passed:
        return Verdict(None, following)
    missed_at, zone = passed[-1]
    told_until = start_of(
        calendar, last_day_within(calendar, today(calendar, missed_at), settings.business_days) + ONE_DAY
    )
    if at >= told_until:
        return Verdict(None, following)
    return Verdict(
        Finding("missed", settings.severity, missed_at, zone), min(told_until, following or told_until)
    )


def _follow_up(settings: FollowUp, case: CaseFacts, *, at: datetime, calendar: Calendar) -> Verdict:
    if case.follow_up_on is None or case.state in ("closed", "paid", "reversed"):
        return NOTHING
    due_at = start_of(calendar, case.follow_up_on)
    late_at = start_of(
        calendar, business_days_after(calendar, case.follow_up_on, settings.overdue_business_days)
    )
    if at < due_at:
        return Verdict(None, due_at)
    if at < late_at:
        return Verdict(Finding("due", settings.severity, due_at, calendar.zone), late_at)
    return Verdict(Finding("overdue", settings.overdue_severity, due_at, calendar.zone), None)


def _information(
    settings: InformationRequest, case: CaseFacts, *, at: datetime, calendar: Calendar
) -> Verdict:
    if case.information_due_at is None or case.state in ("closed", "paid", "reversed"):
        return NOTHING
    if case.information_due_at <= at:
        worst = settings.tiers[-1].severity
        return Verdict(Finding("late", worst, case.information_due_at, calendar.zone), None)
    return _tiered(settings.tiers, (case.information_due_at, calendar.zone), at=at, calendar=calendar)


def days_left(end_at: datetime, zone: str, *, at: datetime) -> int:
    """Count the days from `at` to an end as the zone's calendar has them; negative once it has passed."""
    return (day_of(end_at, zone=zone) - at.astimezone(ZoneInfo(zone)).date()).days
