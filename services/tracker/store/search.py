"""Cases as people look for them: filters, one sort, and the place where the next page starts."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Literal, NamedTuple, cast, get_args
from uuid import UUID

import asyncpg
from sqlalchemy import QueuePool, RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.domain.states import LIVE_STATES, State
from services.tracker.store.filters import (
    NEXT_ZONE,
    Filters,
    against_urgency,
    by_deadline,
    by_kind,
    conditions,
    lanes,
    of_live_kinds,
    only_by_kind,
    only_by_state_and_deadline,
    roughly,
)
from shared.contracts.decision import Category
from shared.errors import UnavailableError
from shared.postgres import Driver, reading, records

SORTS: dict[str, tuple[str, str]] = {
    "priority": ("priority", "smallint"),
    "deadline": ("due_at", "timestamptz"),
    "amount": ("stake_cents", "bigint"),
    "opened": ("opened_at", "timestamptz"),
}
"""By name: what is compared, and its type. Each has an index that ends in case_id."""

_FEW = 30_000
"""Cases that are read and sorted in less time than a page may take."""
_SURELY_MANY = 45_000
"""What the planner expects where it need not be counted: it is not so much mistaken."""


LISTED = (
    *("case_id", "version", "state", "closed_reason", "merged_into", "is_test", "auth_related", "category"),
    *("route", "recommended_action", "payer_name", "payer_id", "claim_number", "payer_claim_number"),
    *("facility", "rendering_npi", "service_code", "further_service_codes", "patient_name_index"),
    *("member_id_index", "service_from", "denied_on", "charge_amount", "denied_amount", "amount_at_stake"),
    *("paid_amount", "deadlines", "deadline_zones", "next_deadline_at", "unsure_from", "unsure_until"),
    *("urgency_class", "priority", "confidence", "needs_human", "needs_human_reasons", "assignee_id"),
    *("tags", "follow_up_on", "information_due_at", "recovered_payer_amount", "recovered_patient_amount"),
    *("opened_at", "updated_at", "closed_at", "purged_at"),
)
"""What a list shows of tracker.cases, as its rows have it. The other columns are long, and slow to read."""
AMOUNTS = tuple(name for name in LISTED if "amount" in name)
"""They come as PostgreSQL writes them: the driver takes long to make numbers of them."""
COLUMNS = ", ".join(
    f"cast(c.{name} as text) as {name}" if name in AMOUNTS else f"c.{name}" for name in LISTED
)
"""The first columns of every query of a list: its rows are read by their places."""


class Place(NamedTuple):
    """The last case of a page: its sort, the sorted value as text, its id."""

    sort: str
    value: str
    case_id: UUID


class Found(NamedTuple):
    """Rows of tracker.cases, and the place of the last one when there are more."""

    cases: list[Mapping[str, Any]]
    next_place: Place | None


async def find_cases(
    connection: AsyncConnection | Driver,
    organization_id: UUID,
    filters: Filters,
    *,
    sort: str,
    limit: int,
    after: Place | None = None,
) -> Found:
    """Give one page. `sort` is a name of SORTS, with `-` before it for the largest first."""
    few = await are_few(connection, organization_id, filters, sort=sort)
    rows: list[Mapping[str, Any]] = []
    for part in parts(filters, sort=sort, after=after):
        statement, bound = page_query(filters, sort=sort, after=after, few=few, part=part)
        after = None  # it lies in the first part
        rows += await records(
            connection,
            statement,
            {**bound, "organization_id": organization_id, "limit": limit + 1 - len(rows)},
        )
        if len(rows) > limit:
            last = rows[limit - 1]
            return Found(rows[:limit], Place(sort, last["sorted_value"], UUID(str(last["case_id"]))))
    return Found(rows, None)


async def open_for_lists(engine: AsyncEngine) -> None:
    """
    Open every connection of the pool, and let each read what PostgreSQL notes about cases.

    Else the first who ask wait for that, one on each connection, ten times as long as for a page. Where the
    database is away or not migrated nothing is opened: /readyz tells of it.
    """
    with suppress(UnavailableError, asyncpg.PostgresError):
        async with AsyncExitStack() as opened:
            for _ in range(cast("QueuePool", engine.pool).size()):
                connection = await opened.enter_async_context(reading(engine))
                await find_cases(connection, UUID(int=0), Filters(), sort="-priority", limit=1)


async def are_few(
    connection: AsyncConnection | Driver, organization_id: UUID, filters: Filters, *, sort: str
) -> bool:
    """
    Tell whether it is quicker to sort all cases of a range than to walk down the list until a page is full.

    The planner does not know that they all lie at the list's end. Where it expects very many there are: it
    knows the range, and takes row-level security, which lets all of them through, for one more condition that
    some would not meet. Where it expects fewer they are counted, which is quick where there are few.
    """
    if not sort.endswith("priority"):
        return sort == "opened" and of_live_kinds(filters)
    ranges = against_urgency(filters)
    if ranges is None:
        return False
    held, bound = roughly(ranges)  # to look each up in the table would take longer than the page
    found = f"select from tracker.cases where {' and '.join(held)}"
    bound |= {"organization_id": organization_id, "few": _FEW}
    [told] = await records(connection, f"explain (format json) {found}", bound)
    [planned] = told["QUERY PLAN"]
    expected: int = planned["Plan"]["Plan Rows"]
    if expected >= _SURELY_MANY:
        return False
    [counted] = await records(connection, f"select count(*) from ({found} limit :few) as few", bound)
    return int(counted["count"]) < _FEW


Part = Literal["all", "with_clock", "without_clock"]


def parts(filters: Filters, *, sort: str, after: Place | None) -> Sequence[Part]:
    """
    Name the parts of a list that are read one after the other, from the place on.

    By deadline, cases in which no clock matters come last, by their ids: most, and in no index of deadlines.
    """
    if not sort.endswith("deadline"):
        return ("all",)
    if filters.states and LIVE_STATES.isdisjoint(filters.states):
        return ("without_clock",)
    if by_deadline(filters):
        return ("with_clock",)
    both: tuple[Part, ...] = (
        ("without_clock", "with_clock") if sort[0] == "-" else ("with_clock", "without_clock")
    )
    if after is None:
        return both
    return both[both.index("without_clock" if after.value == "infinity" else "with_clock") :]


_HELD: Mapping[Part, tuple[str, ...]] = {
    "all": (),
    "with_clock": ("due_at < 'infinity'",),
    "without_clock": ("due_at = 'infinity'",),
}


def page_query(
    filters: Filters,
    *,
    sort: str,
    after: Place | None = None,
    few: bool = False,
    part: Part = "all",
) -> tuple[str, dict[str, Any]]:
    """
    Write the query of a page, with what it binds but :organization_id and :limit.

    Of `few` cases all are read and sorted; else they are read in the list's order until there are enough.
    """
    column, type_ = SORTS[sort.removeprefix("-")]
    order, beyond = ("desc", "<") if sort.startswith("-") else ("asc", ">")
    held, bound = conditions(filters)
    held += _HELD[part]
    if part == "with_clock" and not only_by_state_and_deadline(filters):
        # The planner takes the state for as rare among cases with a clock as among all, and would rather read
        # all that the other filters leave than walk down a list in which every second case is open.
        held = [f"coalesce({one}, false)" if one.startswith("state =") else one for one in held]
    if after is not None and part == "without_clock":
        held.append(f"case_id {beyond} :after_id")
        bound |= {"after_id": after.case_id}
    elif after is not None:
        held.append(f"({column}, case_id) {beyond} (cast(cast(:after_value as text) as {type_}), :after_id)")
        bound |= {"after_value": after.value, "after_id": after.case_id}
    kinds = column == "priority" and by_kind(filters)
    if kinds:
        bound |= _kinds_wanted(bound)
    sorted_by = ("case_id",) if part == "without_clock" else (column, "case_id")
    in_order = f"order by {', '.join(f'{one} {order}' for one in sorted_by)}"
    place, looked_up = ("case_id", _BY_ID) if only_by_kind(filters) else ("ctid", _BY_PLACE)
    lists = []
    for lane in lanes(filters):
        holds = [*held, *lane]
        found = f"{place} as place, case_id, {column}"
        source = f"tracker.cases where {' and '.join(holds)}"
        if kinds:
            source, found = _of_each_kind(holds, in_order, found=found), "place, case_id, priority"
        if few:  # an offset keeps the two apart
            source, found = f"(select {found} from {source} offset 0) as few", f"place, case_id, {column}"
        lists.append(f"(select {found} from {source} {in_order} limit :limit)")
    # Only their places are sorted and merged: whole rows are wide.
    page = f"""
        select {COLUMNS}, cast(c.{column} as text) as sorted_value
        from (select * from ({" union all ".join(lists)}) as lanes {in_order} limit :limit) as page
        {looked_up}
        order by {", ".join(f"page.{one} {order}" for one in sorted_by)}
    """
    return page, bound


# Within a statement a row lies still, and by its place it is found without a look into an index. But who asks
# an index for places has it read the rows, which one that knows all that is asked for need not.
_BY_PLACE = "join tracker.cases c on c.ctid = page.place"
_BY_ID = """
    cross join lateral (
        select * from tracker.cases c
        where c.organization_id = :organization_id and c.case_id = page.place limit 1
    ) as c
"""


# The top of each kind, merged: as many short looks into one index as there are kinds. In one, the planner
# would choose between sorting all cases of the kinds and reading all urgent cases of the others.
def _of_each_kind(held: Sequence[str], in_order: str, *, found: str) -> str:
    rest = [one for one in held if not one.startswith(("auth_related =", "state =", "category ="))]
    return f"""
        unnest(cast(:wanted_about as boolean[])) as about(one_about)
        cross join unnest(cast(:wanted_states as text[])) as states(one_state)
        cross join unnest(cast(:wanted_categories as text[])) as categories(one_category)
        cross join lateral (
            select {found} from tracker.cases
            where {" and ".join(rest)}
                and auth_related = one_about and state = one_state and category = one_category
            {in_order} limit :limit
        ) as top
    """


def _kinds_wanted(bound: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "wanted_about": [bound["auth_related"]] if "auth_related" in bound else [True, False],
        "wanted_states": bound.get("states", _STATES),
        "wanted_categories": bound.get("categories", _CATEGORIES),
    }


_STATES, _CATEGORIES = list(get_args(State)), list(get_args(Category))


async def payers_like(connection: AsyncConnection | Driver, organization_id: UUID, payer: str) -> list[str]:
    """Give the values of the column payer that have this id, or in any case of letters this name."""
    found = await records(connection, _PAYERS, {"organization_id": organization_id, "payer": payer})
    return [one["payer"] for one in found]


# From one payer to the next along the index: there are few, and to see them by reading all cases is slow.
_PAYERS = """
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
"""


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
