"""Once a day of the organization: whether denials of a payer, category and service jumped."""

from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.alerts import Alert, other_alert
from services.tracker.alerts.domain.calendar import Calendar, start_of, today
from services.tracker.alerts.domain.judging import names_payer
from services.tracker.alerts.domain.jumps import Counts, Jump, Series, find_jumps
from services.tracker.alerts.domain.rules import DenialJump, Rule
from services.tracker.alerts.store.alerts import mark
from services.tracker.alerts.store.candidates import counted_denials
from services.tracker.alerts.workers.looking import Look

_LATE = timedelta(days=14)
"""How much later than the payer's day a remittance may come to count in the oldest week."""


def jumps_mark(rule: Rule) -> str:
    """Name the mark of when a version of a rule had its look."""
    return f"jumps of {rule.rule_id} version {rule.version}"


def jumps_due(seen_at: datetime | None, *, at: datetime, calendar: Calendar) -> bool:
    """Tell whether a rule has not had its look today."""
    return seen_at is None or seen_at < start_of(calendar, today(calendar, at))


async def look_for_jumps(connection: AsyncConnection, look: Look, rule: Rule) -> list[Alert]:
    """Give the jumps that stand today, and note that they were looked for."""
    settings = rule.settings
    assert isinstance(settings, DenialJump)  # noqa: S101  the caller asks for this kind
    calendar = look.calendar
    day = today(calendar, look.at)
    await mark(connection, look.organization_id, jumps_mark(rule), look.at)
    recent = day - timedelta(days=settings.recent_days)
    first = recent - timedelta(weeks=settings.history_weeks)
    rows = await counted_denials(
        connection,
        look.organization_id,
        since=start_of(calendar, first) - _LATE,
        first_day=first + timedelta(days=1),
    )
    wanted = [
        row
        for row in rows
        if row.denied_on <= day
        and (not rule.only.categories or row.category in rule.only.categories)
        and (not rule.only.payers or names_payer(rule.only.payers, row.payer_name, row.payer_id))
    ]
    counts = count(
        [(Series(row.payer, row.category, row.service), row.denied_on, row.denials) for row in wanted],
        recent_after=recent,
        weeks=settings.history_weeks,
    )
    about = {Series(row.payer, row.category, row.service): row for row in wanted}
    amounts: dict[Series, Decimal] = defaultdict(Decimal)
    for row in wanted:
        if row.denied_on > recent:
            amounts[Series(row.payer, row.category, row.service)] += row.amount
    jumps = find_jumps(counts, recent_days=settings.recent_days, false_share=settings.false_share)
    return [
        other_alert(
            rule,
            "|".join(jump.series),
            severity=settings.severity,
            label=_label(jump, settings),
            at=look.at,
            caught_up_at=look.caught_up_at,
            about={
                "payer": about[jump.series].payer_name,
                "payer_id": about[jump.series].payer_id,
                "category": jump.series.category,
                "amount": amounts[jump.series],
            },
        )
        for jump in jumps
    ]


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
