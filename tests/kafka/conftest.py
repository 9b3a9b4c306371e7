"""Fixtures of the plumbing's tests."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.kafka.producer import Producer, open_producer
from shared.postgres import create_engine
from tests.support.brokers import Broker
from tests.support.database import Database


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    """Ingest's own way to its tables."""
    engine = create_engine(database.url("reprieve_ingest"), name="test", pool_size=10)
    yield engine
    await engine.dispose()


@pytest.fixture
async def producer(broker: Broker) -> AsyncIterator[Producer]:
    async with open_producer(broker.bootstrap) as producer:
        yield producer
