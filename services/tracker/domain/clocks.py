"""Where a clock stands at a given instant. Never stored: it is derived whenever somebody looks."""

from datetime import date, datetime
from functools import lru_cache
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from shared.contracts.decision import Clock

ClockStatus = Literal["open", "expired", "undetermined", "not_permitted"]


class Reading(NamedTuple):
    """`days_left` counts calendar days in the payer's zone; 0 is today, None has no end in sight."""

    status: ClockStatus
    days_left: int | None


def read_clock(clock: Clock, at: datetime) -> Reading:
    """
    Read a clock. An undetermined one is planned for the first of its bounds that is still ahead.

    It is expired only when the last instant that it may have has passed.
    """
    if clock.permitted is False:
        return Reading("not_permitted", None)
    last = clock.deadline_at or clock.latest
    if last is not None and last < at:
        return Reading("expired", 0)
    ends = (clock.deadline_at, clock.earliest, clock.latest)
    planned = min((end for end in ends if end is not None and end >= at), default=None)
    left = None if planned is None else days_between(at, planned, zone=clock.zone)
    if clock.permitted is None or clock.deadline_at is None:
        return Reading("undetermined", left)
    return Reading("open", left)


@lru_cache(maxsize=1024)  # of a page of cases it is asked again and again for the present instant
def day_of(deadline_at: datetime, *, zone: str) -> date:
    """Give the day on which a deadline falls where the payer is."""
    return deadline_at.astimezone(ZoneInfo(zone)).date()


def days_between(at: datetime, deadline_at: datetime, *, zone: str) -> int:
    """Count the days from `at` to a deadline as the zone's calendar has them; never below 0."""
    return max(0, (day_of(deadline_at, zone=zone) - day_of(at, zone=zone)).days)
