"""
What a list of cases is narrowed by, as SQL that row-level security lets an index serve.

Only comparisons that cannot leak a hidden row's value may run before the wall, and so only they may look into
an index: those of text, whole numbers, instants and ids, but not of numeric, and no upper() or lower().
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

DEADLINE = "coalesce(next_deadline_at, 'infinity')"
NEXT_ZONE = "deadline_zones[array_position(deadlines, next_deadline_at)]"
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
    include_test: bool = False


_CONDITIONS: dict[str, str] = {
    "states": "state = any (cast(:states as text[]))",
    "categories": "category = any (cast(:categories as text[]))",
    "auth_related": "auth_related = :auth_related",
    "payers": "payer = any (cast(:payers as text[]))",
    "deadline_from": f"{DEADLINE} >= :deadline_from and next_deadline_at is not null",
    "deadline_before": f"{DEADLINE} < :deadline_before",
    # Two days cover any zone and let the index find the rows; the day itself is the payer's.
    "deadline_from_day": f"{DEADLINE} >= cast(:deadline_from_day as date) - 2"
    f" and {_DAY} >= :deadline_from_day",
    "deadline_before_day": f"{DEADLINE} < cast(:deadline_before_day as date) + 2"
    f" and {_DAY} < :deadline_before_day",
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
    "service_code": "service_code >= :service_code and service_code < :service_code_end",
    "needs_human": "needs_human = :needs_human",
}
_KINDS = frozenset({"states", "categories", "auth_related"})
_PINPOINTS = frozenset({"claim_key", "payer_claim_number", "member_id_index", "patient_name_index"})


def used(filters: Filters) -> dict[str, Any]:
    """Give the filters that narrow something, by name."""
    given = {one.name: getattr(filters, one.name) for one in fields(filters) if one.name in _CONDITIONS}
    return {name: value for name, value in given.items() if value is not None and value != ()}


def conditions(filters: Filters) -> tuple[list[str], dict[str, Any]]:
    """Give what must hold of a row of tracker.cases behind the wall, and the values bound in it."""
    given = used(filters)
    found = ["organization_id = :organization_id", *(_CONDITIONS[name] for name in given)]
    if not filters.include_test:
        found.append("not is_test")
    if code := given.get("service_code"):
        given["service_code_end"] = code[:-1] + chr(ord(code[-1]) + 1)
    return found, given


def by_kind(filters: Filters) -> bool:
    """
    Tell whether the cases lie at the top of a few kinds: what they are about, their state, their category.

    How urgent cases are depends on their kind, so those of one kind may all lie far down the whole list.
    """
    given = used(filters).keys()
    return bool(given & _KINDS) and not given & _PINPOINTS
