"""What the time left weighs in the priority: a slope towards each end, and down again once it may be past."""

from datetime import date

from services.triage.domain.clocks import may_have_closed
from services.triage.domain.next_clock import end_ahead
from shared.contracts.decision import Clock

_FULL = 40.0
_LEAST = 5.0
_FAR_DAYS = 60
_UNKNOWN = 15.0
NO_END = (_UNKNOWN, "no end known")
ALL_CLOSED = (0.0, "all has closed")


def time_weight(clock: Clock, as_of: date) -> tuple[float, str] | None:
    """
    Weigh the time left, 0 to 40, and say from which days; None where the clock is not open, or has no end.

    A clock weighs 40 on the day to act by, falling evenly to 5 sixty days before it. After the earliest end
    of a range each day makes it likelier that the window is shut: from 40 it falls evenly to 15 on the last
    day of the latest end, where it weighs what a way without a known end does. Nothing is known of the odds
    in between, so they are taken as even.
    """
    end = end_ahead(clock, as_of)
    if end is None:
        return None
    days = (end.date() - as_of).days
    if not may_have_closed(clock, as_of) or clock.latest is None:
        left = "1 day left" if days == 1 else f"{days} days left"
        return _FULL - (_FULL - _LEAST) * min(max(days, 0), _FAR_DAYS) / _FAR_DAYS, left
    whole, ahead = (clock.latest.date() - end.date()).days, (clock.latest.date() - as_of).days
    words = f"may have closed {-days} of {whole} days ago, act today"
    return _UNKNOWN + (_FULL - _UNKNOWN) * ahead / whole, words
