"""
What other remittances say of a claim: the stored observations of a claim key.

Nearly every key has one event, so the first question is only which have another: one look into an index for
each event. Only the keys that have pay for reading.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.triage.domain.histories import ClaimKey, History
from services.triage.store.events import EventKey, key_of
from shared.contracts.claim import ClaimObserved
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.claim_reversed import ClaimReversed
from shared.postgres.arrays import arrays
from shared.postgres.bundles import split

OBSERVATIONS_MAX = 200
"""Of a key with more, the last to be seen are read: such a number names no claim."""

_WANTED = arrays(organizations="uuid", claim_keys="uuid", events="uuid")
# The organization is compared by whoever reads: here it would make the primary key look as good as the index.
_SHARED = text(f"""
    select wanted.organization_id, wanted.claim_key
    from unnest({_WANTED})
        as wanted(organization_id, claim_key, event_id)
    cross join lateral (
        select from triage.events e
        where e.claim_key = wanted.claim_key and e.event_id <> wanted.event_id
        limit 1
    ) as other
""")

_ROWS = text(f"""
    select seen.*
    from unnest(cast(:claim_keys as uuid[])) as wanted(claim_key)
    cross join lateral (
        select e.organization_id, e.claim_key, e.event_id, e.revision, e.type, e.bundle_id, e.place
        from triage.events e where e.claim_key = wanted.claim_key
        order by e.seen_at desc, e.event_id limit {OBSERVATIONS_MAX}
    ) as seen
""")

_BUNDLES = text("""
    select wanted.bundle_id, bundle.payloads
    from unnest(cast(:organizations as uuid[]), cast(:bundles as uuid[]))
        as wanted(organization_id, bundle_id)
    cross join lateral (
        select b.payloads from triage.events_bundles b
        where b.organization_id = wanted.organization_id and b.bundle_id = wanted.bundle_id
        limit 1
    ) as bundle
""")

_decoders: Mapping[str, msgspec.json.Decoder[ClaimObserved]] = {
    type_.__name__: msgspec.json.Decoder(type_) for type_ in (ClaimDenied, ClaimReversed, ClaimAdjudicated)
}


async def histories_of(
    connection: AsyncConnection, events: Collection[ClaimObserved], new: Collection[EventKey] = ()
) -> dict[ClaimKey, History]:
    """
    Give the histories of those of the events' claim keys that have more than one event.

    The events are stored already; `new` are those of them that were not there before. Whose payload was
    purged is left out, and makes the history partial.
    """
    if not (keys := await _shared(connection, events)):
        return {}
    found = await connection.execute(_ROWS, {"claim_keys": list({key for _, key in keys})})
    rows: dict[ClaimKey, list[Any]] = defaultdict(list)
    for row in found:
        if (row.organization_id, row.claim_key) in keys:
            rows[row.organization_id, row.claim_key].append(row)
    stood = {
        key: (_newest(row for row in of_key if _event_key(row) not in new), _newest(of_key))
        for key, of_key in rows.items()
    }
    wanted = [row for both in stood.values() for newest in both for row in newest]
    read = await _read(connection, wanted, {key_of(event): event for event in events})
    return {
        key: History(
            before=_observations(before, read),
            after=_observations(after, read),
            partial=len(rows[key]) == OBSERVATIONS_MAX or any(_event_key(row) not in read for row in after),
        )
        for key, (before, after) in stood.items()
    }


async def _shared(connection: AsyncConnection, events: Collection[ClaimObserved]) -> set[ClaimKey]:
    if not events:
        return set()
    found = await connection.execute(
        _SHARED,
        {
            "organizations": [event.organization_id for event in events],
            "claim_keys": [event.claim_key for event in events],
            "events": [event.event_id for event in events],
        },
    )
    return {(row.organization_id, row.claim_key) for row in found}


async def _read(
    connection: AsyncConnection, rows: Iterable[Any], at_hand: Mapping[EventKey, ClaimObserved]
) -> dict[EventKey, ClaimObserved]:
    """Read the payloads of rows that are not at hand; each bundle is opened once."""
    read = dict(at_hand)
    missing = {
        _event_key(row): row for row in rows if row.bundle_id is not None and _event_key(row) not in read
    }
    if not missing:
        return read
    bundles = {row.bundle_id: row.organization_id for row in missing.values()}
    found = await connection.execute(
        _BUNDLES, {"organizations": list(bundles.values()), "bundles": list(bundles)}
    )
    payloads = {row.bundle_id: split(row.payloads) for row in found}
    for key, row in missing.items():
        # A purge may come between the two questions: then the bundle is gone, or empty at this place.
        if row.bundle_id in payloads and (payload := payloads[row.bundle_id][row.place - 1]):
            read[key] = _decoders[row.type].decode(payload)
    return read


def _newest(rows: Iterable[Any]) -> list[Any]:
    """Of each event, give the row of its highest revision."""
    newest: dict[UUID, Any] = {}
    for row in sorted(rows, key=_event_key):
        newest[row.event_id] = row
    return list(newest.values())


def _observations(rows: Iterable[Any], read: Mapping[EventKey, ClaimObserved]) -> dict[UUID, ClaimObserved]:
    return {row.event_id: read[key] for row in rows if (key := _event_key(row)) in read}


def _event_key(row: Any) -> EventKey:
    return (row.organization_id, row.event_id, row.revision)
