"""Cases as people look for them: filters, one sort, and the place where the next page starts."""

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.domain.states import LIVE_STATES, State
from services.tracker.store.filters import NEXT_ZONE, Filters, against_urgency, by_kind, conditions
from shared.contracts.decision import Category

SORTS: dict[str, tuple[str, str]] = {
    "priority": ("priority", "smallint"),
    "deadline": ("due_at", "timestamptz"),
    "amount": ("stake_cents", "bigint"),
    "opened": ("opened_at", "timestamptz"),
}
"""By name: what is compared, and its type. Each has an index that ends in case_id."""

_FEW = 30_000
"""Cases that are read and sorted in less time than a page may take."""


class Place(NamedTuple):
    """The last case of a page: its sort, the sorted value as text, its id."""

    sort: str
    value: str
    case_id: UUID


class Found(NamedTuple):
    """Rows of tracker.cases, and the place of the last one when there are more."""

    cases: list[dict[str, Any]]
    next_place: Place | None


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
    few = await _are_few(connection, organization_id, filters) if sort.endswith("priority") else False
    statement, bound = page_query(filters, sort=sort, after=after, few=few)
    found = await connection.execute(
        text(statement), {**bound, "organization_id": organization_id, "limit": limit + 1}
    )
    rows = [dict(row) for row in found.mappings()]
    if len(rows) <= limit:
        return Found(rows, None)
    last = rows[limit - 1]
    return Found(rows[:limit], Place(sort, last["sorted_value"], UUID(str(last["case_id"]))))


async def _are_few(connection: AsyncConnection, organization_id: UUID, filters: Filters) -> bool:
    """
    Tell whether it is quicker to sort all cases of a range than to walk down the list until a page is full.

    The planner knows how many there are, but not that they all lie at the list's end.
    """
    ranges = against_urgency(filters)
    if ranges is None:
        return False
    held, bound = conditions(ranges)
    counted = await connection.execute(
        text(
            f"select count(*) from (select from tracker.cases where {' and '.join(held)} limit :few) as few"
        ),
        {**bound, "organization_id": organization_id, "few": _FEW},
    )
    return int(counted.scalar_one()) < _FEW


def page_query(
    filters: Filters, *, sort: str, after: Place | None = None, few: bool = False
) -> tuple[str, dict[str, Any]]:
    """
    Write the query of a page, with what it binds but :organization_id and :limit.

    Of `few` cases all are read and sorted; else they are read in the list's order until there are enough.
    """
    expression, type_ = SORTS[sort.removeprefix("-")]
    order, beyond = ("desc", "<") if sort.startswith("-") else ("asc", ">")
    held, bound = conditions(filters)
    if after is not None:
        held.append(
            f"({expression}, case_id) {beyond} (cast(cast(:after_value as text) as {type_}), :after_id)"
        )
        bound |= {"after_value": after.value, "after_id": after.case_id}
    if expression == "due_at" and filters.states and LIVE_STATES.isdisjoint(filters.states):
        held.append("due_at = 'infinity'")  # no clock matters any more: they lie together at one end
    if expression == "priority" and by_kind(filters):
        source, bound = _of_each_kind(held, bound, order=order)
    else:
        source = f"tracker.cases where {' and '.join(held)}"
    if few:
        source = f"(select * from {source} offset 0) as few"  # an offset keeps the two apart
    in_order = f"order by {expression} {order}, case_id {order}"
    if expression != "priority":
        return (
            f"select *, cast({expression} as text) as sorted_value from {source} {in_order} limit :limit",
            bound,
        )
    # Only the ids are sorted and merged: whole rows are wide.
    page = f"""
        select c.*, cast(c.priority as text) as sorted_value
        from (select case_id, priority from {source} {in_order} limit :limit) as page
        cross join lateral (
            select * from tracker.cases c
            where c.organization_id = :organization_id and c.case_id = page.case_id limit 1
        ) as c
        order by page.priority {order}, page.case_id {order}
    """
    return page, bound


# The top of each kind, merged: as many short looks into one index as there are kinds. In one, the planner
# would choose between sorting all cases of the kinds and reading all urgent cases of the others.
def _of_each_kind(held: Sequence[str], bound: dict[str, Any], *, order: str) -> tuple[str, dict[str, Any]]:
    wanted = {
        "wanted_about": [bound["auth_related"]] if "auth_related" in bound else [True, False],
        "wanted_states": bound.get("states", _STATES),
        "wanted_categories": bound.get("categories", _CATEGORIES),
    }
    rest = [one for one in held if not one.startswith(("auth_related =", "state =", "category ="))]
    source = f"""
        unnest(cast(:wanted_about as boolean[])) as about(one_about)
        cross join unnest(cast(:wanted_states as text[])) as states(one_state)
        cross join unnest(cast(:wanted_categories as text[])) as categories(one_category)
        cross join lateral (
            select case_id, priority from tracker.cases
            where {" and ".join(rest)}
                and auth_related = one_about and state = one_state and category = one_category
            order by priority {order}, case_id {order} limit :limit
        ) as top
    """
    return source, {**bound, **wanted}


_STATES, _CATEGORIES = list(get_args(State)), list(get_args(Category))


async def payers_like(connection: AsyncConnection, organization_id: UUID, payer: str) -> list[str]:
    """Give the values of the column payer that have this id, or in any case of letters this name."""
    found = await connection.execute(_PAYERS, {"organization_id": organization_id, "payer": payer})
    return list(found.scalars())


# From one payer to the next along the index: there are few, and to see them by reading all cases is slow.
_PAYERS = text("""
    with recursive known(payer) as (
        (select payer from tracker.cases where organization_id = :organization_id order by payer limit 1)
        union all
        select (
            select c.payer from tracker.cases c
            where c.organization_id = :organization_id and c.payer > known.payer
            order by c.payer limit 1
        ) from known where known.payer is not null
    )
    select payer from known
    where split_part(payer, chr(31), 1) = :payer or split_part(payer, chr(31), 2) = lower(:payer)
""")


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
    found = await connection.execute(
        _SUMMARY, {"organization_id": organization_id, "live": sorted(LIVE_STATES)}
    )
    return found.mappings().one()


# A clock is open here as in triage/domain/next_clock.py: a test compares the figures.
_OPEN = "filter (where auth_related and next_deadline_at > now())"

_SUMMARY = text(f"""
    select count(*) as denials,
        count(*) filter (where auth_related) as auth_related,
        count(*) filter (where state = any (cast(:live as text[]))) as open_cases,
        count(*) filter (where closed_reason = 'recovered') as recovered_cases,
        count(*) filter (where needs_human) as needs_human,
        coalesce(sum(denied_amount), 0) as denied_amount,
        count(*) {_OPEN} as open_clock_cases,
        coalesce(sum(amount_at_stake) {_OPEN}, 0) as open_clock_amount,
        coalesce(sum(paid_amount), 0) as paid_amount,
        coalesce(sum(recovered_payer_amount), 0) as recovered_payer_amount,
        coalesce(sum(recovered_patient_amount), 0) as recovered_patient_amount,
        min(next_deadline_at) {_OPEN} as next_deadline_at,
        (array_agg({NEXT_ZONE} order by next_deadline_at) {_OPEN})[1] as next_deadline_zone
    from tracker.cases
    where organization_id = :organization_id and not is_test
        and closed_reason is distinct from 'merged' and closed_reason is distinct from 'withdrawn'
""")
