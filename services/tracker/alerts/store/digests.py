"""The figures of a digest, and its most pressing cases. Asked once a morning for each team."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.digests import Figures
from services.tracker.alerts.domain.judging import OUR_TURN, CaseFacts
from services.tracker.alerts.domain.rules import Only
from services.tracker.alerts.store.candidates import (
    COLUMNS,
    DEADLINE,
    bound_of,
    conditions_of,
    facts_of,
)

_PRESSING = 5


async def figures_of(
    connection: AsyncConnection,
    organization_id: UUID,
    only: Only,
    *,
    since: datetime,
    at: datetime,
    until: datetime,
) -> Figures:
    """Count and sum a team's cases: new and recovered since, due until, at risk now."""
    ours = f"c.state = any (cast(:states as text[])) and {DEADLINE} >= :at and c.next_deadline_at is not null"
    due = f"{ours} and {DEADLINE} < :until"
    parts = {
        "new": "c.opened_at >= :since and c.closed_reason is null",
        "due": due,
        "at_risk": ours,
        "recovered": "c.closed_reason = 'recovered' and c.closed_at >= :since",
    }
    recovered = "c.recovered_payer_amount + c.recovered_patient_amount"
    sums = ", ".join(
        f"count(*) filter (where {which}) as {name},"
        f" coalesce(sum({recovered if name == 'recovered' else 'c.amount_at_stake'})"
        f" filter (where {which}), 0) as {name}_amount"
        for name, which in parts.items()
    )
    statement = f"select {sums} from tracker.cases c where {_scope(only)}"
    bound = {"since": since, "at": at, "until": until, **_bound(organization_id, only)}
    row = (await connection.execute(text(statement), _used(statement, bound))).mappings().one()
    return Figures(**row)


async def most_pressing(
    connection: AsyncConnection, organization_id: UUID, only: Only, *, at: datetime, until: datetime
) -> list[CaseFacts]:
    """Give the cases with the next deadlines before an instant."""
    statement = f"""
        select {COLUMNS} from tracker.cases c
        where {_scope(only)} and c.state = any (cast(:states as text[]))
            and {DEADLINE} >= :at and {DEADLINE} < :until
        order by {DEADLINE}, c.case_id
        limit {_PRESSING}
    """
    bound = {"at": at, "until": until, **_bound(organization_id, only)}
    return [facts_of(row) for row in await connection.execute(text(statement), _used(statement, bound))]


def _scope(only: Only) -> str:
    return " and ".join(("c.organization_id = :organization_id", "not c.is_test", *conditions_of(only)))


def _bound(organization_id: UUID, only: Only) -> dict[str, object]:
    return {"organization_id": organization_id, "states": sorted(OUR_TURN), **bound_of(only)}


def _used(statement: str, bound: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in bound.items() if f":{name}" in statement}
