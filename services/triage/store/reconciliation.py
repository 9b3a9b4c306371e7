"""What triage answers to a reconciliation: ids, sums and states, never contents."""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.postgres import transaction

PAGE_ROWS = 2_000

_PAGE = text("""
    select e.event_id, e.revision, latest.charge_amount, latest.denied_amount, latest.decisions,
        latest.message_id as latest_decision_id, latest.revision as latest_decision_revision,
        latest.parked_reason, latest.decided_at,
        case when latest.settled_at is not null then 'settled'
            when latest.parked_at is not null then 'parked' else 'open' end as state
    from triage.events e
    cross join lateral (
        select d.message_id, d.revision, d.charge_amount, d.denied_amount, d.settled_at, d.parked_at,
            d.parked_reason, d.created_at as decided_at, count(*) over () as decisions
        from triage.decisions d
        where (d.organization_id, d.event_id, d.event_revision) = (e.organization_id, e.event_id, e.revision)
        order by d.revision desc
        limit 1
    ) latest
    where e.organization_id = :organization and (e.event_id, e.revision) > (:event, :revision)
        and (cast(:since as timestamptz) is null or e.seen_at >= :since)
    order by e.event_id, e.revision
    limit :limit
""")

_BEFORE_ALL = (UUID(int=0), -1)


class DecisionLine(msgspec.Struct, frozen=True, kw_only=True):
    """
    One event that was decided.

    The amounts are those of the latest decision in US dollars, `state` is its state (open, settled, parked),
    `decisions` counts all of the event, `decided_at` is when the latest was made.
    """

    organization_id: UUID
    event_id: UUID
    revision: int
    charge_amount: Decimal
    denied_amount: Decimal
    decisions: int
    latest_decision_id: UUID
    latest_decision_revision: int
    state: str
    parked_reason: str | None
    decided_at: datetime


async def decision_lines(
    engine: AsyncEngine, organizations: Iterable[UUID], *, since: datetime | None = None
) -> AsyncIterator[list[DecisionLine]]:
    """
    Give every decided event, ordered by organization, event and revision, in pages.

    Each page is a transaction of its own, so that a slow reader holds neither a snapshot nor a connection.
    """
    for organization in sorted(organizations):
        after = _BEFORE_ALL
        while page := await _page(engine, organization, after=after, since=since):
            yield page
            after = (page[-1].event_id, page[-1].revision)


async def _page(
    engine: AsyncEngine, organization: UUID, *, after: tuple[UUID, int], since: datetime | None
) -> list[DecisionLine]:
    async with transaction(engine, organizations=[organization]) as connection:
        found = await connection.execute(
            _PAGE,
            {
                "organization": organization,
                "event": after[0],
                "revision": after[1],
                "since": since,
                "limit": PAGE_ROWS,
            },
        )
        return [DecisionLine(organization_id=organization, **row._mapping) for row in found]  # noqa: SLF001  SQLAlchemy's public name
