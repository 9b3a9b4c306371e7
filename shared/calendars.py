"""
Business days: Monday to Friday without holidays.

Federal holidays count always, a state's where the policy names the state, and a payer's own days are added or
taken away in its policy. Observed days (a Friday for a Saturday holiday) are holidays too. Private payers
keep six of the federal holidays, and on the others many of them work.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import holidays
from msgspec import Struct

ONE_DAY = timedelta(days=1)
SATURDAY = 5
_KEPT_BY_ALL = (
    "New Year's Day",
    "Memorial Day",
    "Independence Day",
    "Labor Day",
    "Thanksgiving Day",
    "Christmas Day",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedDays:
    """
    Which days off a payer keeps. `states` are two-letter codes whose public holidays count as well.

    `usual_only`: of the federal holidays only those that every payer keeps. `closed` are further days off,
    `open` are holidays on which the payer works.
    """

    federal: bool = True
    usual_only: bool = False
    states: tuple[str, ...] = ()
    closed: frozenset[date] = frozenset()
    open: frozenset[date] = frozenset()


class Calendar(Struct, frozen=True, cache_hash=True):
    """Knows which days payers work. `closed` are days off at every payer, on top of the public ones."""

    closed: frozenset[date] = frozenset()

    def is_business_day(self, day: date, kept: ClosedDays) -> bool:
        return self.day_off(day, kept) is None

    def day_off(self, day: date, kept: ClosedDays) -> str | None:
        """Say in words why a payer does not work on a day; None: it works."""
        if day.weekday() >= SATURDAY:
            return "weekend"
        if day in self.closed:
            return "closed at every payer"
        if day in kept.closed:
            return "the payer's own day off"
        if day in kept.open:
            return None
        name = public_holidays(None, day.year).get(day) if kept.federal else None
        if name and not (kept.usual_only and not name.startswith(_KEPT_BY_ALL)):
            return name
        found = ((state, public_holidays(state, day.year).get(day)) for state in kept.states)
        return next((f"{name} in {state}" for state, name in found if name), None)

    def holidays_between(self, start: date, end: date, kept: ClosedDays) -> list[tuple[date, str]]:
        """List the weekdays off after `start` and before `end`, with their names."""
        days = (start + timedelta(days=n) for n in range(1, (end - start).days))
        found = ((day, self.day_off(day, kept)) for day in days if day.weekday() < SATURDAY)
        return [(day, name) for day, name in found if name]

    def next_business_day(self, day: date, kept: ClosedDays) -> date:
        """Give the day itself if it is a business day, else the next one."""
        while not self.is_business_day(day, kept):
            day += ONE_DAY
        return day

    def previous_business_day(self, day: date, kept: ClosedDays) -> date:
        """Give the day itself if it is a business day, else the one before."""
        while not self.is_business_day(day, kept):
            day -= ONE_DAY
        return day

    def add_business_days(self, day: date, count: int, kept: ClosedDays) -> date:
        """Give the business day `count` after a day that is not counted itself. Zero rolls forward."""
        if count == 0:
            return self.next_business_day(day, kept)
        for _ in range(count):
            day = self.next_business_day(day + ONE_DAY, kept)
        return day


@lru_cache(maxsize=2048)
def public_holidays(state: str | None, year: int) -> Mapping[date, str]:
    """Give a year's public holidays by day, of the country or of one state, with their observed days."""
    return dict(holidays.country_holidays("US", subdiv=state, years=year))


def state_is_known(state: str) -> bool:
    return state in holidays.list_supported_countries()["US"]
