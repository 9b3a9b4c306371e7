"""What the fold reads of a decision: one remittance's word on one claim. A narrow view of the contracts."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import Literal
from uuid import UUID

import msgspec

from shared.contracts.base import Event
from shared.contracts.claim import Party, SealedPerson
from shared.contracts.claim_outcome_seen import ClaimOutcomeSeen
from shared.contracts.decision import Action, Category, FollowUp, Route, UrgencyClass
from shared.contracts.denial_triaged import DenialTriaged

DecisionEvent = DenialTriaged | ClaimOutcomeSeen
ZERO = Decimal(0)


class Amount(msgspec.Struct, frozen=True, gc=False):
    """The amount of an adjustment, whatever its reason. Group PR is what the patient owes."""

    amount: Decimal
    group: str = ""


class DeniedAmount(msgspec.Struct, frozen=True, gc=False):
    """A denied adjustment and the line that it stands on; None is the whole claim."""

    amount: Decimal
    line_number: int | None = None


class Line(msgspec.Struct, frozen=True, gc=False):
    """A service line, as far as it takes to see that two remittances speak of the same service."""

    number: int
    charge_amount: Decimal = ZERO
    control_number: str | None = None
    code: str | None = None
    original_code: str | None = None
    revenue_code: str | None = None
    service_from: date | None = None
    adjustments: tuple[Amount, ...] = ()


class TimeLimit(msgspec.Struct, frozen=True, gc=False):
    """A clock of the decision; see shared.contracts.decision.Clock."""

    permitted: bool | None
    kind: str = ""
    zone: str = "UTC"
    deadline_at: datetime | None = None
    earliest: datetime | None = None
    latest: datetime | None = None


class Observation(Event, frozen=True, kw_only=True):
    """
    A DenialTriaged (`outcome` None) or a ClaimOutcomeSeen, with the fields that make a ledger row and a case.

    The names are those of the contracts, so a payload decodes straight into it, in half the time.
    """

    event_id: UUID
    revision: int
    decision_id: UUID
    decision_revision: int = 1
    claim_key: UUID
    received_on: date
    trace_number: str | None = None
    payer_trace_id: str | None = None
    payment_on: date | None = None
    is_test: bool = False
    position: int
    payer: Party
    payee: Party = Party()
    rendering_npi: str | None = None
    payer_date: date
    claim_number: str
    claim_status: str = "1"
    payer_claim_number: str | None = None
    charge_amount: Decimal
    paid_amount: Decimal
    patient: SealedPerson | None = None
    corrected_patient: SealedPerson | None = None
    service_from: date | None = None
    service_to: date | None = None
    adjustments: tuple[Amount, ...] = ()
    lines: tuple[Line, ...] = ()
    truncated: bool = False
    possible_duplicate_of: UUID | None = None

    outcome: Literal["reversed", "paid", "zero"] | None = None

    denied: tuple[DeniedAmount, ...] = ()
    auth_related: bool = False
    category: Category = "unclear"
    route: Route | None = None
    amount_at_stake: Decimal = ZERO
    urgency_class: UrgencyClass = "unknown"
    clocks: tuple[TimeLimit, ...] = ()
    recommended_action: Action = "review_by_hand"
    follow_up: FollowUp | None = None
    priority: int = 0
    confidence: float = 0.0
    needs_human: bool = False
    needs_human_reasons: tuple[str, ...] = ()
    fact_ids: tuple[UUID, ...] = ()

    @property
    def message_id(self) -> UUID:
        return self.decision_id

    @property
    def message_revision(self) -> int:
        return self.decision_revision

    @property
    def message_key(self) -> UUID:
        return self.claim_key

    @property
    def is_denial(self) -> bool:
        return self.outcome is None

    @property
    def remittance(self) -> tuple[str | None, str | None, date | None]:
        """
        Name the remittance by its payment, as the event's identity does.

        The id of the file's transaction set would depend on which of two copies arrived first.
        """
        return self.trace_number, self.payer_trace_id, self.payment_on

    @property
    def denied_amount(self) -> Decimal:
        return sum([one.amount for one in self.denied], ZERO)

    @property
    def accounted_amount(self) -> Decimal:
        """What was paid or explained by an ordinary adjustment: the whole charge, when it balances."""
        return self.paid_amount + sum((one.amount for one in self._adjusted()), ZERO)

    @property
    def patient_amount(self) -> Decimal:
        """What is left to the patient: the adjustments of group PR."""
        return sum((one.amount for one in self._adjusted() if one.group == "PR"), ZERO)

    @property
    def pays(self) -> bool:
        """Tell whether it is an adjudication after which payer or patient owe something."""
        return self.outcome == "paid" or (self.outcome == "zero" and self.patient_amount > 0)

    def _adjusted(self) -> Iterable[Amount]:
        return chain(self.adjustments, *(line.adjustments for line in self.lines))


class ObservedDenial(Observation, frozen=True, kw_only=True):
    """A DenialTriaged as it arrives: one that does not say these is refused."""

    decision_revision: int
    denied: tuple[DeniedAmount, ...]
    auth_related: bool
    category: Category
    amount_at_stake: Decimal
    urgency_class: UrgencyClass
    recommended_action: Action
    priority: int
    confidence: float
    needs_human: bool


class ObservedOutcome(Observation, frozen=True, kw_only=True):
    """A ClaimOutcomeSeen as it arrives: one without its outcome would be a denial."""

    outcome: Literal["reversed", "paid", "zero"]


VIEWS: Mapping[str, type[Event]] = {
    DenialTriaged.__name__: ObservedDenial,
    ClaimOutcomeSeen.__name__: ObservedOutcome,
}
"""What the recording worker reads records into."""

_decoder = msgspec.json.Decoder(Observation)


def read_observation(payload: bytes) -> Observation:
    """Read a stored decision; fields that the fold does not need are skipped, not parsed."""
    return _decoder.decode(payload)


def observe(event: DecisionEvent) -> Observation:
    """Take the fold's view of a decision that is in hand."""
    return msgspec.convert(event, Observation, from_attributes=True)


def in_order(observations: Iterable[Observation]) -> list[Observation]:
    """Keep the newest word on each event, and sort by payer date, then position: arrival does not count."""
    newest: dict[UUID, Observation] = {}
    for one in observations:
        known = newest.get(one.event_id)
        if known is None or _rank(one) > _rank(known):
            newest[one.event_id] = one
    return sorted(newest.values(), key=lambda one: (one.payer_date, one.position, one.event_id))


def _rank(one: Observation) -> tuple[int, int]:
    return one.revision, one.decision_revision
