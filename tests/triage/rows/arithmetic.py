"""
Dates worked out a second time, without the product: federal holidays by their rules, days one by one.

"2026-03-02 + 90 days", "2026-03-05 + 5 business days, closed 2026-03-09", "2026-03-07 + 1 business day, at 17:00",
"2026-01-31 + 1 month, to the month's end", "2026-01-05 + 180 days, rolled forward", "earliest of A; B",
"2026-03-06 20:00 America/New_York + 48 hours", "2026-03-02 + 30 days, counting the first".
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from dateutil.relativedelta import MO, TH, relativedelta

_SUM = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?: (?P<clock>\d\d:\d\d) (?P<zone>\w+/\w+))?"
    r"(?: \+ (?P<count>\d+) (?P<unit>hour|business day|day|month|year)s?)?$"
)
_FIXED = [(1, 1), (6, 19), (7, 4), (11, 11), (12, 25)]
_JUNETEENTH = (6, 19)  # a holiday since 2021
_MOVING = [
    relativedelta(month=1, day=1, weekday=MO(3)),  # Martin Luther King
    relativedelta(month=2, day=1, weekday=MO(3)),  # Washington
    relativedelta(month=5, day=31, weekday=MO(-1)),  # Memorial Day
    relativedelta(month=9, day=1, weekday=MO(1)),  # Labor Day
    relativedelta(month=10, day=1, weekday=MO(2)),  # Columbus
    relativedelta(month=11, day=1, weekday=TH(4)),  # Thanksgiving
]


def worked_out(text: str) -> date | datetime:
    """Give the end that the arithmetic leads to: a date, or a local instant. Raises ValueError."""
    if text.startswith("earliest of "):
        return min(
            (worked_out(part) for part in text.removeprefix("earliest of ").split("; ")), key=_sortable
        )
    total, *changes = text.split(", ")
    found = _SUM.match(total)
    if found is None:
        raise ValueError(f"no arithmetic: {text!r}")
    end: date | datetime = _added(found, changes)
    for change in changes:
        end = _changed(end, change, changes)
    return end


def federal_holidays(year: int) -> set[date]:
    """Days off of the federal government: Saturday's is kept on Friday, Sunday's on Monday."""
    fixed = {
        _observed(date(one, month, day))
        for one in (year, year + 1)
        for month, day in _FIXED
        if (month, day) != _JUNETEENTH or one >= 2021
    }
    return fixed | {date(year, 1, 1) + rule for rule in _MOVING}


def _observed(day: date) -> date:
    return day + {5: timedelta(-1), 6: timedelta(1)}.get(day.weekday(), timedelta())


@cache
def _holidays(year: int) -> frozenset[date]:
    return frozenset(federal_holidays(year))


def _works(day: date, changes: Iterable[str]) -> bool:
    if f"open {day}" in changes:
        return True
    return day.weekday() < 5 and day not in _holidays(day.year) and f"closed {day}" not in changes


def _added(found: re.Match[str], changes: list[str]) -> date | datetime:
    start, count, unit = date.fromisoformat(found["day"]), int(found["count"] or 0), found["unit"]
    if "counting the first" in changes:
        start -= timedelta(days=1)
    match unit:
        case "hour":
            local = datetime.fromisoformat(f"{found['day']} {found['clock']}").replace(
                tzinfo=ZoneInfo(found["zone"])
            )
            return (local.astimezone(UTC) + timedelta(hours=count)).astimezone(local.tzinfo)
        case "business day":
            for _ in range(count):
                start = _walk(start + timedelta(days=1), changes)
            return start
        case "month" | "year":
            return start + relativedelta(**{f"{unit}s": count})
    return start + timedelta(days=count)


def _walk(day: date, changes: Iterable[str], step: int = 1) -> date:
    while not _works(day, changes):
        day += timedelta(days=step)
    return day


def _changed(end: date | datetime, change: str, changes: list[str]) -> date | datetime:
    if change == "rolled forward":
        return _walk(end, changes)
    if change == "rolled back":
        return _walk(end, changes, -1)
    if change == "to the month's end":
        return end + relativedelta(day=31)
    if found := re.match(r"at (\d\d:\d\d) (\w+/\w+)$", change):
        return datetime.fromisoformat(f"{end} {found[1]}").replace(tzinfo=ZoneInfo(found[2]))
    if change != "counting the first" and not re.match(r"(closed|open) \d{4}-\d\d-\d\d$", change):
        raise ValueError(f"no step of arithmetic: {change!r}")
    return end


def _sortable(end: date | datetime) -> datetime:
    """A date is its last moment, wherever it is."""
    return end.replace(tzinfo=None) if isinstance(end, datetime) else datetime.combine(end, time.max)
