"""What the tracker tells: case events to whoever listens, receipts to those who keep what they sent."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from services.tracker.domain.cases import Case
from services.tracker.domain.observations import Observation
from services.tracker.domain.states import LIVE_STATES
from shared.contracts.case_events import CaseChanged, CaseClosed, CaseEvent, CaseOpened
from shared.contracts.events_receipted import EventsReceipted, Producer, Receipt
from shared.values import derived, shard_of


def case_event(
    case: Case,
    before: Case | None,
    *,
    version: int,
    next_deadline_at: datetime | None,
    at: datetime,
    step: str | None = None,
) -> CaseEvent:
    """
    Announce a case as it stands, against what it was `before`. `step` names the step that moved it, if any.

    A case that is over when it is first seen is never announced as opened, so that nobody is alarmed.
    """
    return _kind(case, before)(
        organization_id=case.organization_id,
        case_event_id=derived(case.case_id, str(version)),
        case_id=case.case_id,
        version=version,
        occurred_at=at,
        state=case.state,
        category=case.category,
        auth_related=case.auth_related,
        amount_at_stake=case.amount_at_stake,
        is_test=case.is_test,
        payer=case.payer_name,
        next_deadline_at=next_deadline_at,
        closed_reason=case.closed_reason,
        changed=changed_fields(before, case) if before else (),
        step=step,
    )


def _kind(case: Case, before: Case | None) -> type[CaseEvent]:
    if case.state == "closed" and (before is None or before.state != "closed"):
        return CaseClosed
    return CaseOpened if before is None and case.state in LIVE_STATES else CaseChanged


def changed_fields(before: Case, after: Case) -> tuple[str, ...]:
    """Name the fields that moved."""
    return tuple(name for name in Case.__struct_fields__ if getattr(before, name) != getattr(after, name))


def receipts_for(decisions: Iterable[Observation], *, batch_id: UUID) -> list[EventsReceipted]:
    """
    Settle each decision with triage, and its event with ingest.

    One message per organization, producer and shard. Repeated decisions get their receipts again, since a
    receipt may have been lost with its broker.
    """
    groups: dict[tuple[UUID, int], list[Observation]] = defaultdict(list)
    for event in decisions:
        groups[event.organization_id, shard_of(event.claim_key)].append(event)
    receipts: list[EventsReceipted] = []
    for (organization_id, shard), events in groups.items():
        kept: dict[Producer, list[Receipt]] = {
            "ingest": [_settled(event.event_id, event.revision) for event in events],
            "triage": [_settled(event.decision_id, event.decision_revision) for event in events],
        }
        receipts += [
            EventsReceipted(
                organization_id=organization_id,
                batch_id=derived(batch_id, f"{organization_id}:{producer}:{shard}"),
                producer=producer,
                shard=shard,
                receipts=tuple(settled),
            )
            for producer, settled in kept.items()
        ]
    return receipts


def _settled(message_id: UUID, revision: int) -> Receipt:
    return Receipt(message_id=message_id, revision=revision, outcome="settled")
