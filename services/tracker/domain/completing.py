"""What a step leaves out and the decision knows: the payer's zone, and the day on which to ask next."""

from datetime import date, timedelta

from services.tracker.domain.cases import Case
from services.tracker.domain.lifecycle import Standing
from services.tracker.domain.states import State
from services.tracker.domain.steps import (
    CorrectedClaimSent,
    FollowUpDone,
    InformationRequested,
    InformationSent,
    Step,
    Submit,
)

FOLLOW_UP_DAYS = 14
"""Calendar days until somebody asks, where the payer's policy names no interval."""
PAYMENT_DAYS = 30
"""Calendar days in which a corrected claim should have come back on a remittance."""
_SATURDAY = 5
_WAITING: frozenset[State] = frozenset({"submitted", "information_requested", "corrected_claim_sent"})


def completed(step: Step, case: Case, standing: Standing) -> Step:
    """Fill in what the person left out. `case` is the case before the step."""
    match step:
        case Submit(follow_up_on=None) | InformationSent(follow_up_on=None):
            return step.model_copy(update={"follow_up_on": _ask_on(step.on, FOLLOW_UP_DAYS)})
        case CorrectedClaimSent(follow_up_on=None):
            return step.model_copy(update={"follow_up_on": _ask_on(step.on, PAYMENT_DAYS)})
        case FollowUpDone(next_on=None) if case.state in _WAITING:
            return step.model_copy(update={"next_on": _ask_on(step.on, FOLLOW_UP_DAYS)})
        case InformationRequested(zone=None):
            return step.model_copy(update={"zone": _zone(standing)})
    return step


def _zone(standing: Standing) -> str:
    return next((clock.zone for one in standing.denials for clock in one.clocks), "UTC")


def _ask_on(start: date, days: int) -> date:
    day = start + timedelta(days=days)
    while day.weekday() >= _SATURDAY:
        day += timedelta(days=1)
    return day
