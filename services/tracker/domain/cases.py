"""A case: one denied claim and where it stands. Its fields are what the fold decides in tracker.cases."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from services.tracker.domain.grouping import Claim
from services.tracker.domain.lifecycle import Standing, concerns_us
from services.tracker.domain.observations import ZERO, Line, Observation, TimeLimit
from services.tracker.domain.requests import Request
from services.tracker.domain.states import LIVE_STATES, ClosedReason, State
from services.tracker.domain.work import Work
from shared.contracts.claim import Party
from shared.contracts.decision import Action, Category, Route, UrgencyClass
from shared.values import derived

UNCERTAIN = "a remittance leaves out what would tell which claim it speaks of"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """
    Amounts in US dollars. `deadlines` are instants in order, both bounds of a clock whose end is uncertain,
    empty once no clock matters; `deadline_zones` are the payers' zones, one for each. `current_*` name the
    leading decision. `merged_into` is the case that this one turned out to be a part of. `facility` is the
    payee's NPI, or its tax id; `service_code` that of the line that denies most, `further_service_codes`
    those of the other denied lines. Between `unsure_from` and `unsure_until` a clock whose end is uncertain
    may have run out.

    What stands behind `steps_count` is there because people worked on it, or money came: WORK_FIELDS.
    """

    organization_id: UUID
    case_id: UUID
    claim_key: UUID
    ordinal: int
    state: State
    closed_reason: ClosedReason | None
    merged_into: UUID | None = None
    is_test: bool
    event_ids: tuple[UUID, ...]
    current_event_id: UUID
    current_revision: int
    current_decision_revision: int
    auth_related: bool
    category: Category
    route: Route | None
    recommended_action: Action
    payer_name: str | None
    payer_id: str | None
    claim_number: str
    payer_claim_number: str | None
    facility: str | None = None
    rendering_npi: str | None = None
    service_code: str | None = None
    further_service_codes: tuple[str, ...] = ()
    patient_name_index: str | None
    member_id_index: str | None
    service_from: date | None
    denied_on: date
    charge_amount: Decimal
    denied_amount: Decimal
    amount_at_stake: Decimal
    paid_amount: Decimal
    deadlines: tuple[datetime, ...]
    deadline_zones: tuple[str, ...]
    unsure_from: datetime | None = None
    unsure_until: datetime | None = None
    urgency_class: UrgencyClass
    priority: int
    confidence: float
    needs_human: bool
    needs_human_reasons: tuple[str, ...]
    steps_count: int = 0
    requests: tuple[Request, ...] = ()
    assignee_id: UUID | None = None
    tags: tuple[str, ...] = ()
    documents_checked: tuple[str, ...] = ()
    follow_up_on: date | None = None
    information_due_at: datetime | None = None
    recovered_payer_amount: Decimal = ZERO
    recovered_patient_amount: Decimal = ZERO

    def __repr__(self) -> str:
        return f"<Case {self.case_id} {self.state}>"


WORK_FIELDS: tuple[str, ...] = Case.__struct_fields__[Case.__struct_fields__.index("steps_count") :]
"""Fields that a denial alone leaves at their defaults: most cases never write them."""


def case_id_of(organization_id: UUID, claim_key: UUID, ordinal: int) -> UUID:
    """Derive a case's id, so that folding the same claim key anew gives the same case."""
    return derived(organization_id, f"{claim_key}:{ordinal}")


def next_deadline(case: Case, at: datetime) -> datetime | None:
    """Give the first deadline that has not passed at an instant."""
    return next((deadline for deadline in case.deadlines if deadline > at), None)


def make_case(claim: Claim, standing: Standing, work: Work, *, ordinal: int) -> Case:
    """Describe a denied claim by its leading decision, sums over all parts of the denial, and work."""
    parts = standing.denials
    asked = work.state in LIVE_STATES or work.closed_reason == "not_our_denial"
    doubted = asked and any(one.needs_human for one in parts)
    reasons = {reason for one in parts for reason in one.needs_human_reasons} if asked else set()
    seen = {*standing.reasons, *work.reasons} if asked or work.state != "closed" else set()
    reasons |= seen
    if claim.uncertain:
        reasons.add(UNCERTAIN)
    recovered = work.closed_reason == "recovered"
    return _case(
        parts,
        ordinal=ordinal,
        state=work.state,
        closed_reason=work.closed_reason,
        event_ids=tuple(one.event_id for one in claim.members),
        service_from=min((one.service_from for one in parts if one.service_from), default=None),
        charge_amount=sum((one.charge_amount for one in parts), ZERO),
        denied_amount=sum((one.denied_amount for one in parts), ZERO),
        amount_at_stake=sum((one.amount_at_stake for one in parts), ZERO),
        paid_amount=standing.paid_amount,
        clocks=[clock for one in parts for clock in one.clocks if (one.event_id, clock.kind) not in work.met],
        priority=max(one.priority for one in parts),
        confidence=min(one.confidence for one in parts),
        needs_human=doubted or claim.uncertain or bool(seen),
        needs_human_reasons=reasons,
        steps_count=work.steps_count,
        requests=work.requests,
        assignee_id=work.assignee_id,
        tags=work.tags,
        documents_checked=work.documents_checked,
        follow_up_on=work.follow_up_on,
        information_due_at=work.information_due_at,
        recovered_payer_amount=standing.paid_amount if recovered else ZERO,
        recovered_patient_amount=standing.patient_amount if recovered else ZERO,
    )


def first_case(denial: Observation) -> Case:
    """
    Describe a denial that is all we know of its claim key: the fold of it alone, without the way there.

    Most denials are, so this has to be fast; a test holds it equal to the fold.
    """
    ours = concerns_us(denial)
    return _case(
        (denial,),
        ordinal=0,
        state="open" if ours else "closed",
        closed_reason=None if ours else "not_our_denial",
        event_ids=(denial.event_id,),
        service_from=denial.service_from,
        charge_amount=ZERO + denial.charge_amount,
        denied_amount=denial.denied_amount,
        amount_at_stake=ZERO + denial.amount_at_stake,
        paid_amount=ZERO,
        clocks=denial.clocks,
        priority=denial.priority,
        confidence=denial.confidence,
        needs_human=denial.needs_human,
        needs_human_reasons=denial.needs_human_reasons,
    )


def _case(
    denials: Sequence[Observation],
    *,
    ordinal: int,
    state: State,
    clocks: Sequence[TimeLimit],
    needs_human_reasons: Iterable[str],
    **sums: Any,
) -> Case:
    """Fill in what the leading decision says; deadlines stay only where a clock still matters."""
    lead = denials[0]
    patient = lead.patient
    codes = _service_codes(denials)
    heeded = clocks if state in LIVE_STATES else ()
    deadlines = _deadlines(heeded)
    unsure_from, unsure_until = _unsure(heeded)
    return Case(
        organization_id=lead.organization_id,
        case_id=case_id_of(lead.organization_id, lead.claim_key, ordinal),
        claim_key=lead.claim_key,
        ordinal=ordinal,
        state=state,
        is_test=lead.is_test,
        current_event_id=lead.event_id,
        current_revision=lead.revision,
        current_decision_revision=lead.decision_revision,
        auth_related=lead.auth_related,
        category=lead.category,
        route=lead.route,
        recommended_action=lead.recommended_action,
        payer_name=lead.payer.name,
        payer_id=_payer_id(lead.payer),
        claim_number=lead.claim_number,
        payer_claim_number=lead.payer_claim_number,
        facility=_facility(lead.payee),
        rendering_npi=lead.rendering_npi,
        service_code=codes[0] if codes else None,
        further_service_codes=codes[1:],
        patient_name_index=patient.name_index if patient else None,
        member_id_index=patient.member_id_index if patient else None,
        denied_on=lead.payer_date,
        deadlines=tuple(deadlines),
        deadline_zones=tuple(deadlines.values()),
        unsure_from=unsure_from,
        unsure_until=unsure_until,
        urgency_class=lead.urgency_class,
        needs_human_reasons=tuple(sorted(set(needs_human_reasons))),
        **sums,
    )


def _deadlines(clocks: Iterable[TimeLimit]) -> dict[datetime, str]:
    """
    Give the instants to plan for in order, each with its zone.

    A clock whose end is uncertain has two: once the earliest has passed, the latest is still ahead.
    """
    ends = {
        (instant, clock.zone)
        for clock in clocks
        if clock.permitted is not False
        for instant in ((clock.deadline_at,) if clock.deadline_at else (clock.earliest, clock.latest))
        if instant is not None
    }
    return dict(sorted(ends))


def _unsure(clocks: Iterable[TimeLimit]) -> tuple[datetime | None, datetime | None]:
    """Give the span in which some clock may have run out; the year 9999 is no end in sight."""
    first: datetime | None = None
    last: datetime | None = None
    for clock in clocks:
        if clock.deadline_at is None and clock.permitted is not False and clock.earliest is not None:
            until = clock.latest or _NEVER
            first = clock.earliest if first is None or clock.earliest < first else first
            last = until if last is None or until > last else last
    return first, last


_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


def _payer_id(payer: Party) -> str | None:
    """Prefer the national plan id (XV); payers mostly leave it out."""
    for one in payer.ids:
        if one.qualifier == "XV":
            return one.value
    return payer.ids[0].value if payer.ids else None


def _facility(payee: Party) -> str | None:
    """Prefer the NPI (XX) to the tax id (FI): payers send either."""
    for wanted in ("XX", "FI"):
        for one in payee.ids:
            if one.qualifier == wanted:
                return one.value
    return None


def _service_codes(denials: Iterable[Observation]) -> tuple[str, ...]:
    """Give the codes of the lines that are denied, each once, the most denied money of each denial first."""
    codes = (line.code or line.revenue_code for one in denials for line in _denied_lines(one))
    return tuple(dict.fromkeys(code for code in codes if code))


def _denied_lines(denial: Observation) -> Sequence[Line]:
    """Give the denied lines; all where the whole claim is denied."""
    lines = denial.lines
    if len(lines) < 2:
        return lines
    denied: dict[int | None, Decimal] = {}
    for one in denial.denied:
        denied[one.line_number] = denied.get(one.line_number, ZERO) + one.amount
    found = lines if None in denied else [line for line in lines if line.number in denied]
    return sorted(found, key=lambda line: denied.get(line.number, ZERO), reverse=True) or lines[:1]
