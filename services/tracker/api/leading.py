"""The decision that leads a case, of all that its remittances brought."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.api.views import document_views
from services.tracker.domain.observations import DecisionEvent
from services.tracker.store.ledger import decisions_of
from shared.contracts.denial_triaged import DenialTriaged


def lead_of(row: Mapping[str, Any], decisions: Sequence[DecisionEvent]) -> DenialTriaged | None:
    """Find the decision that a row of tracker.cases names; None once it was purged."""
    wanted = row["current_event_id"], row["current_revision"], row["current_decision_revision"]
    for event in decisions:
        if isinstance(event, DenialTriaged) and version_of_event(event) == wanted:
            return event
    return None


def version_of_event(one: Any) -> tuple[UUID, int, int]:
    return one.event_id, one.revision, one.decision_revision


async def checklist_of(connection: AsyncConnection, row: Mapping[str, Any]) -> list[str]:
    """Name the papers of a case's list, for a row of tracker.cases."""
    found = await decisions_of(connection, row["organization_id"], row["event_ids"])
    lead = lead_of(row, [one.event for one in found])
    return [one.document for one in document_views(lead, row["documents_checked"])]
