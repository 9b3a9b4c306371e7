"""
The form of a policy file, field by field.

docs/policies.md tells authors how to write one. policy_reading.py reads a file into this form, policy.py
gives it meaning, and services/triage/policies/schema.py makes the schema for editors from it.
"""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

from services.triage.domain.windows import CountFrom, Roll, Unit
from shared.contracts.decision import Action, ClockKind

Anchor = Literal[
    "dos_first",
    "dos_last",
    "admission",
    "discharge",
    "eligibility_add",
    "enrolment_month",
    "enrolment_month_end",
    "coverage_known",
    "provider_enrolled",
    "claim_received",
    "remit_date",
    "denial_letter",
    "prior_decision",
    "filing_limit",
]
Status = Literal["confirmed", "unconfirmed"]
Cost = Literal["denial", "penalty", "day_cut"]
Text = Annotated[str, Meta(min_length=1)]
Amount = Annotated[int, Meta(ge=0, le=3650)]
"""Zero is the day itself: 0 calendar days from a filing limit."""
Percent = Annotated[int, Meta(ge=1, le=100)]


class Match(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Whom a policy is about. `names` and `aliases` are compared normalised, `ids` exactly.

    `filing_indicators` are CLP06 values, `lines_of_business` words of the fact of that name. `delegate` makes
    it the policy of a utilization-management vendor: it applies where a person named the vendor.
    """

    names: tuple[Text, ...] = ()
    aliases: tuple[Text, ...] = ()
    ids: tuple[Text, ...] = ()
    filing_indicators: tuple[Text, ...] = ()
    lines_of_business: tuple[Text, ...] = ()
    delegate: Text | None = None


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the rule stands. `seen_on` is when somebody read it, `page_date` the page's own date."""

    url: Text
    seen_on: date
    page_date: date | None = None
    note: Text | None = None


class OtherSpan(Struct, frozen=True, forbid_unknown_fields=True):
    """Another length of time: for a start on a day off, a cap, or lateness. `anchor` only for caps."""

    unit: Unit
    amount: Amount = 1
    roll: Roll = "none"
    count_from: CountFrom = "day_after"
    cut_off: Text | None = None
    anchor: Anchor | None = None


class Late(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What being late costs. `within` is counted like the clock itself, from the same day; without it: for ever.

    `percent` and `percent_up_to` belong to a penalty: the payer pays less instead of denying.
    """

    cost: Cost
    within: OtherSpan | None = None
    percent: Percent | None = None
    percent_up_to: Percent | None = None
    note: Text | None = None


class Review(Struct, frozen=True, forbid_unknown_fields=True):
    """How long the payer takes for its answer. Of several, the first whose `when` holds counts."""

    amount: Amount
    unit: Literal["hours", "calendar_days", "business_days"] = "calendar_days"
    when: tuple[Text, ...] = ()


class ClockEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """
    One time limit. `when`: conditions without which it does not concern a claim at all.

    `requires` (all) and `requires_any` (one): without them the payer does not permit it, and the reason is
    shown. `excludes`: any of them forbids it. `exempt`: where one holds the payer asks for nothing, so the
    denial is its error; while that is unknown the way stays as it is. `amount_latest`: the widest reading,
    where sources differ. `open_ended`: permitted without a time limit. `if_known`: it is shown
    only where `when` is known to hold, so that it asks nobody for its facts. `certain` false: whether it is
    permitted is not known. `caps`: it ends with the earliest of itself and these. `after`: it opens with the
    decision of that level. `restarts_on_repeat`: a remittance that repeats the denial starts it anew.
    """

    kind: ClockKind
    label: Text
    permitted: bool = True
    certain: bool = True
    if_known: bool = False
    open_ended: bool = False
    unit: Unit | None = None
    amount: Amount | None = None
    amount_latest: Amount | None = None
    anchors: tuple[Anchor, ...] = ()
    choose: Literal["earliest", "latest"] = "earliest"
    roll: Roll = "none"
    count_from: CountFrom = "day_after"
    cut_off: Text | None = None
    off_day: OtherSpan | None = None
    caps: tuple[OtherSpan, ...] = ()
    when: tuple[Text, ...] = ()
    requires: tuple[Text, ...] = ()
    requires_any: tuple[Text, ...] = ()
    excludes: tuple[Text, ...] = ()
    exempt: tuple[Text, ...] = ()
    restarts_on_repeat: bool = False
    after: ClockKind | None = None
    fallback: Text | None = None
    consequence: Text | None = None
    late: tuple[Late, ...] = ()
    channel: Text | None = None


class PolicyContact(Struct, frozen=True, forbid_unknown_fields=True):
    """How to reach the payer about this."""

    purpose: Text
    where: Text


class ExampleDenial(Struct, frozen=True, forbid_unknown_fields=True):
    """
    The denial of a worked example: one line, refused whole.

    `first_told`: an earlier remittance of that day told the same. `paid_on`: one of that day paid the claim,
    and this denial takes the payment back.
    """

    payer_date: date
    reason: Text = "197"
    group: Text = "CO"
    amount: Text = "500.00"
    remarks: tuple[Text, ...] = ()
    service_from: date | None = None
    service_to: date | None = None
    statement_from: date | None = None
    claim_received_on: date | None = None
    filing_indicator: Text | None = None
    facility_type: Text | None = None
    claim_status: Text = "1"
    first_told: date | None = None
    paid_on: date | None = None
    procedure: Text | None = None
    revenue_code: Text | None = None
    drg: Text | None = None
    payer_name: Text | None = None
    authorization_number: Text | None = None


class ExpectedClock(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What a worked example expects of one clock, found by kind and, if given, label. Unset is not compared.

    `deadline`, `earliest` and `latest` are local instants with offset, `shown` false: the clock is left out.
    """

    kind: ClockKind
    label: Text | None = None
    shown: bool = True
    permitted: bool | Literal["unknown"] | None = None
    deadline: Text | None = None
    earliest: Text | None = None
    latest: Text | None = None
    missing: tuple[Text, ...] | None = None


class Example(Struct, frozen=True, forbid_unknown_fields=True):
    """A denial worked out by hand: on `as_of`, with these facts, this comes out. The tests execute it."""

    name: Text
    as_of: date
    denial: ExampleDenial
    facts: dict[str, str] = {}
    clocks: tuple[ExpectedClock, ...] = ()
    action: Action | None = None


class PolicyFile(Struct, frozen=True, forbid_unknown_fields=True):
    """
    One payer program. `states` are those whose public holidays the payer keeps besides federal ones.

    `holidays`: whether it keeps all federal holidays or the six usual ones. Unset, and without states: both
    readings bound an end that hangs on it.
    """

    id: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")]
    version: Text
    name: Text
    status: Status
    zone: Text
    sources: tuple[Source, ...]
    clocks: tuple[ClockEntry, ...]
    examples: tuple[Example, ...]
    match: Match = Match()
    default: bool = False
    effective_from: date | None = None
    effective_to: date | None = None
    holidays: Literal["federal", "usual"] | None = None
    states: tuple[Text, ...] = ()
    closed_days: tuple[date, ...] = ()
    open_days: tuple[date, ...] = ()
    channel: Text | None = None
    documents: tuple[Text, ...] = ()
    contacts: tuple[PolicyContact, ...] = ()
    reviews: tuple[Review, ...] = ()
    follow_up_days: Amount | None = None
    notes: tuple[Text, ...] = ()
