"""Which series of denials jumped on a day, from counts by payer, category, service and payer's day."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from services.tracker.alerts.domain.alerts import Alert, other_alert
from services.tracker.alerts.domain.judging import names_payer
from services.tracker.alerts.domain.jumps import Counts, Jump, Series, find_jumps
from services.tracker.alerts.domain.rules import DenialJump, Rule


class DailyCount(NamedTuple):
    """Denials of a series on a payer's day, first seen here on another."""

    payer: str
    payer_name: str | None
    payer_id: str | None
    category: str
    service: str
    denied_on: date
    seen_on: date
    denials: int
    amount: Decimal


def first_day(settings: DenialJump, day: date) -> date:
    """Give the payer's day with which the history of a look begins."""
    return day + timedelta(days=1 - settings.recent_days - 7 * settings.history_weeks)


def jumps_on(
    day: date,
    rule: Rule,
    rows: Sequence[DailyCount],
    *,
    at: datetime,
    caught_up_at: datetime | None = None,
) -> list[Alert]:
    """Give an alert for each jump that stands on a day. `rows` are what was seen until then."""
    settings = rule.settings
    assert isinstance(settings, DenialJump)  # noqa: S101  the callers ask for this kind
    recent, first = day - timedelta(days=settings.recent_days), first_day(settings, day)
    wanted = [
        row
        for row in rows
        if first <= row.denied_on <= day
        and (not rule.only.categories or row.category in rule.only.categories)
        and (not rule.only.payers or names_payer(rule.only.payers, row.payer_name, row.payer_id))
    ]
    counts = count(
        [(series_of(row), row.denied_on, row.denials) for row in wanted],
        recent_after=recent,
        weeks=settings.history_weeks,
    )
    about = {series_of(row): row for row in wanted}
    amounts: dict[Series, Decimal] = defaultdict(Decimal)
    for row in wanted:
        if row.denied_on > recent:
            amounts[series_of(row)] += row.amount
    jumps = find_jumps(counts, recent_days=settings.recent_days, false_share=settings.false_share)
    return [
        other_alert(
            rule,
            "|".join(jump.series),
            severity=settings.severity,
            label=_label(jump, settings),
            at=at,
            caught_up_at=caught_up_at,
            about={
                "payer": about[jump.series].payer_name,
                "payer_id": about[jump.series].payer_id,
                "category": jump.series.category,
                "amount": amounts[jump.series],
            },
        )
        for jump in jumps
    ]


def series_of(row: DailyCount) -> Series:
    return Series(row.payer, row.category, row.service)


def count(rows: list[tuple[Series, date, int]], *, recent_after: date, weeks: int) -> dict[Series, Counts]:
    """Sort denials by series into the recent days and the weeks before, the newest week first."""
    recent: dict[Series, int] = defaultdict(int)
    history: dict[Series, list[int]] = defaultdict(lambda: [0] * weeks)
    for series, day, denials in rows:
        if day > recent_after:
            recent[series] += denials
        elif (week := (recent_after - day).days // 7) < weeks:
            history[series][week] += denials
    return {series: Counts(recent[series], tuple(history[series])) for series in {*recent, *history}}


def _label(jump: Jump, settings: DenialJump) -> str:
    service = f"service {jump.series.service}: " if jump.series.service else ""
    return f"{service}{jump.recent} denials in {settings.recent_days} days, {jump.expected:.1f} expected"
