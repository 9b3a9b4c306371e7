"""Fixtures that all tests share. The database is real; see tests/support/."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.brokers import apache_kafka, broker  # noqa: F401  fixtures
from tests.support.database import Database, PostgresForTests

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "835"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresForTests]:
    server = PostgresForTests()
    yield server
    server.stop()


@pytest.fixture
async def database(postgres_server: PostgresForTests) -> AsyncIterator[Database]:
    """A fresh database with every schema, for one test."""
    fresh = await postgres_server.fresh()
    yield fresh
    await postgres_server.server.execute(f'drop database "{fresh.name}" with (force)')


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Public sample files beside the project; tests over them skip where they are absent."""
    if not CORPUS.is_dir():
        pytest.skip(f"no corpus at {CORPUS.parent.name}/{CORPUS.name} beside the project")
    return CORPUS
