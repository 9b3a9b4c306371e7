"""Which clock to watch first. The row's date, its steps, the priority and the sums all mean this one."""

from collections.abc import Iterable
from datetime import date, datetime

from services.triage.domain.clocks import plan_for, state_of
from shared.contracts.decision import Clock


def end_ahead(clock: Clock, as_of: date) -> datetime | None:
    """
    Give the instant to act by while the clock is open; None where it is not, or states no last instant.

    Open: not forbidden, and the last instant that it may have is known and has not passed. A clock without a
    date is none whose money can be called safe. Where its earliest end has passed, the instant has too: it
    may have closed, so one acts today. The tracker's summary counts the same money.
    """
    if state_of(clock, as_of) in {"closed", "forbidden"}:
        return None
    end = plan_for(clock)
    passed = end is not None and end.date() < as_of
    return None if passed and clock.latest is None else end


def next_instant(clock: Clock, as_of: date) -> datetime | None:
    """Give the first end of an open clock that is not past: of a range that has begun to end, the latest."""
    end = end_ahead(clock, as_of)
    return clock.latest if end is not None and end.date() < as_of else end


def next_clock(clocks: Iterable[Clock], as_of: date) -> Clock | None:
    """Give the clock to watch: the open one to act by first, else one that may run without a date."""
    alive = [clock for clock in clocks if state_of(clock, as_of) not in {"closed", "forbidden"}]
    alive = [clock for clock in alive if begun(clock)]
    ends = [(end, index) for index, clock in enumerate(alive) if (end := end_ahead(clock, as_of)) is not None]
    if ends:
        return alive[min(ends)[1]]
    return alive[0] if alive else None


def begun(clock: Clock) -> bool:
    """Tell whether the clock may run: one that waits for the decision on an earlier level does not yet."""
    waits = "prior_decision_date" in clock.missing_facts
    return not waits or any(end is not None for end in (clock.deadline_at, clock.earliest, clock.latest))
