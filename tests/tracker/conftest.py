"""A tracker's database, and eyes to look into it."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.api.files import Cabinet
from services.tracker.app import api_app
from services.tracker.domain.observations import observe
from services.tracker.workers.recording import record_decisions
from shared.contracts.base import encode
from shared.http.probes import Health
from shared.identity import claim_key_of
from shared.postgres import create_engine, rows, transaction
from shared.security.administration import create_organization, create_principal_with_key
from shared.security.keyring import Keyring
from shared.security.sealing import MasterKey
from shared.storage.vault import Vault
from tests.support.database import Database
from tests.tracker.site import CASE_BYTES_MAX, FILE_BYTES_MAX, MASTER_KEY, ROLES, Site
from tests.tracker.support import ORGANIZATION, denial


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


@pytest.fixture
async def site(database, engine, tmp_path) -> AsyncIterator[Site]:
    owner = create_engine(database.owner, name="test")
    master_key = MasterKey.from_text(MASTER_KEY)
    mine, theirs = [
        (await create_organization(owner, name=name, time_zone="UTC", master_key=master_key)).organization_id
        for name in ("Mine", "Theirs")
    ]
    keys = {
        role: await create_principal_with_key(owner, role=role, name=role, organization_id=mine)
        for role in ROLES
    }
    keys["stranger"] = await create_principal_with_key(owner, role="admin", name="s", organization_id=theirs)
    keys["operator"] = await create_principal_with_key(owner, role="operator", name="o")
    await owner.dispose()
    cabinet = Cabinet(Vault(tmp_path / "files", master_key), FILE_BYTES_MAX, CASE_BYTES_MAX)
    app = api_app(engine, master_key=MASTER_KEY, health=Health(), cabinet=cabinet)
    clients = {
        role: httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app),
            base_url="http://tracker",
            headers={"Authorization": f"Bearer {key.text}"},
        )
        for role, key in keys.items()
    }
    yield Site(mine, theirs, clients, Keyring(engine, master_key), cabinet.vault)
    for client in clients.values():
        await client.aclose()


@pytest.fixture
def deny(site, record):
    """Record a denial of its own claim for the first organization, and give its event."""

    async def deny(**given):
        number = claim_key_of(site.organization, given.get("claim_number", ""))
        given = {"organization_id": site.organization, "claim_key": number or uuid4(), **given}
        event = denial(**given)
        await record(event)
        return event

    return deny
