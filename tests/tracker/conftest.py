"""A tracker's database, and eyes to look into it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.domain.observations import observe
from services.tracker.workers.recording import record_decisions
from shared.contracts.base import encode
from shared.postgres import create_engine, rows, transaction
from tests.support.database import Database
from tests.tracker.support import ORGANIZATION


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.url("reprieve_tracker"), name="test", pool_size=8)
    yield engine
    await engine.dispose()


@pytest.fixture
def record(engine: AsyncEngine):
    """Record decisions as one batch, as the worker does."""

    async def record(*events) -> None:
        await record_decisions(engine, [(observe(event), encode(event)) for event in events])

    return record


@pytest.fixture
def select(engine: AsyncEngine):
    async def select(sql: str, organization=ORGANIZATION, **parameters) -> list[Any]:
        async with transaction(engine, organizations=[organization]) as connection:
            return await rows(connection, sql, **parameters)

    return select
