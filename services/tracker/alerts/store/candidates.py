"""
Which cases a rule has to look at: by ranges of indexes only, so that 100,000 cases cost what the near ones
cost.

A range is a little wider than the rule; judging.py is the arbiter. What the rule excludes by amount,
category or state is left out here already, else it would be fetched anew at every look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.calendar import (
    ONE_DAY,
    Calendar,
    last_day_within,
    start_of,
    today,
)
from services.tracker.alerts.domain.judging import OUR_TURN, CaseFacts
from services.tracker.alerts.domain.rules import (
    Clock,
    DeadlineMissed,
    FollowUp,
    InformationRequest,
    NewCase,
    Only,
    Rule,
    Tier,
    Unowned,
)

_ZONES_APART = timedelta(days=1)
"""A payer's day may end so much later than the organization's day of the same date."""
_FIRST = datetime.fromisoformat("0001-01-01T00:00:00+00:00")

COLUMNS = """
    c.case_id, c.version, c.state, c.payer_name, c.payer_id, c.category, c.amount_at_stake as amount,
    c.deadlines, c.deadline_zones as zones, c.opened_at, c.closed_at, c.assignee_id, c.follow_up_on,
    c.information_due_at
"""
DEADLINE = "c.due_at"


@dataclass(frozen=True, slots=True)
class Range:
    """The cases whose `column` lies in [since, until); `table` says where the column is."""

    column: str
    since: Any
    until: Any
    table: str = "tracker.cases c"


def range_of(rule: Rule, *, at: datetime, calendar: Calendar) -> Range:
    """Give the range in which a rule finds whatever it finds at an instant."""
    match rule.settings:
        case NewCase(hours=hours):
            return Range("c.opened_at", at - timedelta(hours=hours), at + ONE_DAY)
        case DeadlineMissed():
            return Range(
                "m.deadline_at",
                missed_since(rule.settings, at=at),
                at + ONE_DAY,
                table="tracker.missed_deadlines m join tracker.cases c"
                " on c.organization_id = m.organization_id and c.case_id = m.case_id",
            )
        case FollowUp():
            return Range("c.follow_up_on", _FIRST.date(), edge_of(rule, at=at, calendar=calendar)[1])
        case InformationRequest():
            return Range("c.information_due_at", _FIRST, edge_of(rule, at=at, calendar=calendar)[1])
        case _:
            return Range(DEADLINE, at, edge_of(rule, at=at, calendar=calendar)[1])


def edge_of(rule: Rule, *, at: datetime, calendar: Calendar) -> tuple[str, Any]:
    """
    Give the column and the value below which time alone has brought a case into a rule's reach.

    It moves on with time. What a rule finds a while later than that, judging.py knows.
    """
    match rule.settings:
        case Clock(tiers=tiers):
            return DEADLINE, _reach(tiers, at=at, calendar=calendar)
        case Unowned(business_days_left=days):
            return DEADLINE, _days(days, at=at, calendar=calendar)
        case NewCase(business_days_left=days):
            return DEADLINE, _FIRST if days is None else _days(days, at=at, calendar=calendar)
        case DeadlineMissed():
            return DEADLINE, at
        case FollowUp():
            return "c.follow_up_on", today(calendar, at) + ONE_DAY
        case InformationRequest(tiers=tiers):
            return "c.information_due_at", _reach(tiers, at=at, calendar=calendar)
        case _:
            raise AssertionError(rule.settings.kind)  # no rule about cases


def within_reach(rule: Rule, *, at: datetime, calendar: Calendar) -> tuple[list[str], dict[str, Any]]:
    """Say over a row of cases what must hold for a rule to find anything in it, with what that binds."""
    column, edge = edge_of(rule, at=at, calendar=calendar)
    bound: dict[str, Any] = {"edge": edge, **bound_of(rule.only)}
    conditions = conditions_of(rule.only)
    match rule.settings:
        case NewCase(hours=hours, amount_at_least=large):
            bound |= {"opened_since": at - timedelta(hours=hours), "large": large}
            conditions += [
                "c.opened_at > :opened_since",
                "(c.amount_at_stake >= :large or c.due_at < :edge)"
                if large is not None
                else "c.due_at < :edge",
            ]
        case DeadlineMissed():
            bound["missed_since"] = missed_since(rule.settings, at=at)
            conditions.append(
                "exists (select 1 from unnest(c.deadlines) as d"
                " where d > c.opened_at and d > :missed_since and d <= :edge)"
            )
        case _:
            conditions.append(f"{column} < :edge")
    if isinstance(rule.settings, Unowned):
        conditions.append("c.assignee_id is null")
    if not isinstance(rule.settings, FollowUp | InformationRequest):
        bound["states"] = sorted(OUR_TURN)
        conditions.append("c.state = any (cast(:states as text[]))")
    said = " and ".join(conditions)
    return conditions, {name: value for name, value in bound.items() if f":{name}" in said}


def missed_since(settings: DeadlineMissed, *, at: datetime) -> datetime:
    """Give a day before the first of which a missed deadline is still told."""
    # Backwards: weekends and holidays between make it at most three times as many days, and a week.
    return at - timedelta(days=3 * settings.business_days + 7)


def _reach(tiers: Sequence[Tier], *, at: datetime, calendar: Calendar) -> datetime:
    return max(
        at + timedelta(hours=tier.hours)
        if tier.hours is not None
        else _days(tier.business_days or 0, at=at, calendar=calendar)
        for tier in tiers
    )


def _days(days: int, *, at: datetime, calendar: Calendar) -> datetime:
    last = last_day_within(calendar, today(calendar, at), days)
    return start_of(calendar, last + ONE_DAY) + _ZONES_APART


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the value of the range's column, and the case."""

    value: Any
    case_id: UUID


async def candidates(
    connection: AsyncConnection,
    organization_id: UUID,
    rule: Rule,
    *,
    at: datetime,
    calendar: Calendar,
    after: Place | None,
    limit: int,
) -> tuple[list[CaseFacts], Place | None]:
    """Give a page of the cases in a rule's range that have no open alert of it, and where it ended."""
    statement, bound = candidate_query(rule, at=at, calendar=calendar, after=after)
    rows = (
        await connection.execute(
            text(statement), {**bound, "organization_id": organization_id, "limit": limit}
        )
    ).all()
    place = Place(rows[-1].place, UUID(int=rows[-1].case_id.int)) if len(rows) == limit else None
    return [facts_of(row) for row in rows], place


def candidate_query(
    rule: Rule, *, at: datetime, calendar: Calendar, after: Place | None = None
) -> tuple[str, dict[str, Any]]:
    """Write the query of a page, with what it binds but :organization_id and :limit."""
    span = range_of(rule, at=at, calendar=calendar)
    table = "m" if span.table.startswith("tracker.missed") else "c"
    within, bound = within_reach(rule, at=at, calendar=calendar)
    conditions = [
        f"{table}.organization_id = :organization_id",
        f"{span.column} >= :since",
        f"{span.column} < :until",
        "not c.is_test",
        *within,
    ]
    if after:
        conditions.append(f"({span.column}, c.case_id) > (:since, :after_id)")
        bound["after_id"] = after.case_id
    bound |= {
        "since": after.value if after else span.since,
        "until": span.until,
        "rule_id": rule.rule_id,
    }
    statement = f"""
        select {COLUMNS}, {span.column} as place
        from {span.table}
        where {" and ".join(conditions)}
            and not exists (
                select 1 from tracker.alerts a
                -- A case has few alerts, a rule thousands; before the first ANALYZE the planner thinks both
                -- unique, so the rule is kept from the indexes.
                where a.case_id = c.case_id and (a.rule_id = :rule_id) is true and a.resolved_at is null)
        order by {span.column}, c.case_id
        limit :limit
    """
    return statement, bound


def conditions_of(only: Only) -> list[str]:
    """Say whom a rule is about, over the values of bound_of()."""
    conditions = []
    if only.amount_at_least is not None:
        conditions.append("c.amount_at_stake >= :amount")
    if only.categories:
        conditions.append("c.category = any (cast(:categories as text[]))")
    if only.payers:
        conditions.append(
            "(lower(c.payer_id) = any (cast(:payers as text[]))"
            " or lower(trim(c.payer_name)) = any (cast(:payers as text[])))"
        )
    return conditions


def bound_of(only: Only) -> dict[str, Any]:
    """Give what conditions_of() binds, and perhaps more."""
    return {
        "categories": list(only.categories),
        "payers": [one.strip().lower() for one in only.payers],
        "amount": only.amount_at_least,
    }


def facts_of(row: Any) -> CaseFacts:
    """Read a row of COLUMNS."""
    given: dict[str, Any] = dict(row._mapping)  # noqa: SLF001  SQLAlchemy's own name for it
    known: dict[str, Any] = {name: given[name] for name in CaseFacts.__slots__}
    known |= {"deadlines": tuple(given["deadlines"]), "zones": tuple(given["zones"])}
    return CaseFacts(**known)


async def changed_cases(
    connection: AsyncConnection,
    organization_id: UUID,
    rule: Rule,
    *,
    at: datetime,
    limit: int,
) -> list[tuple[UUID, CaseFacts]]:
    """Give the open alerts of a rule whose case, rule or time says to look again, with their cases."""
    rows = await connection.execute(
        _CHANGED,
        {
            "organization_id": organization_id,
            "rule_id": rule.rule_id,
            "version": rule.version,
            "at": at,
            "limit": limit,
        },
    )
    return [(UUID(int=row.alert_id.int), facts_of(row)) for row in rows]


_CHANGED = text(f"""
    select a.alert_id, {COLUMNS}
    from tracker.alerts a
    join tracker.cases c on c.organization_id = a.organization_id and c.case_id = a.case_id
    where a.organization_id = :organization_id and a.rule_id = :rule_id and a.resolved_at is null
        and (a.recheck_at <= :at or a.case_version <> c.version or a.rule_version <> :version)
    order by a.alert_id
    limit :limit
""")
