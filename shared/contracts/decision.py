"""What triage concludes: the words of a decision. Times are instants with the payer's zone named beside."""

from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from shared.contracts.base import Value

Category = Literal[
    "authorization_absent",
    "authorization_exceeded",
    "authorization_untimely",
    "authorization_expired",
    "authorization_not_for_service",
    "authorization_not_for_provider",
    "authorization_number_invalid",
    "authorization_denied",
    "notification_untimely",
    "referral_absent",
    "referral_exceeded",
    "referral_not_authorized",
    "not_authorization",
    "unclear",
]
Route = Literal[
    "eligibility",
    "coordination_of_benefits",
    "timely_filing",
    "coding",
    "medical_necessity",
    "missing_information",
    "duplicate",
    "bundling",
    "benefit_limit",
    "contractual",
    "other",
]
Action = Literal[
    "search_existing_authorization",
    "request_retro_authorization",
    "request_extension",
    "request_date_change",
    "amend_authorization",
    "check_authorization_on_file",
    "obtain_referral",
    "request_network_exception",
    "notify_payer",
    "request_reconsideration",
    "appeal",
    "send_corrected_claim",
    "send_records",
    "submit_new_request",
    "request_peer_to_peer",
    "review_patient_billing",
    "review_write_off",
    "route_elsewhere",
    "review_by_hand",
]
ClockKind = Literal[
    "retro_authorization",
    "notification",
    "reconsideration",
    "peer_to_peer",
    "appeal_level_1",
    "appeal_level_2",
    "respond",
    "corrected_claim",
]
FactKind = Literal[
    "admission_date",
    "discharge_date",
    "service_date",
    "eligibility_add_date",
    "coverage_known_at",
    "enrolment_month",
    "denial_letter_date",
    "prior_decision_date",
    "claim_received_date",
    "provider_enrolled_date",  # when the payer gave the provider its identifier
    "filing_limit_date",  # the last day on which the payer takes this claim, corrected or new
    "urgency",  # emergency | urgent | elective
    "network_status",  # in | out
    "line_of_business",  # commercial | medicare_advantage | medicaid | exchange | tricare | medicare
    "service_category",  # inpatient | outpatient | imaging | therapy | maternity | …
    "delegate",  # the utilization-management vendor, as the policy names it
    "authorization_found",  # the number found on file
    "clinical_decision_made",  # yes | no
    "coverage_unverifiable",  # yes | no
    "other_coverage_primary",  # yes | no
    "retro_eligibility",  # yes | no
    "intraoperative_change",  # yes | no: the procedure changed during the operation
    "after_hours",  # yes | no: served while the payer's authorization desk was closed
    "short_stay",  # yes | no: within the days that the payer grants without notice
    "extenuating_circumstances",  # yes | no: as the payer defines them
    "provider_newly_enrolled",  # yes | no: its identifier is so new that nothing could be asked before
]
UrgencyClass = Literal["emergency", "urgent", "elective", "unknown"]
EvidenceStrength = Literal["defining", "supporting", "needs_remark", "none"]


class DeniedItem(Value, frozen=True, kw_only=True):
    """One denied adjustment, classified. `dependent` marks a line refused because another line was."""

    group: str
    reason: str
    amount: Decimal
    category: Category
    strength: EvidenceStrength
    why: str
    line_number: int | None = None
    quantity: Decimal | None = None
    remarks: tuple[str, ...] = ()
    route: Route | None = None
    dependent: bool = False


class Clock(Value, frozen=True, kw_only=True):
    """
    A payer's time limit for one way of saving the claim.

    `permitted` False: the payer's rule forbids this way, `reasons` say why. None: it hangs on
    `missing_facts`.
    `deadline_at` is the last instant that still counts, with its UTC offset in the payer's `zone`. When an
    input is missing it is None and `earliest`/`latest` bound it: plan for the earliest.
    `steps` let a person recompute the date by hand. Whether the clock is open is derived when it is read.
    """

    kind: ClockKind
    permitted: bool | None
    policy_id: str
    policy_version: str
    policy_status: Literal["confirmed", "unconfirmed"]
    zone: str
    label: str = ""
    deadline_at: datetime | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    anchor: str | None = None
    anchor_date: date | None = None
    anchor_source: str | None = None
    steps: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    missing_facts: tuple[FactKind, ...] = ()
    consequence: str | None = None


class DecisionCause(Value, frozen=True, kw_only=True):
    """
    Why triage decided again, where no fact says so: somebody put a policy in force, or took it out.

    `layer` says whose: the installation's, or the organization's own, where it has `number`. `reason` is what
    that person wrote, `role` theirs.
    """

    kind: Literal["policy_published", "policy_retired"]
    policy_id: str
    policy_version: str
    layer: Literal["installation", "organization"]
    number: int
    reason: str
    role: str


class ToldBefore(Value, frozen=True, kw_only=True):
    """
    What earlier remittances say of a denial, by the payer's dates: one of the two is there.

    `first_on`: the earliest that told it, whose clocks govern unless the policy counts anew; `sure` False: it
    may be of another claim under the same number. `paid_on`: the payment that this denial takes back.
    """

    first_on: date | None = None
    sure: bool = True
    paid_on: date | None = None


class Contact(Value, frozen=True, kw_only=True):
    """How to reach the payer about something, as its policy says."""

    purpose: str
    where: str


class FollowUp(Value, frozen=True, kw_only=True):
    """
    When to ask the payer again: every so many calendar days, on a day on which it works.

    The rest are the days off that it keeps, as in shared.calendars.ClosedDays.
    """

    days: int
    usual_only: bool = False
    states: tuple[str, ...] = ()
    closed: tuple[date, ...] = ()
    open: tuple[date, ...] = ()


class Decision(Value, frozen=True, kw_only=True):
    """
    What decide() adds to a ClaimDenied: the words of DenialTriaged without the claim's own facts.

    `next_action_codes` are the words of the vocabulary for `next_actions`, one for one. `documents` begin
    with what the remittance answers; the rest is named as missing. `contacts` and `follow_up` are the
    policy's, where it has them.
    """

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
    payer_match: str | None = None  # policy id, or None when only the default applies
    clocks: tuple[Clock, ...] = ()
    recommended_action: Action
    next_actions: tuple[str, ...] = ()
    next_action_codes: tuple[Action, ...] = ()
    documents: tuple[str, ...] = ()
    channel: str | None = None
    contacts: tuple[Contact, ...] = ()
    follow_up: FollowUp | None = None
    priority: int  # 0 to 100, higher first
    confidence: float  # 0 to 1
    needs_human: bool
    needs_human_reasons: tuple[str, ...] = ()
    explanation: tuple[str, ...] = ()
    fact_ids: tuple[UUID, ...] = ()
    cause: DecisionCause | None = None
    told_before: ToldBefore | None = None
