"""
The claim events that triage has seen.

The unique row (organization, event, revision) is the arbiter of what is new: not Kafka's offsets.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.claim import ClaimObserved
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.fact_recorded import FactRecorded
from shared.postgres.arrays import array_of, arrays
from shared.postgres.bundles import bundle, payload_of

EventKey = tuple[UUID, UUID, int]
"""Organization, event id, revision."""

_EVENTS = arrays(
    organizations="uuid",
    events="uuid",
    revisions="integer",
    claim_keys="uuid",
    types="text",
    charges="numeric",
    denied="numeric",
    numbers="integer",
    places="smallint",
)
_INSERT = text(f"""
    with inserted as (
        insert into triage.events (organization_id, event_id, revision, claim_key, type, charge_amount,
            denied_amount, bundle_id, place)
        select organization_id, event_id, revision, claim_key, type, charge_amount, denied_amount,
            (cast(:bundle_ids as uuid[]))[number], place
        from unnest(
            {_EVENTS}) as given(organization_id, event_id, revision, claim_key, type,
                charge_amount, denied_amount, number, place)
        on conflict do nothing
        returning organization_id, event_id, revision, bundle_id
    ), kept as (
        insert into triage.events_bundles (organization_id, bundle_id, payloads)
        select * from unnest(cast(:bundle_organizations as uuid[]), cast(:bundle_ids as uuid[]),
            cast(:bundles as bytea[])) as made(organization_id, bundle_id, payloads)
        where bundle_id in (select bundle_id from inserted)
    )
    select array_agg(organization_id), array_agg(event_id), array_agg(revision) from inserted
    having count(*) < :given
""")

_NAMED = text("""
    select distinct on (e.organization_id, e.event_id) e.place, b.payloads as bundle,
        (select max(d.revision) from triage.decisions d
         where (d.organization_id, d.event_id, d.event_revision) = (e.organization_id, e.event_id, e.revision)
        ) as decided
    from unnest(cast(:organizations as uuid[]), cast(:events as uuid[]), cast(:claim_keys as uuid[]))
        as named(organization_id, event_id, claim_key)
    join triage.events e using (organization_id, event_id, claim_key)
    cross join lateral (
        select payloads from triage.events_bundles b
        where b.organization_id = e.organization_id and b.bundle_id = e.bundle_id
        limit 1
    ) as b
    where e.type = 'ClaimDenied'
    order by e.organization_id, e.event_id, e.revision desc
""")

_PURGED = text("""
    select distinct e.organization_id, e.event_id
    from unnest(cast(:organizations as uuid[]), cast(:events as uuid[]), cast(:claim_keys as uuid[]))
        as named(organization_id, event_id, claim_key)
    join triage.events e using (organization_id, event_id, claim_key)
    where e.bundle_id is null
""")

_denied = msgspec.json.Decoder(ClaimDenied)


@dataclass(frozen=True, slots=True)
class StoredDenial:
    """The highest revision of a denial, and the highest revision of its decision; None before the first."""

    event: ClaimDenied
    decided: int | None


def key_of(event: ClaimObserved) -> EventKey:
    """Name an event as the unique row does."""
    return (event.organization_id, event.event_id, event.revision)


def denied_amount(event: ClaimObserved) -> Decimal:
    """Add up what the event says is denied: nothing unless it is a denial."""
    if not isinstance(event, ClaimDenied):
        return Decimal(0)
    return sum([item.amount for item in event.denied], Decimal(0))


async def insert_events(
    connection: AsyncConnection, events: Mapping[EventKey, ClaimObserved], payloads: Sequence[bytes]
) -> set[EventKey]:
    """Keep events as they came, in the order of the map and of `payloads`; gives the keys of the new ones."""
    if not events:
        return set()
    seen = events.values()
    organizations = [event.organization_id for event in seen]
    bundled = bundle(organizations, payloads)
    inserted = await connection.execute(
        _INSERT,
        {
            **bundled,
            "numbers": array_of(bundled["numbers"]),
            "places": array_of(bundled["places"]),
            "organizations": organizations,
            "events": [event.event_id for event in seen],
            "revisions": array_of([event.revision for event in seen]),
            "claim_keys": [event.claim_key for event in seen],
            "types": array_of([type(event).__name__ for event in seen]),
            "charges": array_of([event.charge_amount for event in seen]),
            "denied": array_of([denied_amount(event) for event in seen]),
            "given": len(events),
        },
    )
    # As a rule all are new: then no keys come back, and those at hand need not be hashed again.
    some = inserted.one_or_none()
    if some is None:
        return set(events)
    return set() if some[0] is None else set(zip(*some, strict=True))


async def denials_named_by(
    connection: AsyncConnection, facts: Collection[FactRecorded]
) -> list[StoredDenial]:
    """Give the denials that the facts name and that triage has, each in its highest revision."""
    if not (named := _named_by(facts)):
        return []
    found = await connection.execute(_NAMED, named)
    return [StoredDenial(event=_denied.decode(payload_of(row)), decided=row.decided) for row in found]


async def purged_named_by(
    connection: AsyncConnection, facts: Collection[FactRecorded]
) -> set[tuple[UUID, UUID]]:
    """Give the events, as (organization, event id), that the facts name and whose payloads were purged."""
    if not (named := _named_by(facts)):
        return set()
    found = await connection.execute(_PURGED, named)
    return {(row.organization_id, row.event_id) for row in found}


def _named_by(facts: Collection[FactRecorded]) -> dict[str, list[UUID]]:
    # The claim key must agree as well: the caller holds the shards of the facts' keys and of no others.
    named = {
        (fact.organization_id, event_id, fact.claim_key) for fact in facts for event_id in fact.event_ids
    }
    if not named:
        return {}
    organizations, events, claim_keys = zip(*sorted(named), strict=True)
    return {"organizations": list(organizations), "events": list(events), "claim_keys": list(claim_keys)}
