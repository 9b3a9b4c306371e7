"""
The arithmetic of one time limit: from the day it starts to the last instant that still counts.

The start day is day zero unless the policy counts it: 30 calendar days from 1 March end on 31 March. A limit
in days ends with the last second of its last day in the payer's zone, or at the payer's cut-off hour. Hours
are hours that really pass, so a change of the clock does not stretch or shrink them.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from shared.calendars import Calendar, ClosedDays

Unit = Literal["hours", "calendar_days", "business_days", "months", "years", "end_of_next_month"]
Roll = Literal["none", "next_business_day", "previous_business_day"]
CountFrom = Literal["day_after", "same_day"]

END_OF_DAY = time(23, 59, 59)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A length of time as a payer states it. `cut_off` is the local hour at which the last day ends."""

    amount: int
    unit: Unit
    roll: Roll = "none"
    count_from: CountFrom = "day_after"
    cut_off: time | None = None

    def words(self) -> str:
        if self.unit == "end_of_next_month":
            return "to the end of the next month"
        unit = self.unit.replace("_", " ")
        return f"{self.amount} {unit if self.amount != 1 else unit.removesuffix('s')}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """
    A span, and what applies instead when it starts on a day off.

    `off_day` replaces `span` if the start is no business day. `perhaps`: the same with the days off that the
    payer may keep instead, where its policy does not say. Compared by identity, so that asking for the same
    end again costs a look into a table; window_of() gives policies that count alike the same one.
    """

    span: Span
    zone: str
    kept: ClosedDays
    off_day: Span | None = None
    perhaps: "Window | None" = None


@lru_cache(maxsize=8192)
def window_of(
    span: Span, zone: str, kept: ClosedDays, off_day: Span | None = None, perhaps: Window | None = None
) -> Window:
    """Make each window once."""
    return Window(span=span, zone=zone, kept=kept, off_day=off_day, perhaps=perhaps)


@dataclass(frozen=True, slots=True)
class End:
    """
    The last instant that counts, with its UTC offset, and the steps to recompute it by hand.

    `why`: of another reading than the payer's zone and the federal holidays, and why there is one.
    """

    at: datetime
    steps: tuple[str, ...]
    why: str | None = None


def ends_of(window: Window, start: date | datetime, calendar: Calendar) -> tuple[End, ...]:
    """
    Compute when a window closes in each reading that its policy leaves open, the plain one first.

    An instant has its day where the facility is, which is not known: it is read in the payer's zone and at
    the offset that it was recorded with.
    """
    place, why = _place(window, start)
    found = [end_of(window, start, calendar)]
    if place is not None:
        found.append(_another(end_of(window, start, calendar, place), why))
    if window.perhaps is not None:
        found.append(_another(end_of(window.perhaps, start, calendar), _HOLIDAYS_UNSAID))
        if place is not None:
            found.append(
                _another(end_of(window.perhaps, start, calendar, place), f"{why}; {_HOLIDAYS_UNSAID}")
            )
    return tuple(found)


_HOLIDAYS_UNSAID = "the policy does not say whether the payer works on this holiday: here it does"
_WESTERNMOST = ZoneInfo("Pacific/Honolulu")


def _place(window: Window, start: date | datetime) -> tuple[tzinfo | None, str]:
    """Give where else the day of an instant may be read, and why; None where that changes nothing."""
    offset = start.utcoffset() if isinstance(start, datetime) else None
    if offset is None or not isinstance(start, datetime):
        return None, ""
    place = _WESTERNMOST if not offset else _fixed(offset)
    day, own = start.astimezone(ZoneInfo(window.zone)).date(), start.astimezone(place).date()
    if day == own:
        return None, ""
    where = "by Hawaii's clock, since UTC is no facility's" if not offset else f"UTC{start:%z}, as recorded"
    return place, f"the facility's zone is unknown, and {_day(day)} may be {_day(own)} there ({where})"


def _another(end: End, why: str) -> End:
    return End(end.at, (why, *end.steps), why)


@lru_cache(maxsize=65_536)
def end_of(window: Window, start: date | datetime, calendar: Calendar, place: tzinfo | None = None) -> End:
    """
    Compute when a window closes. `start` is a local day, or an instant for limits in hours.

    An hour limit that starts with a day only is counted from that day's first minute: the earliest reading.
    `place`: where the day of an instant is read; without it in the payer's zone.
    """
    zone = ZoneInfo(window.zone)
    moment = start.astimezone(place or zone) if isinstance(start, datetime) and start.tzinfo else start
    day = moment.date() if isinstance(moment, datetime) else moment
    span, steps = window.span, []
    if window.off_day is not None and not calendar.is_business_day(day, window.kept):
        span = window.off_day
        why = calendar.day_off(day, window.kept)
        steps.append(f"{_day(day)} is no business day ({why}): {span.words()} instead")
    if span.unit == "hours":
        return _after_hours(span, moment, zone, steps)
    last = _last_day(span, day, window.kept, calendar)
    skipped = _skipped(span, day, last, window.kept, calendar=calendar)
    steps.append(f"{_day(day)} plus {span.words()}{_counted(span)} is {_day(last)}{skipped}")
    rolled = _rolled(last, span.roll, window.kept, calendar)
    if rolled != last:
        way = "next" if rolled > last else "previous"
        why = calendar.day_off(last, window.kept)
        steps.append(f"{_day(last)} is no business day ({why}): the {way} one is {_day(rolled)}")
    at = datetime.combine(rolled, span.cut_off or END_OF_DAY, zone)
    steps.append(f"it ends at {_clock(at)} {window.zone}")
    return End(_with_offset(at), tuple(steps))


def _after_hours(span: Span, start: date | datetime, zone: ZoneInfo, steps: list[str]) -> End:
    moment = start if isinstance(start, datetime) else datetime.combine(start, time.min)
    local = moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone)
    at = (local.astimezone(UTC) + timedelta(hours=span.amount)).astimezone(zone)
    begin, finish = f"{_day(local.date())} {_clock(local)}", f"{_day(at.date())} {_clock(at)}"
    steps.append(f"{begin} plus {span.words()} is {finish} {zone.key}")
    return End(_with_offset(at), tuple(steps))


def _last_day(span: Span, start: date, kept: ClosedDays, calendar: Calendar) -> date:
    counted = span.amount - (span.count_from == "same_day")
    match span.unit:
        case "calendar_days":
            return start + timedelta(days=counted)
        case "business_days":
            if span.count_from == "same_day":
                return calendar.add_business_days(calendar.next_business_day(start, kept), counted, kept)
            return calendar.add_business_days(start, counted, kept)
        case "months" | "years":
            months = span.amount if span.unit == "months" else 12 * span.amount
            return add_months(start, months) - timedelta(days=span.count_from == "same_day")
        case "end_of_next_month":
            following = add_months(start.replace(day=1), 1)
            return following.replace(day=monthrange(following.year, following.month)[1])
        case "hours":
            raise AssertionError("hours are counted from an instant")


def add_months(day: date, months: int) -> date:
    """Give the same day of a later month, or that month's last day: 31 January plus one is 28 February."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _rolled(day: date, roll: Roll, kept: ClosedDays, calendar: Calendar) -> date:
    if roll == "next_business_day":
        return calendar.next_business_day(day, kept)
    if roll == "previous_business_day":
        return calendar.previous_business_day(day, kept)
    return day


def _counted(span: Span) -> str:
    if span.unit == "end_of_next_month" or (
        span.unit in {"months", "years"} and span.count_from != "same_day"
    ):
        return ""
    return " (the first day counts)" if span.count_from == "same_day" else " (the first day is day zero)"


def _skipped(span: Span, start: date, last: date, kept: ClosedDays, *, calendar: Calendar) -> str:
    """Name the holidays that a count of business days passed over: nobody knows all of them by heart."""
    if span.unit != "business_days":
        return ""
    found = calendar.holidays_between(start, last, kept)
    return f", not counting {', '.join(f'{_day(day)} {name}' for day, name in found)}" if found else ""


def _with_offset(at: datetime) -> datetime:
    """Fix the zone to its offset at that instant, as JSON carries it."""
    offset = at.utcoffset()
    return at if offset is None else at.replace(tzinfo=_fixed(offset))


@lru_cache(maxsize=64)
def _fixed(offset: timedelta) -> timezone:
    return timezone(offset)


def _day(day: date) -> str:
    return f"{day.isoformat()} ({day:%a})"


def _clock(at: datetime) -> str:
    return f"{at:%H:%M}" if at.second == 0 else f"{at:%H:%M:%S}"
