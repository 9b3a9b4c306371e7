"""The morning summary of a team: what is new, what is due this week, what is at risk, what came back."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from services.tracker.alerts.domain.calendar import Calendar, start_of, today, works_on
from services.tracker.alerts.domain.content import Content, Line, Totals
from services.tracker.alerts.domain.rules import MorningDigest


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counts of cases and US dollars. `since` is the digest before; `until` the end of this week."""

    new: int
    new_amount: Decimal
    due: int
    due_amount: Decimal
    at_risk: int
    at_risk_amount: Decimal
    recovered: int
    recovered_amount: Decimal


def calendar_of(settings: MorningDigest, calendar: Calendar) -> Calendar:
    """Give the team's own calendar: its zone and its days, else those of the organization."""
    return replace(
        calendar,
        zone=settings.zone or calendar.zone,
        weekdays=settings.weekdays if settings.weekdays is not None else calendar.weekdays,
    )


def digest_due(
    settings: MorningDigest, *, told_at: datetime | None, at: datetime, calendar: Calendar
) -> bool:
    """Tell whether today's digest is to go out: on a working day, from its hour on, once."""
    own = calendar_of(settings, calendar)
    day = today(own, at)
    due_at = start_of(own, day, settings.at)
    return works_on(own, day) and at >= due_at and (told_at is None or told_at < due_at)


def covered_since(told_at: datetime | None, *, at: datetime) -> datetime:
    """Give where a digest begins: at the one before, and a week back at most."""
    week_ago = at - timedelta(days=7)
    return max(told_at, week_ago) if told_at else at - timedelta(days=1)


def end_of_week(settings: MorningDigest, *, at: datetime, calendar: Calendar) -> datetime:
    """Give the end of the team's Sunday."""
    own = calendar_of(settings, calendar)
    day = today(own, at)
    return start_of(own, day + timedelta(days=7 - day.weekday()))


def digest_content(rule_name: str, figures: Figures, *, pressing: tuple[Line, ...] = ()) -> Content:
    """Write a digest: four counts, then the most pressing cases."""
    counted = (
        ("new", figures.new, figures.new_amount),
        ("due this week", figures.due, figures.due_amount),
        ("open with a clock running: at risk", figures.at_risk, figures.at_risk_amount),
        ("recovered", figures.recovered, figures.recovered_amount),
    )
    return Content(
        title=f"{figures.due:,} due this week, ${figures.at_risk_amount:,.2f} at risk",
        rule=rule_name,
        lines=(
            *(Line(label=f"{count:,} {what}", amount=amount) for what, count, amount in counted),
            *pressing,
        ),
        totals=Totals(count=figures.due, amount=figures.at_risk_amount),
        runbook="morning_digest",
    )
