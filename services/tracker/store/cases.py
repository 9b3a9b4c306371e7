"""The cases as the fold left them. Rows are written whole; a change raises the version by one."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.domain.cases import Case
from services.tracker.domain.states import LIVE_STATES
from services.tracker.store.case_columns import COLUMNS, FOLDED, ROWS, columns_of
from services.tracker.store.ledger import ClaimKey
from shared.postgres import transaction

FIRST_VERSION = 1

_KEY = ("organization_id", "case_id")
_decode = msgspec.json.Decoder(Case).decode


async def known_cases(connection: AsyncConnection, keys: Collection[ClaimKey]) -> dict[ClaimKey, list[Case]]:
    """Give the cases of these claim keys that were not purged."""
    if not keys:
        return {}
    found = await connection.execute(
        _KNOWN,
        {"claim_keys": [key.claim_key for key in keys]},
    )
    known: dict[ClaimKey, list[Case]] = {}
    for folded in found.scalars():
        case = _decode(folded)
        known.setdefault(ClaimKey(case.organization_id, case.claim_key), []).append(case)
    return known


# The wall names the organization already. To say it twice would make the planner think that hardly any row of
# an organization is left, and read them all.
_KNOWN = text("""
    select cast(to_jsonb(c) as text)
    from unnest(cast(:claim_keys as uuid[])) as wanted(claim_key)
    cross join lateral (
        select * from tracker.cases c
        where c.claim_key = wanted.claim_key and c.purged_at is null order by c.ordinal
    ) as c
""")


async def first_free_ordinals(connection: AsyncConnection, keys: Collection[ClaimKey]) -> dict[ClaimKey, int]:
    """Give the ordinals behind those of the purged cases of these claim keys."""
    if not keys:
        return {}
    found = await connection.execute(_PURGED, {"claim_keys": [key.claim_key for key in keys]})
    return {ClaimKey(row.organization_id, row.claim_key): row.ordinal + 1 for row in found}


_PURGED = text("""
    select organization_id, claim_key, max(ordinal) as ordinal from tracker.cases
    where claim_key = any (cast(:claim_keys as uuid[])) and purged_at is not null
    group by organization_id, claim_key
""")


async def insert_cases(connection: AsyncConnection, cases: Sequence[Case], *, at: datetime) -> None:
    """Insert new cases, each in its first version, as they are `at` an instant. The shards must be locked."""
    if cases:
        await connection.execute(_INSERT, _bound(cases, at))


async def replace_cases(
    connection: AsyncConnection, cases: Sequence[Case], *, at: datetime
) -> dict[UUID, int]:
    """Replace known cases as they are `at` an instant; gives their versions. The shards must be locked."""
    if not cases:
        return {}
    replaced = await connection.execute(_REPLACE, _bound(cases, at))
    # The driver has a class of its own for ids, which takes long to compare with ours.
    return {UUID(int=row.case_id.int): row.version for row in replaced}


def _bound(cases: Sequence[Case], at: datetime) -> dict[str, Any]:
    return {**columns_of(cases, at=at), "live": sorted(LIVE_STATES)}


_INSERT_ROWS = f"""
    insert into tracker.cases ({", ".join(FOLDED)}, version, closed_at)
    select {", ".join(FOLDED)}, {FIRST_VERSION}, case when state <> all (cast(:live as text[])) then now() end
    from ({ROWS}) as folded
"""
_INSERT = text(_INSERT_ROWS)
_REPLACE = text(f"""
    {_INSERT_ROWS}
    on conflict (organization_id, case_id) do update set
        {", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in _KEY)},
        version = cases.version + 1,
        next_deadline_at = excluded.next_deadline_at,
        updated_at = now(),
        closed_at = case when excluded.closed_at is not null
            then coalesce(cases.closed_at, excluded.closed_at) end
    returning case_id, version
""")


async def roll_deadlines(engine: AsyncEngine, *, limit: int = 500) -> int:
    """Move the next deadline of cases where it has passed to the one after it; gives their number."""
    async with transaction(engine) as connection:
        passed = (await connection.execute(_PASSED, {"limit": limit})).all()
    if not passed:
        return 0
    async with transaction(engine, organizations={row.organization_id for row in passed}) as connection:
        rolled = await connection.execute(
            _ROLL,
            {
                "organization_ids": [row.organization_id for row in passed],
                "case_ids": [row.case_id for row in passed],
            },
        )
    return rolled.rowcount


_PASSED = text("select organization_id, case_id from tracker.passed_deadlines(:limit)")

# Rows that somebody has locked are being folded anew at this moment, which rolls them as well.
_ROLL = text("""
    with passed as (
        select c.organization_id, c.case_id,
            (select min(d) from unnest(c.deadlines) as d where d > now()) as next_deadline_at
        from unnest(cast(:organization_ids as uuid[]), cast(:case_ids as uuid[]))
            as wanted(organization_id, case_id)
        join tracker.cases c using (organization_id, case_id)
        where c.next_deadline_at <= now()
        for update of c skip locked
    )
    update tracker.cases c set next_deadline_at = passed.next_deadline_at from passed
    where (c.organization_id, c.case_id) = (passed.organization_id, passed.case_id)
""")
