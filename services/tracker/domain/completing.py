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
from shared.calendars import Calendar, ClosedDays
from shared.contracts.decision import FollowUp

FOLLOW_UP_DAYS = 14
"""Calendar days until somebody asks, where the payer's policy names no interval."""
PAYMENT_DAYS = 30
"""Calendar days in which a corrected claim should have come back on a remittance."""
_WAITING: frozenset[State] = frozenset({"submitted", "information_requested", "corrected_claim_sent"})
_CALENDAR = Calendar()


def completed(step: Step, case: Case, standing: Standing) -> Step:
    """Fill in what the person left out. `case` is the case before the step."""
    told = next((one.follow_up for one in standing.denials if one.follow_up), None)
    interval = told.days if told else FOLLOW_UP_DAYS
    match step:
        case Submit(follow_up_on=None) | InformationSent(follow_up_on=None):
            return step.model_copy(update={"follow_up_on": ask_on(step.on, interval, told)})
        case CorrectedClaimSent(follow_up_on=None):
            return step.model_copy(update={"follow_up_on": ask_on(step.on, PAYMENT_DAYS, told)})
        case FollowUpDone(next_on=None) if case.state in _WAITING or any(
            one.state in _WAITING and not one.superseded for one in case.requests
        ):
            return step.model_copy(update={"next_on": ask_on(step.on, interval, told)})
        case InformationRequested(zone=None):
            return step.model_copy(update={"zone": _zone(standing)})
    return step


def ask_on(start: date, days: int, told: FollowUp | None) -> date:
    """Give the day so many days later, or the next one on which the payer works; never the day itself."""
    kept = (
        ClosedDays(
            usual_only=told.usual_only,
            states=told.states,
            closed=frozenset(told.closed),
            open=frozenset(told.open),
        )
        if told
        else ClosedDays()
    )
    return _CALENDAR.next_business_day(start + timedelta(days=max(days, 1)), kept)


def _zone(standing: Standing) -> str:
    return next((clock.zone for one in standing.denials for clock in one.clocks), "UTC")
