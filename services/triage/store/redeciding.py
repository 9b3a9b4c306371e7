"""
Stored decisions, read in the order in which they were written: parcel by parcel.

A parcel holds up to two hundred decisions under one compression, each with the claim's facts, so going
through them is the cheapest way through everything that triage decided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.claim_denied import ClaimDenied
from shared.kafka.parcels import payloads_of
from shared.postgres.bundles import split

MESSAGES_AT_ONCE = 400

# The sizes are added up over narrow rows; only the payloads of what fits are fetched.
_PAGE = text("""
    select p.parcel_id, p.shard, p.message_ids, p.revisions, p.types, p.ends, p.payloads
    from (
        select parcel_id, messages, sum(messages) over (order by parcel_id) as total
        from (
            select parcel_id, messages from triage.decisions_parcels
            where organization_id = :organization and parcel_id > :after
                and (cast(:until as bigint) is null or parcel_id <= :until)
                and (cast(:since as timestamptz) is null or created_at >= :since)
            order by parcel_id limit :limit
        ) as next
    ) as counted
    join triage.decisions_parcels p on p.organization_id = :organization and p.parcel_id = counted.parcel_id
    where counted.total - counted.messages < :limit
    order by p.parcel_id
""")

_NEWEST = text("""
    select wanted.number, event.bundle_id, event.place
    from unnest(cast(:events as uuid[]), cast(:revisions as integer[]), cast(:decided as integer[]))
        with ordinality as wanted(event_id, revision, decided, number)
    cross join lateral (
        select e.revision, e.bundle_id, e.place from triage.events e
        where e.organization_id = :organization and e.event_id = wanted.event_id
        order by e.revision desc limit 1
    ) as event
    cross join lateral (
        select d.revision from triage.decisions d
        where d.event_id = wanted.event_id and d.event_revision = wanted.revision
        order by d.revision desc limit 1
    ) as decision
    where event.revision = wanted.revision and decision.revision = wanted.decided
        and event.bundle_id is not null
""")

_BUNDLES = text("""
    select b.bundle_id, b.payloads
    from unnest(cast(:bundles as uuid[])) as wanted(bundle_id)
    cross join lateral (
        select * from triage.events_bundles b
        where b.organization_id = :organization and b.bundle_id = wanted.bundle_id
        limit 1
    ) as b
""")

_COUNT = text("""
    select coalesce(sum(messages), 0) from triage.decisions_parcels
    where organization_id = :organization and (cast(:since as timestamptz) is null or created_at >= :since)
""")


class _Named(msgspec.Struct):
    """What it takes to know a decision's place among those of its event."""

    event_id: UUID
    revision: int
    decision_revision: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some parcels: their decisions of denials (as JSON), their shards, and the number of the last parcel."""

    denials: Sequence[bytes]
    shards: frozenset[int]
    last: int


async def page_of_decisions(
    connection: AsyncConnection,
    organization: UUID,
    *,
    after: int,
    until: int | None = None,
    since: datetime | None = None,
) -> Page | None:
    """Give the next decisions of denials of one organization; None at the end."""
    found = await connection.execute(
        _PAGE,
        {
            "organization": organization,
            "after": after,
            "until": until,
            "since": since,
            "limit": MESSAGES_AT_ONCE,
        },
    )
    rows = found.all()
    if not rows:
        return None
    denials = [
        payload
        for row in rows
        for payload, type_, message in zip(payloads_of(row), row.types, row.message_ids, strict=True)
        if type_ == "DenialTriaged" and message is not None
    ]
    return Page(denials, frozenset(row.shard for row in rows), rows[-1].parcel_id)


async def newest_among(
    connection: AsyncConnection, organization: UUID, denials: Sequence[bytes]
) -> Mapping[int, ClaimDenied]:
    """Give, by their place in `denials`, the events of those that are the last word on their event."""
    if not denials:
        return {}
    named = [_named.decode(payload) for payload in denials]
    found = await connection.execute(
        _NEWEST,
        {
            "organization": organization,
            "events": [one.event_id for one in named],
            "revisions": [one.revision for one in named],
            "decided": [one.decision_revision for one in named],
        },
    )
    newest = found.all()
    bundles = await connection.execute(
        _BUNDLES, {"organization": organization, "bundles": list({row.bundle_id for row in newest})}
    )
    payloads = {row.bundle_id: split(row.payloads) for row in bundles}
    return {row.number - 1: _denied.decode(payloads[row.bundle_id][row.place - 1]) for row in newest}


async def count_decisions(connection: AsyncConnection, organization: UUID, since: datetime | None) -> int:
    """Count what page_of_decisions() will go through, outcomes included: for a progress bar."""
    return int(await connection.scalar(_COUNT, {"organization": organization, "since": since}) or 0)


_named = msgspec.json.Decoder(_Named)
_denied = msgspec.json.Decoder(ClaimDenied)
