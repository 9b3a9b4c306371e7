"""
Claims: a compact row per claim read, for ever. The unique row decides what is new, mine, or a duplicate.

Rows are written in the order of their ids, so that two files with the same claims wait and never deadlock.

Every statement works for the one organization that its transaction names, and leaves saying so to the wall:
said twice, a planner without statistics believes that an organization has hardly a row, and scans them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ingest.domain.claim import ClaimKind
from shared.postgres.arrays import array_of, arrays


class ClaimRow(Struct, frozen=True, kw_only=True):
    """One claim as it is kept; `byte_offset` and `byte_length` point to its loop in the raw file."""

    event_id: UUID
    revision: int
    position: int
    ordinal: int
    claim_key: UUID
    sibling_key: UUID
    kind: ClaimKind
    charge_amount: Decimal
    paid_amount: Decimal
    byte_offset: int
    byte_length: int
    payer_number_hash: int | None


@dataclass(frozen=True, slots=True)
class Observation:
    """A kept claim that is not an event yet, and the remittance that reported it."""

    event_id: UUID
    revision: int
    remittance_id: UUID
    position: int
    ordinal: int
    sibling_key: UUID
    kind: ClaimKind
    charge_amount: Decimal
    byte_offset: int
    byte_length: int


@dataclass(frozen=True, slots=True)
class Written:
    """Positions of the claims that are new, and of those that another remittance or place brought before."""

    new: frozenset[int]
    duplicates: frozenset[int]


_CLAIMS = arrays(
    event_ids="uuid",
    revisions="integer",
    positions="integer",
    ordinals="integer",
    claim_keys="uuid",
    sibling_keys="uuid",
    kinds="text",
    charges="numeric",
    paids="numeric",
    offsets="bigint",
    lengths="integer",
    payer_hashes="integer",
)
_INSERT = text(f"""
    insert into ingest.claims (organization_id, event_id, revision, remittance_id, position, ordinal,
        claim_key, sibling_key, kind, evented, charge_amount, paid_amount, byte_offset, byte_length,
        payer_number_hash)
    select :organization_id, event_id, revision, :remittance_id, position, ordinal, claim_key,
        sibling_key, kind, kind = 'denied', charge_amount, paid_amount, byte_offset, byte_length,
        payer_number_hash
    from unnest({_CLAIMS})
        as claim(event_id, revision, position, ordinal, claim_key, sibling_key, kind, charge_amount,
            paid_amount, byte_offset, byte_length, payer_number_hash)
    order by event_id, position
    on conflict do nothing
    returning position
""")
_MINE = text("""
    select c.position from ingest.claims c
    join unnest(cast(:event_ids as uuid[]), cast(:positions as integer[]))
        as again(event_id, position) using (event_id, position)
    where c.remittance_id = :remittance_id
""")
_CLAIMS_IN_HAND = arrays(
    event_ids="uuid",
    sibling_keys="uuid",
    kinds="text",
    remittances="uuid",
    positions="integer",
    received="timestamptz",
)
# The laterals below are fences: each key is looked up in its index, whatever the planner believes about
# tables that grew a thousandfold since it last looked.
_SIBLINGS = text(f"""
    select mine.event_id, earlier.event_id as sibling_id
    from unnest({_CLAIMS_IN_HAND})
        as mine(event_id, sibling_key, kind, remittance_id, position, received_at)
    cross join lateral (
        select c.event_id from ingest.claims c
        where c.sibling_key = mine.sibling_key and c.kind = mine.kind and c.event_id <> mine.event_id
            and case when c.remittance_id = mine.remittance_id then c.position < mine.position
                else mine.received_at is null or exists (
                    select from ingest.remittances r
                    where r.remittance_id = c.remittance_id and r.received_at < mine.received_at
                ) end
        order by c.position
        limit 1
    ) as earlier
""")
_WAITING = text("""
    with touched as materialized (
        select distinct claim_key from ingest.claims
        where remittance_id = :remittance_id and position > :after and position <= :through
    )
    select c.* from touched
    cross join lateral (
        select from ingest.claims d
        where d.claim_key = touched.claim_key and d.kind = 'denied'
        limit 1
    ) as denied
    cross join lateral (
        select event_id, revision, remittance_id, position, ordinal, sibling_key, kind, charge_amount,
            byte_offset, byte_length
        from ingest.claims o
        where o.claim_key = touched.claim_key and o.kind in ('reversed', 'adjudicated') and not o.evented
        offset 0
    ) as c
    order by c.remittance_id, c.byte_offset
""")
_LAST_POSITION = text("""
    select max(position) from ingest.claims where remittance_id = :remittance_id
""")
_LOCK_WAITING = text("""
    select c.event_id, c.revision from ingest.claims c
    join unnest(cast(:event_ids as uuid[]), cast(:revisions as integer[])) as wanted(event_id, revision)
        using (event_id, revision)
    where not c.evented
    order by c.event_id, c.revision
    for update of c
""")
_MARK_EVENTED = text("""
    update ingest.claims c set evented = true
    from unnest(cast(:event_ids as uuid[]), cast(:revisions as integer[])) as done(event_id, revision)
    where (c.event_id, c.revision) = (done.event_id, done.revision)
""")


async def write_claims(
    connection: AsyncConnection, claims: Sequence[ClaimRow], *, organization_id: UUID, remittance_id: UUID
) -> Written:
    """Keep claims of one remittance. Those neither new nor duplicates were written by an earlier attempt."""
    if not claims:
        return Written(frozenset(), frozenset())
    inserted = await connection.execute(
        _INSERT,
        {
            "organization_id": organization_id,
            "remittance_id": remittance_id,
            "event_ids": [claim.event_id for claim in claims],
            "revisions": array_of([claim.revision for claim in claims]),
            "positions": array_of([claim.position for claim in claims]),
            "ordinals": array_of([claim.ordinal for claim in claims]),
            "claim_keys": [claim.claim_key for claim in claims],
            "sibling_keys": [claim.sibling_key for claim in claims],
            "kinds": array_of([claim.kind for claim in claims]),
            "charges": array_of([claim.charge_amount for claim in claims]),
            "paids": array_of([claim.paid_amount for claim in claims]),
            "offsets": array_of([claim.byte_offset for claim in claims]),
            "lengths": array_of([claim.byte_length for claim in claims]),
            "payer_hashes": array_of([claim.payer_number_hash for claim in claims]),
        },
    )
    new = frozenset(inserted.scalars())
    there = [claim for claim in claims if claim.position not in new]
    if not there:
        return Written(new, frozenset())
    found = await connection.execute(
        _MINE,
        {
            "remittance_id": remittance_id,
            "event_ids": [claim.event_id for claim in there],
            "positions": [claim.position for claim in there],
        },
    )
    mine = frozenset(found.scalars())
    return Written(new, frozenset(claim.position for claim in there) - mine)


async def earlier_siblings(
    connection: AsyncConnection,
    claims: Sequence[ClaimRow | Observation],
    *,
    remittances: Sequence[UUID],
    received: Sequence[datetime | None],
) -> dict[UUID, UUID]:
    """
    Find, per event, an earlier claim of the same trace, numbers and kind but other content.

    Within a remittance the lower position is earlier; across remittances what was received before, or, where
    `received` is None, whatever is kept already. Of several, the one that stands first in its remittance.
    """
    if not claims:
        return {}
    found = await connection.execute(
        _SIBLINGS,
        {
            "event_ids": [claim.event_id for claim in claims],
            "sibling_keys": [claim.sibling_key for claim in claims],
            "kinds": array_of([claim.kind for claim in claims]),
            "remittances": list(remittances),
            "positions": array_of([claim.position for claim in claims]),
            "received": array_of(received),
        },
    )
    return {row.event_id: row.sibling_id for row in found}


async def last_position(connection: AsyncConnection, *, remittance_id: UUID) -> int:
    """Give the highest position among the kept claims of a remittance, 0 without any."""
    return int(await connection.scalar(_LAST_POSITION, {"remittance_id": remittance_id}) or 0)


async def waiting_observations(
    connection: AsyncConnection, *, remittance_id: UUID, after: int, through: int
) -> list[Observation]:
    """
    Give the observations, not events yet, of the denied claim keys that this remittance touches.

    Looks at the remittance's positions above `after` up to `through`. It finds both directions: payments here
    of a denial elsewhere, and payments elsewhere of a denial here; those of remittances that are not released
    yet are among them.
    """
    found = await connection.execute(
        _WAITING, {"remittance_id": remittance_id, "after": after, "through": through}
    )
    return [Observation(*row) for row in found]


async def lock_waiting(
    connection: AsyncConnection, observations: Sequence[Observation]
) -> frozenset[tuple[UUID, int]]:
    """Lock those that nobody made an event meanwhile; gives (event_id, revision) of each."""
    found = await connection.execute(_LOCK_WAITING, _ids(observations))
    return frozenset((row.event_id, row.revision) for row in found)


async def mark_evented(connection: AsyncConnection, observations: Sequence[Observation]) -> None:
    await connection.execute(_MARK_EVENTED, _ids(observations))


def _ids(observations: Sequence[Observation]) -> dict[str, object]:
    return {
        "event_ids": [one.event_id for one in observations],
        "revisions": [one.revision for one in observations],
    }
