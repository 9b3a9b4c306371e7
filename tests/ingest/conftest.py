"""The site that ingest's tests work on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ingest.site import Site, open_site
from tests.support.database import Database


@pytest.fixture
async def site(database: Database, tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(database, tmp_path / "raw") as opened:
        yield opened
