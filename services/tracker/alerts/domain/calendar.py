"""
The working days and hours of an organization, in its own zone.

Payers' calendars are triage's: a deadline arrives here as an instant. These days say when people are at
work to act on it, and when they want to be told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

ONE_DAY = timedelta(days=1)
_DAYS_MAX = 400
"""How far anything here looks ahead: a calendar without a single working day ends there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """
    `weekdays` count from 0, Monday. `opens` and `closes` are times of the day in `zone`.

    `country` (ISO 3166, empty for none) and `subdivision` name the public holidays that are kept; `closed`
    are further days off, `open` holidays on which people work.
    """

    zone: str
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4)
    opens: time = time(8)
    closes: time = time(18)
    country: str = "US"
    subdivision: str | None = None
    closed: frozenset[date] = field(default=frozenset())
    open: frozenset[date] = field(default=frozenset())


def today(calendar: Calendar, at: datetime) -> date:
    """Give the day that `at` falls on for the organization."""
    return at.astimezone(_zone(calendar.zone)).date()


def start_of(calendar: Calendar, day: date, hour: time = time(0)) -> datetime:
    """Give the instant at which a day, or an hour of it, begins for the organization."""
    return datetime.combine(day, hour, _zone(calendar.zone))


def works_on(calendar: Calendar, day: date) -> bool:
    """Tell whether people work on a day."""
    if day in calendar.closed or day.weekday() not in calendar.weekdays:
        return False
    return day in calendar.open or day not in _holidays(calendar.country, calendar.subdivision, day.year)


def at_work(calendar: Calendar, at: datetime) -> bool:
    """Tell whether `at` lies within business hours."""
    local = at.astimezone(_zone(calendar.zone))
    return works_on(calendar, local.date()) and calendar.opens <= local.time() < calendar.closes


def next_opening(calendar: Calendar, at: datetime) -> datetime:
    """Give the first instant from `at` on at which people are at work; `at` itself while they are."""
    if at_work(calendar, at):
        return at
    for day in _days_from(today(calendar, at)):
        opens = start_of(calendar, day, calendar.opens)
        if opens >= at and works_on(calendar, day):
            return opens
    return at  # a calendar without a working day holds nothing back


@lru_cache(maxsize=4096)
def last_day_within(calendar: Calendar, day: date, business_days: int) -> date:
    """
    Give the last day that is at most so many business days after `day`.

    It is the day before the next working day that would be one too many: on a Friday, the Sunday is 0 away.
    """
    left = business_days
    for one in _days_from(day + ONE_DAY):
        if works_on(calendar, one):
            if left == 0:
                return one - ONE_DAY
            left -= 1
    return day + timedelta(days=_DAYS_MAX)


@lru_cache(maxsize=4096)
def business_days_after(calendar: Calendar, day: date, number: int) -> date:
    """Give the day that lies `number` working days after `day`; 0 is `day` itself."""
    left = number
    for one in _days_from(day + ONE_DAY):
        if left == 0:
            return one - ONE_DAY
        left -= works_on(calendar, one)
    return day + timedelta(days=_DAYS_MAX)


def _days_from(day: date) -> Iterator[date]:
    return (day + timedelta(days=number) for number in range(_DAYS_MAX))


@lru_cache(maxsize=256)
def _holidays(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    if not country:
        return frozenset()
    return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year))


_zone = lru_cache(maxsize=256)(ZoneInfo)
