"""
Advisory locks. They belong to a connection, so a killed process frees them at once.

Locks come in named families; a lock is a family and a number.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.postgres.engine import database_must_answer


def _family(name: str) -> int:
    """Number a family: a signed 32-bit hash of its name, the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big", signed=True)


@dataclass(frozen=True, slots=True)
class LockSession:
    """Locks of one family, held until `connection` closes: what runs on it runs under its locks."""

    connection: AsyncConnection
    family: str

    async def take(self, numbers: Iterable[int]) -> frozenset[int]:
        """Take those of the locks that nobody holds, and give their numbers. Ask for each once only."""
        taken = await self.connection.execute(
            text(
                "select number from unnest(cast(:numbers as integer[])) as wanted(number) "
                "where pg_try_advisory_lock(:family, number)"
            ),
            {"family": _family(self.family), "numbers": sorted(set(numbers))},
        )
        return frozenset(taken.scalars())

    async def free(self, number: int) -> None:
        """Give one lock back before the end."""
        await self.connection.execute(
            text("select pg_advisory_unlock(:family, :number)"),
            {"family": _family(self.family), "number": number},
        )


@asynccontextmanager
async def lock_session(engine: AsyncEngine, family: str) -> AsyncIterator[LockSession]:
    """
    Open a connection for locks of one family; it is in autocommit and occupies a place of the pool.

    Raises UnavailableError when the database does not answer: the locks are lost then.
    """
    with database_must_answer():
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                yield LockSession(connection, family)
            finally:
                # Closing the session is what frees the locks, whatever happened.
                await connection.invalidate()


@asynccontextmanager
async def hold_locks(
    engine: AsyncEngine, family: str, numbers: Iterable[int]
) -> AsyncIterator[frozenset[int]]:
    """
    Take those of the locks that nobody holds, and hold them until the end; gives the numbers taken.

    Occupies one connection of the pool for as long.
    """
    async with lock_session(engine, family) as session:
        yield await session.take(numbers)


async def lock_shards(connection: AsyncConnection, family: str, shards: Iterable[int]) -> None:
    """Wait for the shards' locks, in order, and hold them until the transaction ends."""
    await connection.execute(
        text(
            "select pg_advisory_xact_lock(:family, shard) "
            "from (select unnest(cast(:shards as integer[])) as shard order by 1) wanted"
        ),
        {"family": _family(family), "shards": sorted(set(shards))},
    )
