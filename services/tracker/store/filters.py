"""
What a list of cases is narrowed by, as SQL that row-level security lets an index serve.

Only comparisons that cannot leak a hidden row's value may run before the wall, and so only they may look into
an index: those of text, whole numbers, instants and ids, but not of numeric, and no upper(),
lower() or coalesce().
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from services.tracker.domain.states import LIVE_STATES

NEXT_ZONE = "deadline_zones[array_position(deadlines, next_deadline_at)]"
_MIDNIGHT = "cast(cast(:{} as date) as timestamp) at time zone 'UTC'"
_EARLIEST = f"({_MIDNIGHT} - interval '14 hours')"
_LATEST = f"({_MIDNIGHT} + interval '12 hours')"
_DAY = f"cast(next_deadline_at at time zone {NEXT_ZONE} as date)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """
    None and empty leave a filter out; `include_test` adds test files.

    A deadline is compared as an instant, or as its day where the payer is. `payers` are values of the column
    payer (see payers_like), `service_code` is the beginning of one, the indexes are those of sealed persons.
    """

    states: Sequence[str] = ()
    categories: Sequence[str] = ()
    auth_related: bool | None = None
    payers: Sequence[str] | None = None
    deadline_from: datetime | None = None
    deadline_from_day: date | None = None
    deadline_before: datetime | None = None
    deadline_before_day: date | None = None
    amount_at_least: Decimal | None = None
    amount_at_most: Decimal | None = None
    opened_from: datetime | None = None
    opened_until: datetime | None = None
    claim_key: UUID | None = None
    payer_claim_number: str | None = None
    member_id_index: str | None = None
    patient_name_index: str | None = None
    facility: str | None = None
    rendering_npi: str | None = None
    service_code: str | None = None
    needs_human: bool | None = None
    assignee_id: UUID | None = None
    unassigned: bool | None = None
    tag: str | None = None
    include_test: bool = False


_CONDITIONS: dict[str, str] = {
    "states": "state = any (cast(:states as text[]))",
    "categories": "category = any (cast(:categories as text[]))",
    "auth_related": "auth_related = :auth_related",
    "payers": "payer = any (cast(:payers as text[]))",
    "deadline_from": "due_at >= :deadline_from and due_at < 'infinity'",
    "deadline_before": "due_at < :deadline_before and due_at < 'infinity'",
    # A day begins within these hours of UTC wherever it is: only there has the payer's zone to be asked.
    "deadline_from_day": f"due_at >= {_EARLIEST.format('deadline_from_day')} and due_at < 'infinity'"
    f" and (due_at >= {_LATEST.format('deadline_from_day')} or {_DAY} >= :deadline_from_day)",
    "deadline_before_day": f"due_at < {_LATEST.format('deadline_before_day')} and due_at < 'infinity'"
    f" and (due_at < {_EARLIEST.format('deadline_before_day')} or {_DAY} < :deadline_before_day)",
    "amount_at_least": "stake_cents >= cast(cast(:amount_at_least as numeric) * 100 as bigint)"
    " and amount_at_stake >= :amount_at_least",
    "amount_at_most": "stake_cents <= cast(cast(:amount_at_most as numeric) * 100 as bigint)"
    " and amount_at_stake <= :amount_at_most",
    "opened_from": "opened_at >= :opened_from",
    "opened_until": "opened_at <= :opened_until",
    "claim_key": "claim_key = :claim_key and purged_at is null",
    "payer_claim_number": "payer_claim_number = :payer_claim_number",
    "member_id_index": "member_id_index = :member_id_index",
    "patient_name_index": "patient_name_index = :patient_name_index",
    "facility": "facility = :facility",
    "rendering_npi": "rendering_npi = :rendering_npi",
    "needs_human": "needs_human = :needs_human",
    "assignee_id": "assignee_id = :assignee_id",
    "unassigned": "assignee_id is null and :unassigned",
    "tag": "case_id in (select t.case_id from tracker.case_tags t"
    " where t.organization_id = :organization_id and t.tag = :tag)",
}
_SERVICE = "{0}service_code >= :service_code and {0}service_code < :service_code_end"
_KINDS = frozenset({"states", "categories", "auth_related"})
_AGAINST = frozenset({"deadline_from", "deadline_from_day", "amount_at_most"})
_PINPOINTS = frozenset({"claim_key", "payer_claim_number", "member_id_index", "patient_name_index"})


def used(filters: Filters) -> dict[str, Any]:
    """Give the filters that narrow something, by name."""
    given = {one.name: getattr(filters, one.name) for one in fields(filters) if one.name != "include_test"}
    return {name: value for name, value in given.items() if value is not None and value != ()}


def conditions(filters: Filters) -> tuple[list[str], dict[str, Any]]:
    """Give what must hold of a row of tracker.cases behind the wall, and the values bound in it."""
    given = used(filters)
    found = [
        "organization_id = :organization_id",
        *(_CONDITIONS[name] for name in given if name in _CONDITIONS),
    ]
    if not filters.include_test:
        found.append("not is_test")
    if code := given.get("service_code"):
        given["service_code_end"] = code[:-1] + chr(ord(code[-1]) + 1)
    return found, given


def lanes(filters: Filters) -> list[list[str]]:
    """
    Give what must hold besides, in each of the lanes that together have every case once.

    Most cases are about one service, and its code is theirs; further ones have rows of their own. No index
    serves a condition that looks into both.
    """
    if filters.service_code is None:
        return [[]]
    own = _SERVICE.format("")
    further = f"""case_id in (select s.case_id from tracker.case_services s
        where s.organization_id = :organization_id and {_SERVICE.format("s.")})"""
    return [[own], [f"({own}) is not true", further]]


_CENTS = "cast(cast(:{} as numeric) * 100 as bigint)"
_IN_INDEX = {
    "deadline_from": "due_at >= :deadline_from",
    "deadline_before": "due_at < :deadline_before",
    "deadline_from_day": f"due_at >= {_EARLIEST.format('deadline_from_day')}",
    "deadline_before_day": f"due_at < {_LATEST.format('deadline_before_day')}",
    "amount_at_least": f"stake_cents >= {_CENTS.format('amount_at_least')}",
    "amount_at_most": f"stake_cents <= {_CENTS.format('amount_at_most')}",
}


def roughly(ranges: Filters) -> tuple[list[str], dict[str, Any]]:
    """Give what must hold of the cases of a range as far as its index tells: some more than there are."""
    given = used(ranges)
    found = ["organization_id = :organization_id", *(_IN_INDEX[name] for name in given)]
    return [*found, "due_at < 'infinity'"] if by_deadline(ranges) else found, given


def against_urgency(filters: Filters) -> Filters | None:
    """Give the ranges, where they keep what is least urgent: far deadlines, small amounts; else None."""
    given = used(filters)
    if not given.keys() & _AGAINST or given.keys() & _PINPOINTS:
        return None
    ranges = {name: given[name] for name in given if name.startswith(("deadline", "amount"))}
    return Filters(**ranges, include_test=True)


def by_kind(filters: Filters) -> bool:
    """
    Tell whether the cases lie at the top of a few kinds: what they are about, their state, their category.

    How urgent cases are depends on their kind, so those of one kind may all lie far down the whole list.
    """
    given = used(filters).keys()
    return bool(given & _KINDS) and not given & _PINPOINTS


def by_deadline(filters: Filters) -> bool:
    """Tell whether only cases with a deadline can be meant."""
    return any(name.startswith("deadline") for name in used(filters))


def only_by_kind(filters: Filters) -> bool:
    """Tell whether the index of kinds knows all that is asked for, so that no row needs to be read for it."""
    given = used(filters).keys()
    return bool(given & _KINDS) and given <= _IN_KINDS


def of_live_kinds(filters: Filters) -> bool:
    """
    Tell whether live states are asked for, and nothing that is not in the index of kinds.

    Such cases are few and young: who looks for the oldest would go through all that ended long ago.
    """
    given = used(filters).keys()
    return "states" in given and given <= _IN_KINDS and LIVE_STATES.issuperset(filters.states)


_IN_KINDS = _KINDS | {"opened_from", "opened_until"}


def only_by_state_and_deadline(filters: Filters) -> bool:
    """Tell whether nothing else narrows the list."""
    return all(name == "states" or name.startswith("deadline") for name in used(filters))
