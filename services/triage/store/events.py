"""
The claim events that triage has seen.

The unique row (organization, event, revision) is the arbiter of what is new: not Kafka's offsets.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.claim import ClaimObserved
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.fact_recorded import FactRecorded

EventKey = tuple[UUID, UUID, int]
"""Organization, event id, revision."""

_INSERT = text("""
    insert into triage.events
        (organization_id, event_id, revision, claim_key, type, payload, charge_amount, denied_amount)
    select * from unnest(
        cast(:organizations as uuid[]), cast(:events as uuid[]), cast(:revisions as integer[]),
        cast(:claim_keys as uuid[]), cast(:types as text[]), cast(:payloads as bytea[]),
        cast(:charges as numeric[]), cast(:denied as numeric[]))
    on conflict do nothing
    returning organization_id, event_id, revision
""")

_NAMED = text("""
    select distinct on (e.organization_id, e.event_id) e.payload,
        (select max(d.revision) from triage.decisions d
         where (d.organization_id, d.event_id, d.event_revision) = (e.organization_id, e.event_id, e.revision)
        ) as decided
    from unnest(cast(:organizations as uuid[]), cast(:events as uuid[]), cast(:claim_keys as uuid[]))
        as named(organization_id, event_id, claim_key)
    join triage.events e using (organization_id, event_id, claim_key)
    where e.type = 'ClaimDenied' and octet_length(e.payload) > 0
    order by e.organization_id, e.event_id, e.revision desc
""")

_PURGED = text("""
    select distinct e.organization_id, e.event_id
    from unnest(cast(:organizations as uuid[]), cast(:events as uuid[]), cast(:claim_keys as uuid[]))
        as named(organization_id, event_id, claim_key)
    join triage.events e using (organization_id, event_id, claim_key)
    where octet_length(e.payload) = 0
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
    connection: AsyncConnection, events: Mapping[EventKey, ClaimObserved], payloads: Mapping[EventKey, bytes]
) -> set[EventKey]:
    """Keep events as they came, in the order of the map; gives the keys of those that were new."""
    if not events:
        return set()
    seen = events.values()
    inserted = await connection.execute(
        _INSERT,
        {
            "organizations": [event.organization_id for event in seen],
            "events": [event.event_id for event in seen],
            "revisions": [event.revision for event in seen],
            "claim_keys": [event.claim_key for event in seen],
            "types": [type(event).__name__ for event in seen],
            "payloads": [payloads[key] for key in events],
            "charges": [event.charge_amount for event in seen],
            "denied": [denied_amount(event) for event in seen],
        },
    )
    new = inserted.all()
    # As a rule all are new: then the keys at hand are as good, and need not be hashed again.
    return set(events) if len(new) == len(events) else {(row[0], row[1], row[2]) for row in new}


async def denials_named_by(
    connection: AsyncConnection, facts: Collection[FactRecorded]
) -> list[StoredDenial]:
    """Give the denials that the facts name and that triage has, each in its highest revision."""
    if not (named := _named_by(facts)):
        return []
    found = await connection.execute(_NAMED, named)
    return [StoredDenial(event=_denied.decode(row.payload), decided=row.decided) for row in found]


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
