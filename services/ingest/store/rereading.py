"""What reading a released remittance again compares with and changes: claims, and what was sent of them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ingest.domain.claim import ClaimKind
from services.ingest.domain.events import ClaimEvent
from services.ingest.store.claims import ClaimRow
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.claim_reversed import ClaimReversed
from shared.kafka.parcels import payloads_of

_TYPES: dict[str, type[ClaimEvent]] = {
    one.__name__: one for one in (ClaimAdjudicated, ClaimDenied, ClaimReversed)
}


@dataclass(frozen=True, slots=True)
class KeptClaim:
    """A claim as an earlier reading left it."""

    event_id: UUID
    revision: int
    position: int
    ordinal: int
    claim_key: UUID
    sibling_key: UUID
    kind: ClaimKind
    evented: bool
    charge_amount: Decimal
    paid_amount: Decimal
    byte_offset: int
    byte_length: int

    def says(self, row: ClaimRow) -> bool:
        """Tell whether a new reading is the same, but for the id that it would give the claim."""
        mine = (
            self.position,
            self.claim_key,
            self.sibling_key,
            self.kind,
            self.charge_amount,
            self.paid_amount,
        )
        its = (row.position, row.claim_key, row.sibling_key, row.kind, row.charge_amount, row.paid_amount)
        return (*mine, self.byte_length) == (*its, row.byte_length)


# Locked in the order in which claims are written everywhere.
_AT = text("""
    select event_id, revision, position, ordinal, claim_key, sibling_key, kind, evented, charge_amount,
        paid_amount, byte_offset, byte_length
    from ingest.claims
    where remittance_id = :remittance_id and byte_offset = any (cast(:offsets as bigint[]))
    order by event_id
    for update
""")
_SENT = text("""
    select wanted.event_id, sent.parcel_id, sent.place
    from unnest(cast(:event_ids as uuid[])) as wanted(event_id)
    cross join lateral (
        select e.parcel_id, e.place from ingest.claim_events e
        where e.message_id = wanted.event_id
        order by e.revision desc
        limit 1
    ) as sent
""")
_PARCELS = text("""
    select parcel_id, types, payloads, ends from ingest.claim_events_parcels
    where parcel_id = any (cast(:parcel_ids as bigint[]))
""")
_ELSEWHERE = text("""
    select wanted.event_id
    from unnest(cast(:event_ids as uuid[])) as wanted(event_id)
    cross join lateral (
        select from ingest.claims c where c.event_id = wanted.event_id limit 1
    ) as known
""")
_UPDATE = text("""
    update ingest.claims c set revision = changed.revision, position = changed.position,
        claim_key = changed.claim_key, sibling_key = changed.sibling_key, kind = changed.kind,
        evented = c.evented or changed.evented, charge_amount = changed.charge_amount,
        paid_amount = changed.paid_amount, byte_length = changed.byte_length,
        payer_number_hash = changed.payer_number_hash
    from unnest(cast(:event_ids as uuid[]), cast(:revisions as integer[]), cast(:positions as integer[]),
        cast(:claim_keys as uuid[]), cast(:sibling_keys as uuid[]), cast(:kinds as text[]),
        cast(:evented as boolean[]), cast(:charges as numeric[]), cast(:paids as numeric[]),
        cast(:lengths as integer[]), cast(:payer_hashes as integer[]))
        as changed(event_id, revision, position, claim_key, sibling_key, kind, evented, charge_amount,
            paid_amount, byte_length, payer_number_hash)
    where c.event_id = changed.event_id
""")


async def kept_at(
    connection: AsyncConnection, *, remittance_id: UUID, offsets: Collection[int]
) -> dict[int, KeptClaim]:
    """Give, and lock, the claims of a remittance that begin at these bytes of its file."""
    found = await connection.execute(_AT, {"remittance_id": remittance_id, "offsets": list(offsets)})
    return {row.byte_offset: KeptClaim(*row) for row in found}


async def last_sent(connection: AsyncConnection, event_ids: Collection[UUID]) -> dict[UUID, ClaimEvent]:
    """Give the highest revision of each event; what was deleted after its time is left out."""
    found = await connection.execute(_SENT, {"event_ids": list(event_ids)})
    inside: dict[int, list[tuple[UUID, int]]] = defaultdict(list)
    for row in found:
        inside[row.parcel_id].append((row.event_id, row.place))
    events: dict[UUID, ClaimEvent] = {}
    for parcel in await connection.execute(_PARCELS, {"parcel_ids": list(inside)}):
        payloads = payloads_of(parcel)
        for event_id, place in inside[parcel.parcel_id]:
            type_ = _TYPES[parcel.types[place - 1]]
            events[event_id] = msgspec.json.decode(payloads[place - 1], type=type_)
    return events


async def known_elsewhere(connection: AsyncConnection, event_ids: Collection[UUID]) -> frozenset[UUID]:
    """Give those of these ids under which the organization has a claim."""
    found = await connection.execute(_ELSEWHERE, {"event_ids": list(event_ids)})
    return frozenset(found.scalars())


async def update_claims(connection: AsyncConnection, changed: Sequence[tuple[ClaimRow, bool]]) -> None:
    """Write what the new reading says of kept claims; each comes with whether it is an event now."""
    if not changed:
        return
    rows = [row for row, _ in changed]
    await connection.execute(
        _UPDATE,
        {
            "event_ids": [row.event_id for row in rows],
            "revisions": [row.revision for row in rows],
            "positions": [row.position for row in rows],
            "claim_keys": [row.claim_key for row in rows],
            "sibling_keys": [row.sibling_key for row in rows],
            "kinds": [row.kind for row in rows],
            "evented": [evented for _, evented in changed],
            "charges": [row.charge_amount for row in rows],
            "paids": [row.paid_amount for row in rows],
            "lengths": [row.byte_length for row in rows],
            "payer_hashes": [row.payer_number_hash for row in rows],
        },
    )
