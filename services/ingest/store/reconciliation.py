"""Ids and sums for the reconciliation, counted from the rows themselves, page by page."""

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store.receipts import DEFECT
from shared.postgres import transaction

_REMITTANCES_AT_ONCE = 200
_EVENTS_AT_ONCE = 5000
_RECEIPTS_AT_ONCE = 1000

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
        r.duplicates, r.duplicate_charge_amount, r.quarantined - q.dismissed as quarantined,
        r.quarantined_charge_amount - q.dismissed_charge_amount as quarantined_charge_amount,
        q.dismissed, q.dismissed_charge_amount, e.denied_amount, r.released_at is not null as released,
        case when r.truncated then not exists (
            select from ingest.remittances whole
            where whole.organization_id = r.organization_id and whole.trace_number = r.trace_number
                and whole.payer_name is not distinct from r.payer_name and whole.is_test = r.is_test
                and not whole.truncated and whole.released_at is not null
        ) else false end as cut
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
        select count(*) as dismissed, coalesce(sum(charge_amount), 0) as dismissed_charge_amount
        from ingest.quarantined_claims d
        where d.organization_id = r.organization_id and d.remittance_id = r.remittance_id
            and d.state = 'dismissed'
    ) q
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
            when parcel.staged then 'staged' else 'open' end as state
    from ingest.claim_events e
    join ingest.remittances r on r.organization_id = e.organization_id and r.remittance_id = e.remittance_id
    left join lateral (
        select p.due_at = 'infinity' as staged from ingest.claim_events_parcels p
        where p.organization_id = e.organization_id and p.parcel_id = e.parcel_id and e.settled_at is null
        limit 1
    ) as parcel on true
    where (e.organization_id, e.message_id, e.revision)
            > (cast(:organization as uuid), cast(:event as uuid), :revision)
        and (cast(:since as date) is null or r.received_at >= cast(:since as date))
        and (cast(:only as uuid) is null or e.remittance_id = cast(:only as uuid))
    order by e.organization_id, e.message_id, e.revision
    limit :limit
""")
_SUBMITTERS = text("select submitter_id from ingest.submitters_with_receipts()")
_UNFINISHED = text("""
    select r.receipt_id, r.submitter_id, r.status, r.refused_reason, r.failures, r.received_at,
        h.sets as held_sets, h.claims as held_claims, h.charge_amount as held_charge_amount
    from ingest.receipts r
    cross join lateral (
        select count(*) as sets, coalesce(sum(claims_read), 0) as claims,
            coalesce(sum(charge_amount), 0) as charge_amount
        from ingest.held_remittances h
        where h.submitter_id = r.submitter_id and h.receipt_id = r.receipt_id
    ) h
    where (r.submitter_id, r.receipt_id) > (cast(:submitter as uuid), cast(:receipt as uuid))
        and (cast(:since as date) is null or r.received_at >= cast(:since as date))
        and (r.status in ('received', 'processing') or r.refused_reason = :defect or h.sets > 0)
    order by r.submitter_id, r.receipt_id
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


async def unfinished_receipts(engine: AsyncEngine, *, since: date | None) -> AsyncIterator[Any]:
    """
    Give a row per file of the installation whose claims are not all in remittances, and what is held of it.

    It waits, is being read, was given up, or has held sets. Ordered by submitter and receipt.
    """
    async with transaction(engine) as connection:
        submitters = list((await connection.execute(_SUBMITTERS)).scalars())
    at = {"submitter": UUID(int=0), "receipt": UUID(int=0)}
    asked = {"since": since, "defect": DEFECT, "limit": _RECEIPTS_AT_ONCE}
    while True:
        async with transaction(engine, submitters=submitters) as connection:
            page = (await connection.execute(_UNFINISHED, {**asked, **at})).all()
        for row in page:
            yield row
        if len(page) < _RECEIPTS_AT_ONCE:
            return
        at = {"submitter": page[-1].submitter_id, "receipt": page[-1].receipt_id}
