"""FactRecorded: a person adds what the 835 cannot say. The tracker tells triage, which decides again."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from shared.contracts.base import Event
from shared.contracts.decision import FactKind


class FactRecorded(Event, frozen=True, kw_only=True):
    """
    `value` is text in the form of its kind: an ISO date or instant, or one of the words beside FactKind.

    `event_ids` are the denials of the case that the fact is about. A later fact of the same kind replaces
    an earlier one for those denials. Settled by the decision that lists its id.
    """

    topic: ClassVar[str] = "case-facts"

    fact_id: UUID
    claim_key: UUID
    case_id: UUID
    event_ids: tuple[UUID, ...]
    kind: FactKind
    value: str
    recorded_at: datetime
    recorded_by: UUID

    @property
    def message_id(self) -> UUID:
        return self.fact_id

    @property
    def message_key(self) -> UUID:
        return self.claim_key
