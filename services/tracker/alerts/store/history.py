"""The past as far as it is kept: cases and their steps, denials by day, tries to deliver, reconciliations."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.calendar import Calendar, start_of
from services.tracker.alerts.domain.judging import OUR_TURN, CaseFacts
from services.tracker.alerts.domain.patterns import DailyCount
from services.tracker.alerts.domain.rules import (
    DeadlineMissed,
    FollowUp,
    InformationRequest,
    NewCase,
    Rule,
    Unowned,
)
from services.tracker.alerts.store.candidates import (
    COLUMNS,
    bound_of,
    conditions_of,
    edge_of,
    facts_of,
    missed_since,
)

_LATE = timedelta(days=14)
"""How much later than the payer's day a remittance may come to count in the oldest week."""


async def counted_denials(
    connection: AsyncConnection, organization_id: UUID, *, first_day: date, calendar: Calendar
) -> list[DailyCount]:
    """Count the denials of each payer, category, service and payer's day since a day, by when we saw them."""
    found = await connection.execute(
        _COUNTED,
        {
            "organization_id": organization_id,
            "since": start_of(calendar, first_day) - _LATE,
            "first_day": first_day,
            "zone": calendar.zone,
        },
    )
    return [DailyCount(*row) for row in found]


_COUNTED = text("""
    select payer, max(payer_name), max(payer_id), category, coalesce(service_code, '') as service, denied_on,
        cast(opened_at at time zone :zone as date) as seen_on, count(*), sum(amount_at_stake)
    from tracker.cases
    where organization_id = :organization_id and opened_at >= :since and denied_on >= :first_day
        and not is_test
        and closed_reason is distinct from 'merged' and closed_reason is distinct from 'withdrawn'
        and closed_reason is distinct from 'not_our_denial'
    group by payer, category, service, denied_on, seen_on
""")


async def past_cases(
    connection: AsyncConnection,
    organization_id: UUID,
    rule: Rule,
    *,
    since: datetime,
    at: datetime,
    calendar: Calendar,
    limit: int,
) -> list[CaseFacts]:
    """
    Give the newest cases in which a rule may have found something between two instants.

    What was sent is ours to act on until it was, and what somebody owns is nobody's until it was first
    assigned: their steps say when.
    """
    reached, bound = _reached(rule, since=since, at=at, calendar=calendar)
    sent = _STEP.format(which="max", kinds="'submit', 'corrected_claim_sent'")
    assigned = _STEP.format(which="min", kinds="'assign'")
    conditions = ["c.organization_id = :organization_id", "not c.is_test", *conditions_of(rule.only), reached]
    statement = f"""
        select {COLUMNS}, c.updated_at, {sent} as sent_at, {assigned} as assigned_at
        from tracker.cases c
        where {" and ".join(conditions)} and coalesce(c.closed_at, 'infinity') > :begins
            and c.closed_reason is distinct from 'merged'
            and c.closed_reason is distinct from 'not_our_denial'
        order by c.opened_at desc, c.case_id desc
        limit :limit
    """
    bound |= {"organization_id": organization_id, "begins": since, "limit": limit, **bound_of(rule.only)}
    rows = await connection.execute(
        text(statement), {name: value for name, value in bound.items() if f":{name}" in statement}
    )
    return [_as_it_was(rule, facts_of(row), row) for row in rows]


_STEP = """(
    select {which}(s.made_at) from tracker.steps s
    where s.organization_id = c.organization_id and s.case_id = c.case_id and s.kind in ({kinds}))"""


def _reached(rule: Rule, *, since: datetime, at: datetime, calendar: Calendar) -> tuple[str, dict[str, Any]]:
    """Say over a row of cases what must hold for a rule to have found anything in it since an instant."""
    column, edge = edge_of(rule, at=at, calendar=calendar)
    match rule.settings:
        case NewCase(hours=hours):
            return "c.opened_at > :opened", {"opened": since - timedelta(hours=hours)}
        case FollowUp() | InformationRequest():
            return f"{column} < :edge", {"edge": edge}
        case DeadlineMissed():
            since = missed_since(rule.settings, at=since)
        case _:
            pass
    return (
        "exists (select 1 from unnest(c.deadlines) as d where d > :passed and d < :edge)",
        {"passed": since, "edge": edge},
    )


def _as_it_was(rule: Rule, case: CaseFacts, row: Any) -> CaseFacts:
    ends = [case.closed_at] if case.closed_at else []
    if case.state not in OUR_TURN:
        case = replace(case, state="open")
        ends.append(row.sent_at or row.updated_at)
    if isinstance(rule.settings, Unowned) and case.assignee_id is not None:
        case = replace(case, assignee_id=None)
        ends.append(row.assigned_at or row.updated_at)
    return replace(case, closed_at=min(ends, default=None))


async def past_attempts(
    connection: AsyncConnection, organization_id: UUID, *, since: datetime
) -> Sequence[Any]:
    """Give every attempt to deliver since an instant, channel by channel, with whether it went well."""
    return (await connection.execute(_ATTEMPTS, {"organization_id": organization_id, "since": since})).all()


_ATTEMPTS = text("""
    select channel_id, ended_at, outcome = 'delivered' as well from tracker.delivery_attempts
    where organization_id = :organization_id and ended_at >= :since
    order by channel_id, ended_at
""")


async def past_reconciliations(
    connection: AsyncConnection, organization_id: UUID, *, since: datetime
) -> Sequence[Any]:
    """Give when the reconciliation began to fail, and when it agreed again, since an instant."""
    return (await connection.execute(_RUNS, {"organization_id": organization_id, "since": since})).all()


_RUNS = text("""
    select at, action = 'reconciliation_agreed' as well from tracker.audit_log
    where organization_id = :organization_id and at >= :since
        and action in ('reconciliation_failed', 'reconciliation_agreed')
    order by at
""")
