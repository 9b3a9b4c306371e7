"""DenialTriaged: a denial with its decision. triage tells the tracker; `explain --format json` prints it."""

from datetime import date
from decimal import Decimal
from typing import ClassVar, Literal, NamedTuple
from uuid import UUID

import msgspec

from shared.contracts.base import encode
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import (
    Action,
    Category,
    Clock,
    Contact,
    Decision,
    DecisionCause,
    DeniedItem,
    FollowUp,
    Route,
    ToldBefore,
    UrgencyClass,
)


class DenialTriaged(ClaimDenied, frozen=True, kw_only=True):
    """
    The claim's facts, and what triage concludes from them and the payer's policy.

    `amount_at_stake` is the sum of denied charges that the decision is about, per `amount_basis`.
    `priority` runs from 0 to 100, higher first. `fact_ids` are the people's facts that were weighed.
    """

    topic: ClassVar[str] = "claim-decisions"

    decision_id: UUID
    decision_revision: int
    as_of: date
    auth_related: bool
    category: Category
    route: Route | None = None
    items: tuple[DeniedItem, ...]
    amount_at_stake: Decimal
    amount_basis: str
    urgency_class: UrgencyClass
    urgency_evidence: tuple[str, ...] = ()
    responsible_party: Literal["provider", "patient", "payer", "unknown"]
    payer_match: str | None = None
    clocks: tuple[Clock, ...] = ()
    recommended_action: Action
    next_actions: tuple[str, ...] = ()
    next_action_codes: tuple[Action, ...] = ()
    documents: tuple[str, ...] = ()
    channel: str | None = None
    contacts: tuple[Contact, ...] = ()
    follow_up: FollowUp | None = None
    priority: int
    confidence: float
    needs_human: bool
    needs_human_reasons: tuple[str, ...] = ()
    explanation: tuple[str, ...] = ()
    fact_ids: tuple[UUID, ...] = ()
    cause: DecisionCause | None = None
    told_before: ToldBefore | None = None

    @property
    def message_id(self) -> UUID:
        return self.decision_id

    @property
    def message_revision(self) -> int:
        return self.decision_revision

    @classmethod
    def of(cls, event: ClaimDenied, decision: Decision) -> "DenialTriaged":
        """Join a denial and its decision into the event that the tracker reads."""
        return cls(**msgspec.structs.asdict(event), **msgspec.structs.asdict(decision))


class Triaged(NamedTuple):
    """A denial beside its decision: a DenialTriaged in two parts, for whoever only sends it."""

    event: ClaimDenied
    decision: Decision

    def as_json(self, told: bytes | None = None) -> bytes:
        """
        Write the DenialTriaged. Both parts put together cost half of joining ninety fields first.

        `told`: the event's JSON as it came. It goes on as it is, with fields that this release does not know.
        """
        event = told or encode(self.event)
        return b",".join((event[: event.rindex(b"}")], encode(self.decision)[1:]))
