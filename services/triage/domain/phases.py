"""
A clock on a day, in two parts: its phase, which advice hangs on, and what needs its dates.

Claims of one file have many days and few phases: what to do is thought over once for each, and said with the
dates of a claim's own clocks.
"""

from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from services.triage.domain.clocks import RunningClock, State, may_have_closed, plan_for, state_of
from services.triage.domain.next_clock import begun, end_ahead
from services.triage.domain.policy import ClockRule
from services.triage.domain.policy_file import Review
from services.triage.domain.time_weight import time_weight
from shared.contracts.decision import Clock, ClockKind, FactKind

SHUT: frozenset[State] = frozenset(("closed", "forbidden"))


class Phase(Struct, frozen=True, kw_only=True, cache_hash=True):
    """
    What advice hangs on about a clock on a day, without its dates.

    `waits`: it opens only with the decision on an earlier level. `settled`: its end is one instant.
    `says_by`: the words about its end begin with "by".
    """

    rule: ClockRule | None
    review: Review | None
    exempt: str | None
    kind: ClockKind
    permitted: bool | None
    label: str
    reasons: tuple[str, ...]
    missing_facts: tuple[FactKind, ...]
    state: State
    waits: bool
    settled: bool
    says_by: bool


class ClockOnDay(NamedTuple):
    """
    A clock's phase, and what its dates add.

    `when` says until when, or nothing where the clock states no end; `shut` that it closed, or is forbidden.
    `ahead`: the instant to act by, and `weight`: what the time left weighs, while it is open.
    """

    phase: Phase
    when: str
    shut: str | None
    ahead: datetime | None
    weight: tuple[float, str] | None


# Clocks are shared by denials with the same days: what is to be said about one is made once.
@lru_cache(maxsize=8192)
def on_day(running: RunningClock, as_of: date) -> ClockOnDay:
    """Look at a clock on a day."""
    clock, rule = running.clock, running.rule
    state, when = state_of(clock, as_of), _by_when(clock, as_of)
    waits = rule is not None and rule.entry.after is not None and not _has_begun(clock)
    phase = Phase(
        rule=rule,
        review=running.review,
        exempt=running.exempt,
        kind=clock.kind,
        permitted=clock.permitted,
        label=clock.label,
        reasons=clock.reasons,
        missing_facts=clock.missing_facts,
        state=state,
        waits=waits,
        settled=clock.deadline_at is not None,
        says_by=when.startswith(" by"),
    )
    return ClockOnDay(
        phase=phase,
        when=when,
        shut=_shut(clock, state) if state in SHUT else None,
        ahead=end_ahead(clock, as_of) if begun(clock) and not waits else None,
        weight=None if waits else time_weight(clock, as_of),
    )


def _has_begun(clock: Clock) -> bool:
    return clock.anchor_date is not None or clock.earliest is not None or clock.latest is not None


def _by_when(clock: Clock, as_of: date) -> str:
    instant = plan_for(clock)
    if instant is None:
        return ""
    if clock.deadline_at is not None:
        return f" by {instant:%Y-%m-%d %H:%M} {clock.zone}"
    if clock.earliest is None:
        return f" by {instant:%Y-%m-%d}, at the latest"
    latest = "" if clock.latest is None else f"; by the latest it ends on {clock.latest:%Y-%m-%d}"
    if may_have_closed(clock, as_of):
        return f", act today: by the earliest reading it closed on {instant:%Y-%m-%d}{latest}"
    return f" by {instant:%Y-%m-%d}, at the earliest reading{latest}"


def _shut(clock: Clock, state: State) -> str:
    if state == "forbidden":
        return f"Not permitted ({clock.policy_id}): {clock.label}; {'; '.join(clock.reasons)}"
    end = clock.deadline_at or clock.latest
    # Where the rule itself is unknown nothing closed for certain.
    closed = "Closed" if clock.permitted else "If it applied, closed"
    return f"{closed} on {end:%Y-%m-%d} ({clock.policy_id}): {clock.label}"
