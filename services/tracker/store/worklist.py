"""One person's queue, band by band: a page seldom needs more than the first."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.domain.states import UNFINISHED_STATES
from services.tracker.domain.worklist import BANDS
from services.tracker.store.search import COLUMNS
from shared.postgres import Driver, records


class QueuePlace(NamedTuple):
    """The last case of a page. `at` is when the first page was asked for, so that bands do not move."""

    at: datetime
    band: int
    mine: int = 2
    priority: int = 0
    case_id: UUID | None = None


class Queued(NamedTuple):
    """Bands and rows of tracker.cases with `act_by`, and the place behind the last when there are more."""

    cases: list[tuple[int, Mapping[str, Any]]]
    next_place: QueuePlace | None


async def queue(
    connection: AsyncConnection | Driver, organization_id: UUID, *, me: UUID, place: QueuePlace, limit: int
) -> Queued:
    """Give the next cases of a person's queue behind a place."""
    found: list[tuple[int, Mapping[str, Any]]] = []
    for band in range(place.band, len(BANDS)):
        after = place if band == place.band else QueuePlace(place.at, band)
        statement, bound = band_query(band, me=me, after=after)
        rows = await records(
            connection,
            statement,
            {**bound, "organization_id": organization_id, "limit": limit + 1 - len(found)},
        )
        found += [(band, row) for row in rows]
        if len(found) > limit:
            in_band, last = found[limit - 1]
            case_id = UUID(str(last["case_id"]))
            behind = QueuePlace(place.at, in_band, last["mine"], last["priority"], case_id)
            return Queued(found[:limit], behind)
    return Queued(found, None)


# Null counts for nothing in least(); a follow-up is due from the beginning of its day.
_ACT_BY = "least(due_at, information_due_at, cast(follow_up_on as timestamp) at time zone 'UTC')"
_MINE = "case when assignee_id is null then 0 else 1 end"


def band_query(band: int, *, me: UUID, after: QueuePlace) -> tuple[str, dict[str, Any]]:
    """Write the query of one band, with what it binds but :organization_id and :limit."""
    held = ["organization_id = :organization_id", "state = any (cast(:unfinished as text[]))", "not is_test"]
    bound: dict[str, Any] = {"unfinished": sorted(UNFINISHED_STATES), "me": me}
    until = BANDS[band].until
    if until is not None:
        # The first lets indexes find the few cases, the second says what is meant.
        held.append(
            "(due_at < :until or information_due_at < :until or follow_up_on <= cast(:until_day as date))"
        )
        held.append(f"{_ACT_BY} < :until")
        bound |= {"until": after.at + until, "until_day": (after.at + until).date()}
    if band:
        held.append(f"{_ACT_BY} >= :begin")
        bound["begin"] = after.at + (BANDS[band - 1].until or timedelta())
    if after.case_id is not None:
        held.append(f"({_MINE}, priority, case_id) < (:mine, :priority, :case_id)")
        bound |= {"mine": after.mine, "priority": after.priority, "case_id": after.case_id}
    # One's own and nobody's cases apart, each in the order of an index.
    lanes = " union all ".join(
        f"(select ctid as place, case_id, priority, {_MINE} as mine, nullif({_ACT_BY}, 'infinity') as act_by"
        f" from tracker.cases where {' and '.join([*held, whose])}"
        " order by priority desc, case_id desc limit :limit)"
        for whose in ("assignee_id = :me", "assignee_id is null")
    )
    page = f"""
        select {COLUMNS}, page.mine, page.act_by
        from (select * from ({lanes}) as lanes {_order("lanes")} limit :limit) as page
        join tracker.cases c on c.ctid = page.place
        {_order("page")}
    """
    return page, bound


def _order(of: str) -> str:
    return f"order by {of}.mine desc, {of}.priority desc, {of}.case_id desc"
