"""Which clock to watch first. The row's date, its steps, the priority and the sums all mean this one."""

from collections.abc import Iterable
from datetime import date, datetime

from services.triage.domain.clocks import plan_for, state_of
from shared.contracts.decision import Clock


def end_ahead(clock: Clock, as_of: date) -> datetime | None:
    """
    Give the instant to plan for while the clock is open; None where it is not, or states no end.

    Open: not forbidden, and the last instant that it may have is known and has not passed. A clock without a
    date is none whose money can be called safe. The tracker's summary counts the same.
    """
    if state_of(clock, as_of) in {"closed", "forbidden"}:
        return None
    end = plan_for(clock, as_of)
    return None if end is None or end.date() < as_of else end


def next_clock(clocks: Iterable[Clock], as_of: date) -> Clock | None:
    """Give the clock to watch: the open one to plan for first, else one that may run without a date."""
    alive = [clock for clock in clocks if state_of(clock, as_of) not in {"closed", "forbidden"}]
    alive = [clock for clock in alive if _begun(clock)]
    ends = [(end, index) for index, clock in enumerate(alive) if (end := end_ahead(clock, as_of)) is not None]
    if ends:
        return alive[min(ends)[1]]
    return alive[0] if alive else None


def _begun(clock: Clock) -> bool:
    """Tell whether the clock may run: one that waits for the decision on an earlier level does not yet."""
    waits = "prior_decision_date" in clock.missing_facts
    return not waits or any(end is not None for end in (clock.deadline_at, clock.earliest, clock.latest))
