"""Where a clock stands at a given instant. Never stored: it is derived whenever somebody looks."""

from datetime import datetime
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
    Read a clock. An undetermined one is planned for its earliest end.

    It is expired only when the last instant that it may have has passed.
    """
    if clock.permitted is False:
        return Reading("not_permitted", None)
    last = clock.deadline_at or clock.latest
    if last is not None and last < at:
        return Reading("expired", 0)
    planned = clock.deadline_at or clock.earliest or clock.latest
    left = None if planned is None else days_between(at, planned, zone=clock.zone)
    if clock.permitted is None or clock.deadline_at is None:
        return Reading("undetermined", left)
    return Reading("open", left)


def days_between(at: datetime, deadline_at: datetime, *, zone: str | None = None) -> int:
    """
    Count the days from `at` to a deadline as the zone's calendar has them; never below 0.

    Without the zone, whole days: the same number for a deadline at the end of its day, which most are.
    """
    if zone is None:
        return max(0, (deadline_at - at).days)
    there = ZoneInfo(zone)
    return max(0, (deadline_at.astimezone(there).date() - at.astimezone(there).date()).days)
