"""What the tracker shows of a case. Amounts are US dollars, as strings; names and member ids are masked."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from services.tracker.domain.amounts import in_cents
from services.tracker.domain.clocks import ClockStatus, day_of, days_between, read_clock
from services.tracker.domain.files import AttachedFile
from services.tracker.domain.observations import DecisionEvent
from services.tracker.domain.states import ClosedReason, RequestState, State, StepKind
from services.tracker.domain.steps import RequestKind
from shared.contracts.claim_outcome_seen import ClaimOutcomeSeen
from shared.contracts.decision import Action, Category, Clock, DeniedItem, Route, UrgencyClass
from shared.contracts.denial_triaged import DenialTriaged

MASK = "•••"
Dollars = Annotated[Decimal, PlainSerializer(in_cents, return_type=str, when_used="json")]
"""An amount; in JSON a string with cents, and with more decimals only where there are more."""


class View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class PersonView(View):
    """A person. Masked unless `revealed`; null where the remittance names nothing."""

    name: str | None
    member_id: str | None
    revealed: bool = False


class CaseSummary(View):
    """
    A case as a list shows it.

    `next_deadline_at` is the first deadline that has not passed, `next_deadline_on` its day in the payer's
    `next_deadline_zone`, where `days_left` are counted (0 is today). All are null once no clock matters or
    all have passed. `merged_into` is the case that took this one's place. Once `purged_at` is set, what was
    said about the case is gone, claim numbers and service dates with it; ids and amounts are left.

    `may_have_closed`: a clock whose end is uncertain may have run out, act today. `follow_up_on` is the day
    to ask the payer again, `information_due_at` the end of the first of the payer's questions. What came back
    is told apart: `recovered_payer_amount` was paid, `recovered_patient_amount` is left to the patient.
    """

    case_id: UUID
    version: int
    state: State
    closed_reason: ClosedReason | None
    merged_into: UUID | None
    is_test: bool
    auth_related: bool
    category: Category
    route: Route | None
    recommended_action: Action
    payer_name: str | None
    payer_id: str | None
    claim_number: str
    payer_claim_number: str | None
    facility: str | None = Field(description="the payee's NPI, or its tax id")
    rendering_npi: str | None
    service_code: str | None = Field(description="of the line that denies most")
    further_service_codes: list[str] = Field(description="of the other denied lines")
    patient: PersonView
    service_from: date | None
    denied_on: date
    charge_amount: Dollars
    denied_amount: Dollars
    amount_at_stake: Dollars
    paid_amount: Dollars
    next_deadline_at: AwareDatetime | None
    next_deadline_on: date | None
    next_deadline_zone: str | None
    days_left: int | None
    may_have_closed: bool
    urgency_class: UrgencyClass
    priority: int = Field(description="0 to 100, higher first")
    confidence: float = Field(description="0 to 1")
    needs_human: bool
    needs_human_reasons: list[str]
    assignee_id: UUID | None
    tags: list[str]
    follow_up_on: date | None
    information_due_at: AwareDatetime | None
    recovered_payer_amount: Dollars
    recovered_patient_amount: Dollars
    opened_at: AwareDatetime
    updated_at: AwareDatetime
    closed_at: AwareDatetime | None
    purged_at: AwareDatetime | None


class CasePage(View):
    """A page of cases. `next_cursor` leads to the next one; it is null on the last."""

    data: list[CaseSummary]
    has_more: bool
    next_cursor: str | None


class ClockView(View):
    """
    A payer's time limit for one way of saving the claim, and where it stands now.

    `deadline_at` is the last instant that still counts; where an input is missing it is null, and `earliest`
    and `latest` bound it. `steps` let a person recompute the date by hand.
    """

    kind: str
    label: str
    status: ClockStatus
    days_left: int | None
    permitted: bool | None
    deadline_at: AwareDatetime | None
    earliest: AwareDatetime | None
    latest: AwareDatetime | None
    zone: str
    anchor: str | None
    anchor_date: date | None
    anchor_source: str | None
    steps: list[str]
    reasons: list[str]
    missing_facts: list[str]
    consequence: str | None
    policy_id: str
    policy_version: str
    policy_status: str


class ItemView(View):
    """One denied adjustment, classified."""

    line_number: int | None
    group: str
    reason: str
    amount: Dollars
    quantity: Decimal | None
    remarks: list[str]
    category: Category
    route: Route | None
    strength: str
    why: str
    dependent: bool


class ContactView(View):
    """How to reach the payer about something."""

    purpose: str
    where: str


class DecisionView(View):
    """What triage concluded, and the rules by which the dates can be recomputed."""

    decision_id: UUID
    decision_revision: int
    event_id: UUID
    event_revision: int
    as_of: date
    auth_related: bool
    category: Category
    route: Route | None
    recommended_action: Action
    next_actions: list[str]
    next_action_codes: list[Action] = Field(description="the words of `next_actions`, one for one")
    documents: list[str]
    channel: str | None
    contacts: list[ContactView]
    items: list[ItemView]
    clocks: list[ClockView]
    amount_at_stake: Dollars
    amount_basis: str
    urgency_class: UrgencyClass
    urgency_evidence: list[str]
    responsible_party: str
    payer_match: str | None
    priority: int
    confidence: float
    needs_human: bool
    needs_human_reasons: list[str]
    explanation: list[str]
    authorization_numbers: list[str]
    fact_ids: list[UUID]


class ObservationView(View):
    """What one remittance says of the claim. `saw` is denied, reversed, paid or zero."""

    event_id: UUID
    revision: int
    saw: Literal["denied", "reversed", "paid", "zero"]
    remittance_id: UUID
    receipt_id: UUID | None
    feed: str | None
    received_at: AwareDatetime
    payer_date: date
    payment_on: date | None
    trace_number: str | None
    position: int
    claim_status: str
    payer_claim_number: str | None
    charge_amount: Dollars
    paid_amount: Dollars
    denied_amount: Dollars
    possible_duplicate_of: UUID | None
    truncated: bool


class RequestView(View):
    """
    What was asked of the payer, as it stands. `level` is that of an appeal.

    `superseded`: the same was submitted again.
    """

    kind: RequestKind
    level: int = 1
    state: RequestState
    submitted_on: date | None = None
    channel: str | None = None
    reference: str | None = None
    information_due_at: AwareDatetime | None = None
    determined_on: date | None = None
    authorization_number: str | None = None
    valid_from: date | None = None
    valid_to: date | None = None
    superseded: bool = False


class DocumentView(View):
    """A paper of the decision's list, and the files that are it. What the remittance answers is there."""

    document: str
    state: Literal["on_the_remittance", "attached", "checked", "missing"]
    file_ids: list[UUID] = []


class CaseDetail(CaseSummary):
    """
    A case with its evidence and its work.

    `allowed_steps` are the steps that it takes now. `documents_complete` is the part of the leading
    decision's papers that is there, 0 to 1; null where it asks for none.

    `decision` is the leading one; `further_decisions` are those of the other parts of a split claim. The
    persons are opened with `reveal=true`, by roles that may, and each opening is written to the audit log.
    """

    allowed_steps: list[StepKind]
    requests: list[RequestView]
    documents: list[DocumentView]
    documents_complete: float | None
    decision: DecisionView | None
    further_decisions: list[DecisionView]
    observations: list[ObservationView]
    subscriber: PersonView | None
    corrected_patient: PersonView | None


def case_summary(row: Mapping[str, Any], *, at: datetime) -> dict[str, Any]:
    """Give the members of a CaseSummary for a row of tracker.cases."""
    return {**row, **derived_members(row, at=at)}


def derived_members(row: Mapping[str, Any], *, at: datetime) -> dict[str, Any]:
    """Give those members of a CaseSummary that are no column of tracker.cases, or not as they stand there."""
    deadline = row["next_deadline_at"]
    if deadline is not None and deadline <= at:
        deadline = min((one for one in row["deadlines"] if one > at), default=None)  # the sweep will come
    zone = dict(zip(row["deadlines"], row["deadline_zones"], strict=False)).get(deadline, "UTC")
    return {
        "next_deadline_at": deadline,
        "next_deadline_on": deadline and day_of(deadline, zone=zone),
        "next_deadline_zone": deadline and zone,
        "days_left": None if deadline is None else days_between(at, deadline, zone=zone),
        "may_have_closed": bool(row["unsure_from"] and row["unsure_from"] <= at < row["unsure_until"]),
        "patient": _masked(bool(row["patient_name_index"]), bool(row["member_id_index"])),
    }


@cache
def _masked(has_name: bool, has_member_id: bool) -> dict[str, Any]:  # noqa: FBT001
    return PersonView(name=MASK if has_name else None, member_id=MASK if has_member_id else None).model_dump()


ON_THE_REMITTANCE = "From the remittance"


def document_views(
    decision: DenialTriaged | None, checked: Collection[str], files: Iterable[AttachedFile] = ()
) -> list[DocumentView]:
    """
    List the papers of a decision, and those that somebody checked though it does not ask for them.

    `checked` are papers that are there, by word or by file.
    """
    asked = decision.documents if decision else ()
    attached: dict[str, list[UUID]] = {}
    for file in files:
        for document in file.documents:
            attached.setdefault(document, []).append(file.file_id)
    return [
        DocumentView(
            document=one,
            state="on_the_remittance"
            if one.startswith(ON_THE_REMITTANCE)
            else "attached"
            if one in attached
            else "checked"
            if one in checked
            else "missing",
            file_ids=attached.get(one, []),
        )
        for one in dict.fromkeys((*asked, *checked))
    ]


def completeness(documents: Sequence[DocumentView]) -> float | None:
    """Give the part of the papers that is there."""
    if not documents:
        return None
    return round(sum(one.state != "missing" for one in documents) / len(documents), 2)


def clock_view(clock: Clock, *, at: datetime) -> ClockView:
    reading = read_clock(clock, at)
    members = {name: getattr(clock, name) for name in Clock.__struct_fields__}
    return ClockView(**members, status=reading.status, days_left=reading.days_left)


def decision_view(event: DenialTriaged, *, at: datetime) -> DecisionView:
    members = {name: getattr(event, name) for name in DecisionView.model_fields if hasattr(event, name)}
    numbers = [
        *event.authorization_numbers,
        *(one for line in event.lines for one in line.authorization_numbers),
    ]
    return DecisionView.model_validate(
        {
            **members,
            "event_revision": event.revision,
            "items": [_item_view(item) for item in event.items],
            "clocks": [clock_view(clock, at=at) for clock in event.clocks],
            "authorization_numbers": list(dict.fromkeys(one.value for one in numbers)),
        }
    )


def _item_view(item: DeniedItem) -> ItemView:
    return ItemView.model_validate(item)


def observation_view(event: DecisionEvent) -> ObservationView:
    members = {name: getattr(event, name) for name in ObservationView.model_fields if hasattr(event, name)}
    return ObservationView(
        **members,
        saw=event.outcome if isinstance(event, ClaimOutcomeSeen) else "denied",
        denied_amount=Decimal(0)
        if isinstance(event, ClaimOutcomeSeen)
        else sum((one.amount for one in event.denied), Decimal(0)),
    )
