"""The decision on one denied claim."""

from collections.abc import Sequence
from datetime import date
from uuid import uuid5

from services.triage.domain.calendars import Calendar
from services.triage.domain.policies import Policies
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Decision
from shared.contracts.fact_recorded import FactRecorded


def decide(
    event: ClaimDenied,
    facts: Sequence[FactRecorded],
    *,
    policies: Policies,
    calendar: Calendar,
    as_of: date,
    decision_revision: int = 1,
) -> Decision:
    """Say what a denial means, what can still be done, and until when. Pure: same inputs, same bytes."""
    return Decision(
        decision_id=uuid5(event.event_id, f"{event.revision}:{decision_revision}"),
        decision_revision=decision_revision,
        as_of=as_of,
        auth_related=False,
        category="unclear",
        items=(),
        amount_at_stake=event.charge_amount,
        amount_basis="",
        urgency_class="unknown",
        responsible_party="unknown",
        recommended_action="review_by_hand",
        priority=0,
        confidence=0.0,
        needs_human=True,
    )
