"""
Advisory locks. They belong to a connection, so a killed process frees them at once.

Locks come in named families; a lock is a family and a number.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


def _family(name: str) -> int:
    """Number a family: a signed 32-bit hash of its name, the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big", signed=True)


@asynccontextmanager
async def hold_locks(
    engine: AsyncEngine, family: str, numbers: Iterable[int]
) -> AsyncIterator[frozenset[int]]:
    """
    Take those of the locks that nobody holds, and hold them until the end; gives the numbers taken.

    Occupies one connection of the pool for as long.
    """
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        taken = await connection.execute(
            text(
                "select number from unnest(cast(:numbers as integer[])) as wanted(number) "
                "where pg_try_advisory_lock(:family, number)"
            ),
            {"family": _family(family), "numbers": sorted(set(numbers))},
        )
        try:
            yield frozenset(taken.scalars())
        finally:
            await connection.invalidate()  # closing the session is what frees the locks, whatever happened


async def lock_shards(connection: AsyncConnection, family: str, shards: Iterable[int]) -> None:
    """Wait for the shards' locks, in order, and hold them until the transaction ends."""
    await connection.execute(
        text(
            "select pg_advisory_xact_lock(:family, shard) "
            "from (select unnest(cast(:shards as integer[])) as shard order by 1) wanted"
        ),
        {"family": _family(family), "shards": sorted(set(shards))},
    )
