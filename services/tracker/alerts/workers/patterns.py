"""Once a day of the organization: whether denials of a payer, category and service jumped."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.alerts import Alert
from services.tracker.alerts.domain.calendar import Calendar, start_of, today
from services.tracker.alerts.domain.patterns import first_day, jumps_on
from services.tracker.alerts.domain.rules import DenialJump, Rule
from services.tracker.alerts.store.alerts import mark
from services.tracker.alerts.store.history import counted_denials
from services.tracker.alerts.workers.looking import Look


def jumps_mark(rule: Rule) -> str:
    """Name the mark of when a version of a rule had its look."""
    return f"jumps of {rule.rule_id} version {rule.version}"


def jumps_due(seen_at: datetime | None, *, at: datetime, calendar: Calendar) -> bool:
    """Tell whether a rule has not had its look today."""
    return seen_at is None or seen_at < start_of(calendar, today(calendar, at))


async def look_for_jumps(connection: AsyncConnection, look: Look, rule: Rule) -> list[Alert]:
    """Give the jumps that stand today, and note that they were looked for."""
    assert isinstance(rule.settings, DenialJump)  # noqa: S101  the caller asks for this kind
    day = today(look.calendar, look.at)
    await mark(connection, look.organization_id, jumps_mark(rule), look.at)
    rows = await counted_denials(
        connection, look.organization_id, first_day=first_day(rule.settings, day), calendar=look.calendar
    )
    return jumps_on(day, rule, rows, at=look.at, caught_up_at=look.caught_up_at)
