"""Ids and sums for the reconciliation, counted from the rows themselves, page by page."""

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.postgres import transaction

_REMITTANCES_AT_ONCE = 200
_EVENTS_AT_ONCE = 5000

_ORGANIZATIONS = text("select organization_id from access.organizations_of_installation()")

_REMITTANCES = text("""
    with page as (
        select * from ingest.remittances
        where (organization_id, remittance_id) > (cast(:organization as uuid), cast(:remittance as uuid))
            and (cast(:since as date) is null or received_at >= cast(:since as date))
            and (cast(:only as uuid) is null or remittance_id = cast(:only as uuid))
        order by organization_id, remittance_id
        limit :limit
    )
    select r.organization_id, r.remittance_id, r.receipt_id, r.claims_read, r.charge_read_amount,
        c.evented, c.evented_charge_amount, c.no_event, c.no_event_charge_amount,
        r.duplicates, r.duplicate_charge_amount, r.quarantined, r.quarantined_charge_amount,
        e.denied_amount, r.released_at is not null as released
    from page r
    cross join lateral (
        select count(*) filter (where evented) as evented,
            coalesce(sum(charge_amount) filter (where evented), 0) as evented_charge_amount,
            count(*) filter (where not evented) as no_event,
            coalesce(sum(charge_amount) filter (where not evented), 0) as no_event_charge_amount
        from (
            select distinct on (position) evented, charge_amount from ingest.claims c
            where c.organization_id = r.organization_id and c.remittance_id = r.remittance_id
            order by position, revision desc
        ) as latest
    ) c
    cross join lateral (
        select coalesce(sum(denied_amount), 0) as denied_amount from (
            select distinct on (message_id) denied_amount from ingest.claim_events e
            where e.organization_id = r.organization_id and e.remittance_id = r.remittance_id
            order by message_id, revision desc
        ) as latest
    ) e
    order by r.organization_id, r.remittance_id
""")
_EVENTS = text("""
    select e.organization_id, e.message_id as event_id, e.revision, e.remittance_id, e.charge_amount,
        e.denied_amount, e.created_at, e.parked_reason,
        case when e.settled_at is not null then 'settled' when e.parked_at is not null then 'parked'
            when e.due_at = 'infinity' then 'staged' else 'open' end as state
    from ingest.claim_events e
    join ingest.remittances r on r.organization_id = e.organization_id and r.remittance_id = e.remittance_id
    where (e.organization_id, e.message_id, e.revision)
            > (cast(:organization as uuid), cast(:event as uuid), :revision)
        and (cast(:since as date) is null or r.received_at >= cast(:since as date))
        and (cast(:only as uuid) is null or e.remittance_id = cast(:only as uuid))
    order by e.organization_id, e.message_id, e.revision
    limit :limit
""")


async def organizations_of_installation(engine: AsyncEngine) -> list[UUID]:
    """Give every organization: the scope of an operator."""
    async with transaction(engine) as connection:
        return list((await connection.execute(_ORGANIZATIONS)).scalars())


async def remittance_sums(
    engine: AsyncEngine, *, organizations: Sequence[UUID], since: date | None, remittance_id: UUID | None
) -> AsyncIterator[Any]:
    """Give a row per remittance received since then (UTC), ordered by organization and remittance."""
    at = {"organization": UUID(int=0), "remittance": UUID(int=0)}
    asked = {"since": since, "only": remittance_id, "limit": _REMITTANCES_AT_ONCE}
    while True:
        async with transaction(engine, organizations=organizations) as connection:
            page = (await connection.execute(_REMITTANCES, {**asked, **at})).all()
        for row in page:
            yield row
        if len(page) < _REMITTANCES_AT_ONCE:
            return
        at = {"organization": page[-1].organization_id, "remittance": page[-1].remittance_id}


async def event_states(
    engine: AsyncEngine, *, organizations: Sequence[UUID], since: date | None, remittance_id: UUID | None
) -> AsyncIterator[Any]:
    """Give a row per event of those remittances, ordered by organization, event and revision."""
    at: dict[str, Any] = {"organization": UUID(int=0), "event": UUID(int=0), "revision": 0}
    asked = {"since": since, "only": remittance_id, "limit": _EVENTS_AT_ONCE}
    while True:
        async with transaction(engine, organizations=organizations) as connection:
            page = (await connection.execute(_EVENTS, {**asked, **at})).all()
        for row in page:
            yield row
        if len(page) < _EVENTS_AT_ONCE:
            return
        last = page[-1]
        at = {"organization": last.organization_id, "event": last.event_id, "revision": last.revision}
