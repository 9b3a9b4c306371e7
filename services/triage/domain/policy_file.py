"""
The form of a policy file, field by field, and a reading that lists every mistake at once.

docs/policies.md tells authors how to write one. This module knows the form; policies.py gives it meaning.
"""

from datetime import date
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
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
    "coverage_known",
    "claim_received",
    "remit_date",
    "denial_letter",
    "prior_decision",
]
Status = Literal["confirmed", "unconfirmed"]
Text = Annotated[str, Meta(min_length=1)]
Amount = Annotated[int, Meta(ge=1, le=3650)]


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
    """Another length of time: for a start on a day off, or a cap. `anchor` only for caps."""

    unit: Unit
    amount: Amount = 1
    roll: Roll = "none"
    count_from: CountFrom = "day_after"
    cut_off: Text | None = None
    anchor: Anchor | None = None


class ClockEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """
    One time limit. `when`: conditions without which it does not concern a claim at all.

    `requires` (all) and `requires_any` (one): without them the payer does not permit it, and the reason is
    shown. `excludes`: any of them forbids it. `amount_latest`: the widest reading, where sources differ.
    `open_ended`: permitted without a time limit. `certain` false: whether it is permitted is not known.
    `caps`: it ends with the earliest of itself and these. `after`: it opens with the decision of that level.
    """

    kind: ClockKind
    label: Text
    permitted: bool = True
    certain: bool = True
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
    after: ClockKind | None = None
    fallback: Text | None = None
    consequence: Text | None = None
    channel: Text | None = None


class Contact(Struct, frozen=True, forbid_unknown_fields=True):
    """How to reach the payer about this."""

    purpose: Text
    where: Text


class ExampleDenial(Struct, frozen=True, forbid_unknown_fields=True):
    """The denial of a worked example: one line, refused whole."""

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
    """One payer program. `states` are those whose public holidays the payer keeps besides federal ones."""

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
    states: tuple[Text, ...] = ()
    closed_days: tuple[date, ...] = ()
    open_days: tuple[date, ...] = ()
    channel: Text | None = None
    documents: tuple[Text, ...] = ()
    contacts: tuple[Contact, ...] = ()
    review_days: Amount | None = None
    follow_up_days: Amount | None = None
    notes: tuple[Text, ...] = ()


def read_table(table: Any, form: type[Any], *, at: str, mistakes: list[str]) -> Any:
    """
    Read one TOML table into its form; None and new `mistakes` if it does not fit.

    Every key is looked at, so that an author sees all mistakes of a file in one go.
    """
    if not isinstance(table, dict):
        mistakes.append(f"{at} must be a table")
        return None
    before = len(mistakes)
    fields = {field.name: field for field in msgspec.structs.fields(form)}
    mistakes += [f"{_path(at, key)} is no known key" for key in table if key not in fields]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _read_value(table[name], field.type, at=_path(at, name), mistakes=mistakes)
        elif field.required:
            mistakes.append(f"{_path(at, name)} is missing")
    return form(**values) if len(mistakes) == before else None


def _read_value(value: Any, wanted: Any, *, at: str, mistakes: list[str]) -> Any:
    inner = _struct_in(wanted)
    if inner is not None and get_origin(wanted) is tuple:
        if not isinstance(value, list):
            mistakes.append(f"{at} must be a list of tables")
            return None
        rows = enumerate(value, start=1)
        return tuple(read_table(row, inner, at=f"{at}[{n}]", mistakes=mistakes) for n, row in rows)
    if inner is not None:
        return read_table(value, inner, at=at, mistakes=mistakes)
    try:
        return msgspec.convert(value, type=wanted)
    except msgspec.ValidationError as error:
        mistakes.append(f"{at}: {_in_words(str(error), wanted)}")
        return None


def _struct_in(wanted: Any) -> type[Struct] | None:
    """Give the form inside `X`, `X | None` or `tuple[X, ...]`, if it is one."""
    candidates = get_args(wanted) if get_origin(wanted) in {tuple, UnionType} else (wanted,)
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, Struct)), None)


def _in_words(message: str, wanted: Any) -> str:
    literals = _literals(wanted)
    if message.startswith("Invalid enum value") and literals:
        return f"must be one of {', '.join(map(str, literals))}"
    return message[:1].lower() + message[1:]


def _literals(wanted: Any) -> tuple[Any, ...]:
    if get_origin(wanted) is Literal:
        return get_args(wanted)
    return tuple(value for part in get_args(wanted) for value in _literals(part))


def _path(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key
