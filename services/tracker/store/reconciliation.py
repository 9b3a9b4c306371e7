"""What the tracker answers to a reconciliation: ids and sums of the ledger, never contents."""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.postgres import transaction

PAGE_ROWS = 2_000
_BEFORE_ALL = (UUID(int=0), -1)

_PAGE = text("""
    select distinct on (event_id, revision)
        event_id, revision, charge_amount, denied_amount, decision_revision
    from tracker.ledger
    where organization_id = :organization_id and (event_id, revision) > (:event_id, :revision)
        and (cast(:since as timestamptz) is null or recorded_at >= :since)
    order by event_id, revision, decision_revision desc
    limit :limit
""")


class LedgerLine(msgspec.Struct, frozen=True, kw_only=True):
    """One event in the ledger. Amounts in US dollars; `decision_revision` is the highest recorded."""

    organization_id: UUID
    event_id: UUID
    revision: int
    charge_amount: Decimal
    denied_amount: Decimal
    decision_revision: int


async def ledger_lines(
    engine: AsyncEngine, organizations: Iterable[UUID], *, since: datetime | None = None
) -> AsyncIterator[list[LedgerLine]]:
    """
    Give every event in the ledger, ordered by organization, event and revision, in pages.

    Each page is a transaction of its own, so that a slow reader holds neither a snapshot nor a connection.
    """
    for organization in sorted(organizations):
        after = _BEFORE_ALL
        while page := await _page(engine, organization, after=after, since=since):
            yield page
            after = (page[-1].event_id, page[-1].revision)


async def _page(
    engine: AsyncEngine, organization_id: UUID, *, after: tuple[UUID, int], since: datetime | None
) -> list[LedgerLine]:
    async with transaction(engine, organizations=[organization_id]) as connection:
        found = await connection.execute(
            _PAGE,
            {
                "organization_id": organization_id,
                "event_id": after[0],
                "revision": after[1],
                "since": since,
                "limit": PAGE_ROWS,
            },
        )
        return [
            LedgerLine(organization_id=organization_id, **{**row, "event_id": UUID(str(row["event_id"]))})
            for row in found.mappings()
        ]
