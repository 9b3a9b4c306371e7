"""
Which cases time alone may have brought into a rule's reach between two looks, and which are worth judging.

Between two looks a range moves by a sliver; only that is read. A range is a little wider than its rule, so
who is found too early is remembered by the evaluator until the instant that judging.py names.
"""

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.calendar import Calendar
from services.tracker.alerts.domain.judging import CaseFacts
from services.tracker.alerts.domain.rules import Rule
from services.tracker.alerts.store.candidates import COLUMNS, DEADLINE, edge_of, facts_of, within_reach


async def ripe_cases(
    connection: AsyncConnection,
    organization_id: UUID,
    rules: Sequence[Rule],
    *,
    since: datetime,
    at: datetime,
    calendar: Calendar,
) -> set[UUID]:
    """Give the cases that time alone may have changed something for since the last look."""
    statement, bound = ripe_query(rules, since=since, at=at, calendar=calendar)
    found = await connection.execute(text(statement), {**bound, "organization_id": organization_id})
    return {UUID(int=one.int) for one in found.scalars()}


def ripe_query(
    rules: Sequence[Rule], *, since: datetime, at: datetime, calendar: Calendar
) -> tuple[str, dict[str, Any]]:
    """Write the query, with what it binds but :organization_id: a sliver of each range that moved."""
    parts = [_RECHECKED, _PASSED, _SWEPT]
    bound: dict[str, Any] = {"rule_ids": [rule.rule_id for rule in rules], "since": since, "at": at}
    for number, rule in enumerate(rules):
        column, until = edge_of(rule, at=at, calendar=calendar)
        _, before = edge_of(rule, at=since, calendar=calendar)
        if before < until:
            parts.append(f"{_CASES} and {column} >= :from_{number} and {column} < :to_{number}")
            bound |= {f"from_{number}": before, f"to_{number}": until}
    return " union ".join(parts), bound


_CASES = "select c.case_id from tracker.cases c where c.organization_id = :organization_id"
_RECHECKED = """
    select a.case_id from tracker.alerts a
    where a.organization_id = :organization_id and a.rule_id = any (cast(:rule_ids as uuid[]))
        and a.recheck_at <= :at and a.resolved_at is null
"""
# A deadline that passed stands in the case until the sweep has come by, and then among those missed.
_PASSED = f"{_CASES} and {DEADLINE} > :since and {DEADLINE} <= :at"
_SWEPT = """
    select m.case_id from tracker.missed_deadlines m
    where m.organization_id = :organization_id and m.deadline_at > :since and m.deadline_at <= :at
"""


async def worth_judging(
    connection: AsyncConnection,
    organization_id: UUID,
    rules: Sequence[Rule],
    case_ids: Collection[UUID],
    *,
    at: datetime,
    calendar: Calendar,
) -> list[CaseFacts]:
    """Give those of the cases in which a rule may find something, or found something before."""
    bound: dict[str, Any] = {
        "organization_id": organization_id,
        "case_ids": list(case_ids),
    }
    wanted = []
    for number, rule in enumerate(rules):
        conditions, more = within_reach(rule, at=at, calendar=calendar)
        wanted.append(re.sub(r":(\w+)", rf":\1_{number}", f"({' and '.join(conditions)})"))
        bound |= {f"{name}_{number}": value for name, value in more.items()}
    statement = f"""
        select {COLUMNS} from unnest(cast(:case_ids as uuid[])) as asked(case_id)
        cross join lateral (
            select * from tracker.cases c
            where c.organization_id = :organization_id and c.case_id = asked.case_id limit 1
        ) as c
        where not c.is_test and ({" or ".join(wanted)})
            or exists (
                select 1 from tracker.alerts a
                where a.organization_id = :organization_id and a.case_id = c.case_id
                    and a.resolved_at is null)
    """
    return [facts_of(row) for row in await connection.execute(text(statement), bound)]


async def unswept_cases(connection: AsyncConnection, organization_id: UUID, *, at: datetime) -> list[UUID]:
    """Give the cases whose next deadline has passed and that the sweep has not come by."""
    found = await connection.execute(_UNSWEPT, {"organization_id": organization_id, "at": at})
    return [UUID(int=one.int) for one in found.scalars()]


_UNSWEPT = text(f"{_CASES} and {DEADLINE} <= :at")
