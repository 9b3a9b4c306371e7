"""Cases as people look for them: filters, one sort, and the place where the next page starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

SORTS: dict[str, tuple[str, str]] = {
    "priority": ("priority", "smallint"),
    "deadline": ("coalesce(next_deadline_at, 'infinity')", "timestamptz"),
    "amount": ("amount_at_stake", "numeric"),
    "opened": ("opened_at", "timestamptz"),
}
"""By name: what is compared, and its type. Each has an index that ends in case_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """
    None and empty leave a filter out. `payer` is a whole id or name; `include_test` adds test files.

    A deadline is compared as an instant, or as its day where the payer is.
    """

    states: Sequence[str] = ()
    categories: Sequence[str] = ()
    payer: str | None = None
    auth_related: bool | None = None
    deadline_before: datetime | None = None
    deadline_before_day: date | None = None
    amount_at_least: Decimal | None = None
    claim_number: str | None = None
    needs_human: bool | None = None
    include_test: bool = False


class Place(NamedTuple):
    """The last case of a page: its sort, the sorted value as text, its id."""

    sort: str
    value: str
    case_id: UUID


class Found(NamedTuple):
    """Rows of tracker.cases, and the place of the last one when there are more."""

    cases: list[dict[str, Any]]
    next_place: Place | None


_NEXT_ZONE = "deadline_zones[array_position(deadlines, next_deadline_at)]"

_CONDITIONS: dict[str, str] = {
    "states": "state = any (cast(:states as text[]))",
    "categories": "category = any (cast(:categories as text[]))",
    "payer": "(payer_id = :payer or lower(payer_name) = lower(:payer))",
    "auth_related": "auth_related = :auth_related",
    "deadline_before": "next_deadline_at < :deadline_before",
    # Two days cover any zone and let the index find the rows; the day itself is the payer's.
    "deadline_before_day": f"next_deadline_at < cast(:deadline_before_day as date) + 2 and"
    f" cast(next_deadline_at at time zone {_NEXT_ZONE} as date) < :deadline_before_day",
    "amount_at_least": "amount_at_stake >= :amount_at_least",
    "claim_number": "upper(claim_number) = upper(:claim_number)",
    "needs_human": "needs_human = :needs_human",
}


async def find_cases(
    connection: AsyncConnection,
    organization_id: UUID,
    filters: Filters,
    *,
    sort: str,
    limit: int,
    after: Place | None = None,
) -> Found:
    """Give one page. `sort` is a name of SORTS, with `-` before it for the largest first."""
    expression, type_ = SORTS[sort.removeprefix("-")]
    order, beyond = ("desc", "<") if sort.startswith("-") else ("asc", ">")
    used: dict[str, Any] = {name: getattr(filters, name) for name in _CONDITIONS}
    used = {name: value for name, value in used.items() if value not in (None, (), [])}
    conditions = ["organization_id = :organization_id", *(_CONDITIONS[name] for name in used)]
    if not filters.include_test:
        conditions.append("not is_test")
    if after is not None:
        conditions.append(
            f"({expression}, case_id) {beyond} (cast(cast(:after_value as text) as {type_}), :after_id)"
        )
        used |= {"after_value": after.value, "after_id": after.case_id}
    found = await connection.execute(
        text(f"""
            select *, cast({expression} as text) as sorted_value from tracker.cases
            where {" and ".join(conditions)}
            order by {expression} {order}, case_id {order}
            limit :limit
        """),
        {**used, "organization_id": organization_id, "limit": limit + 1},
    )
    rows = [dict(row) for row in found.mappings()]
    if len(rows) <= limit:
        return Found(rows, None)
    last = rows[limit - 1]
    return Found(rows[:limit], Place(sort, last["sorted_value"], UUID(str(last["case_id"]))))


async def find_case(
    connection: AsyncConnection, organization_id: UUID, case_id: UUID
) -> dict[str, Any] | None:
    """Give one case of this organization, or None."""
    found = await connection.execute(
        text("select * from tracker.cases where organization_id = :organization_id and case_id = :case_id"),
        {"organization_id": organization_id, "case_id": case_id},
    )
    row = found.mappings().one_or_none()
    return None if row is None else dict(row)


async def summarize(connection: AsyncConnection, organization_id: UUID) -> RowMapping:
    """Count and sum the cases of production that were not merged into another or withdrawn."""
    found = await connection.execute(_SUMMARY, {"organization_id": organization_id})
    return found.mappings().one()


# A clock is open here as in triage/domain/next_clock.py: a test compares the figures.
_OPEN = "filter (where auth_related and next_deadline_at > now())"

_SUMMARY = text(f"""
    select count(*) as denials,
        count(*) filter (where auth_related) as auth_related,
        count(*) filter (where state = 'open') as open_cases,
        count(*) filter (where needs_human) as needs_human,
        coalesce(sum(denied_amount), 0) as denied_amount,
        count(*) {_OPEN} as open_clock_cases,
        coalesce(sum(amount_at_stake) {_OPEN}, 0) as open_clock_amount,
        coalesce(sum(paid_amount), 0) as paid_amount,
        min(next_deadline_at) {_OPEN} as next_deadline_at,
        (array_agg({_NEXT_ZONE} order by next_deadline_at) {_OPEN})[1] as next_deadline_zone
    from tracker.cases
    where organization_id = :organization_id and not is_test
        and closed_reason is distinct from 'merged' and closed_reason is distinct from 'withdrawn'
""")
