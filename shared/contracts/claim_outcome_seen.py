"""ClaimOutcomeSeen: a reversal or later adjudication of a claim once denied. triage tells the tracker."""

from typing import ClassVar, Literal
from uuid import UUID

import msgspec

from shared.contracts.claim import ClaimObserved
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_reversed import ClaimReversed


class ClaimOutcomeSeen(ClaimObserved, frozen=True, kw_only=True):
    """`outcome` reversed: money taken back; paid: payer paid something; zero: adjudicated, nothing paid."""

    topic: ClassVar[str] = "claim-decisions"

    decision_id: UUID
    decision_revision: int = 1
    outcome: Literal["reversed", "paid", "zero"]

    @property
    def message_id(self) -> UUID:
        return self.decision_id

    @property
    def message_revision(self) -> int:
        return self.decision_revision

    @classmethod
    def of(cls, event: ClaimReversed | ClaimAdjudicated, *, decision_id: UUID) -> "ClaimOutcomeSeen":
        """Pass an observation on, with what it means for the money."""
        outcome: Literal["reversed", "paid", "zero"]
        if isinstance(event, ClaimReversed):
            outcome = "reversed"
        else:
            outcome = "paid" if event.paid_amount > 0 else "zero"
        return cls(**msgspec.structs.asdict(event), decision_id=decision_id, outcome=outcome)
