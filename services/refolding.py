"""
`reprieve db refold`: every claim is folded anew from the ledger, as if it had just been recorded.

A release that shows or finds cases by something new leaves it empty for the cases that are there. What people
did stays. Cases that come out as they are stay as they are; the others get a new version, and are told
as changed. Claims whose words were purged have nothing to be folded from, and stay too.
"""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.store.claims import load_claim
from services.tracker.store.feed import announce
from services.tracker.store.folding import write_folded
from services.tracker.store.ledger import ClaimKey
from shared import clock
from shared.postgres import lock_shards, transaction
from shared.security import administration
from shared.values import shard_of

CLAIMS_AT_ONCE = 100

_ACT_AS_TRACKER = text("select set_config('role', 'reprieve_tracker', true)")
# Along the index on the key; the wall names the organization.
_NEXT = text(f"""
    select distinct claim_key from tracker.cases
    where claim_key > :after and purged_at is null order by claim_key limit {CLAIMS_AT_ONCE}
""")


async def refold(engine: AsyncEngine, *, show: Callable[[int], None]) -> int:
    """Fold all claims as the owner of the tables; gives how many cases changed. May be repeated."""
    changed = 0
    for one in await administration.list_organizations(engine):
        after: UUID | None = UUID(int=0)
        while after is not None:
            async with transaction(engine, organizations=[one.organization_id]) as connection:
                await connection.execute(_ACT_AS_TRACKER)
                found = await connection.execute(_NEXT, {"after": after})
                keys = [ClaimKey(one.organization_id, UUID(bytes=key.bytes)) for key in found.scalars()]
                changed += await _fold(connection, keys)
            show(len(keys))
            after = keys[-1].claim_key if len(keys) == CLAIMS_AT_ONCE else None
    return changed


async def _fold(connection: AsyncConnection, keys: list[ClaimKey]) -> int:
    await lock_shards(connection, "tracker", {shard_of(key.claim_key) for key in keys})
    changes = []
    for key in keys:
        claim = await load_claim(connection, key)
        changes += await write_folded(connection, claim.folded(), claim.by_id, at=clock.now())
    await announce(connection, changes)
    return len(changes)
