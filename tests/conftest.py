"""Fixtures that all tests share. The database is real; see tests/support/."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings

from shared import clock
from tests.support.brokers import apache_kafka, broker  # noqa: F401  fixtures
from tests.support.database import Database, PostgresForTests

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "835"

# Tables are as wide as where there is no terminal, for the commands of this process and of others.
os.environ["COLUMNS"] = "80"

# A run on a busy machine is no reason to fail, and the same commit has the same outcome in every run. `make fuzz`
# looks a hundred times longer, and elsewhere each time.
settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "fuzz", deadline=None, max_examples=10_000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresForTests]:
    server = PostgresForTests()
    yield server
    server.stop()


@pytest.fixture
async def database(postgres_server: PostgresForTests) -> AsyncIterator[Database]:
    """A fresh database with every schema, for one test."""
    async with postgres_server.lent() as fresh:
        yield fresh


@pytest.fixture(scope="module")
async def shared_database(postgres_server: PostgresForTests) -> AsyncIterator[Database]:
    """The same for the tests of one module, which do not mind what the others left in it."""
    async with postgres_server.lent() as fresh:
        yield fresh


@pytest.fixture
def same_day() -> None:
    """For tests that count days: none begins in the last minute of one, here or where the payers are."""
    for zone in ("UTC", "America/New_York"):
        soon = clock.now().astimezone(ZoneInfo(zone)) + timedelta(minutes=1)
        into = timedelta(hours=soon.hour, minutes=soon.minute, seconds=soon.second)
        if into < timedelta(minutes=1):
            time.sleep(60 - into.total_seconds())


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Public sample files beside the project; tests over them skip where they are absent."""
    if not CORPUS.is_dir():
        pytest.skip(f"no corpus at {CORPUS.parent.name}/{CORPUS.name} beside the project")
    return CORPUS
