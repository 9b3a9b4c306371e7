"""A site for the tests: an organization, two submitters with keys, the real app, the real worker."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.app import api_app
from services.ingest.settings import IngestSettings
from services.ingest.store import receipts
from services.ingest.workers.files import Workshop
from services.ingest.workers.payees import Payees
from services.ingest.workers.reading import process
from shared.contracts.base import Event
from shared.contracts.topics import EVENT_TYPES
from shared.http.probes import Health
from shared.kafka.parcels import payloads_of
from shared.postgres import create_engine, rows, transaction
from shared.security import administration
from shared.security.keyring import Keyring
from shared.security.sealing import MasterKey
from shared.storage.vault import Vault
from tests.ingest.remittances import NPI
from tests.support.database import Database

MASTER_KEY_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
MAX_UPLOAD_BYTES = 4_000_000

_SUBMITTERS = text("select submitter_id from ingest.submitters_with_receipts()")
_DUE_NOW = text("update ingest.receipts set due_at = now() where due_at > now()")


@dataclass
class Site:
    engine: AsyncEngine
    owner: AsyncEngine
    vault: Vault
    workshop: Workshop
    client: httpx2.AsyncClient
    organization_id: UUID
    submitter_id: UUID
    keys: dict[str, str]

    def headers(self, who: str = "submitter") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[who]}"}

    async def push(self, content: bytes, *, feed: str = "main", who: str = "submitter") -> httpx2.Response:
        return await self.client.post(
            "/v1/remittances",
            params={"feed": feed, "file_name": "one.835"},
            content=content,
            headers=self.headers(who),
        )

    async def get(self, path: str, who: str = "submitter", **params: Any) -> httpx2.Response:
        return await self.client.get(path, headers=self.headers(who), params=params)

    async def read_due(self) -> None:
        """Do what the worker does, once for everything that is due, without the waits between attempts."""
        async with transaction(self.engine) as connection:
            submitters = list((await connection.execute(_SUBMITTERS)).scalars())
        async with transaction(self.engine, submitters=submitters) as connection:
            await connection.execute(_DUE_NOW)
        for submitter_id, receipt_id in await receipts.due_receipts(self.engine, limit=1000):
            await process(
                self.workshop, submitter_id=submitter_id, receipt_id=receipt_id, stop=asyncio.Event()
            )

    async def take_in(self, content: bytes, **more: str) -> dict[str, Any]:
        """Push, read, and give the receipt."""
        pushed = await self.push(content, **more)
        assert pushed.status_code in (200, 202), pushed.text
        await self.read_due()
        return (
            await self.get(f"/v1/remittances/{pushed.json()['receipt_id']}", more.get("who", "submitter"))
        ).json()

    async def rows(self, sql: str, **parameters: Any) -> list[Any]:
        async with transaction(
            self.engine, organizations=[self.organization_id], submitters=[self.submitter_id]
        ) as connection:
            return await rows(connection, sql, **parameters)

    async def claims(self) -> list[Any]:
        return await self.rows("select * from ingest.claims order by remittance_id, position, event_id")

    async def events(self, *, due: bool = True) -> list[Event]:
        found = await self.rows(
            """
            select p.types[e.place] as type, p.payloads, p.ends, e.place
            from ingest.claim_events e join ingest.claim_events_parcels p using (organization_id, parcel_id)
            where (p.due_at is distinct from 'infinity') = :due
            order by e.parcel_id, e.place
            """,
            due=due,
        )
        return [
            msgspec.json.decode(payloads_of(row)[row.place - 1], type=EVENT_TYPES[row.type]) for row in found
        ]

    async def register(self, identifier: str) -> None:
        await administration.register_payee(
            self.owner, organization_id=self.organization_id, identifier=identifier
        )

    async def reconciled(self) -> list[dict[str, Any]]:
        """Give the remittances' sums; each one must add up."""
        found = (await self.get("/v1/reconciliation/remittances", "operator")).text.splitlines()
        lines = [msgspec.json.decode(line) for line in found]
        for line in lines:
            assert line["claims_read"] == sum(line[part] for part in PARTS), line
            amounts = (float(line[amount]) for amount in AMOUNTS)
            assert float(line["charge_read_amount"]) == sum(amounts), line
        return lines


PARTS: Sequence[str] = ("evented", "no_event", "duplicates", "quarantined", "dismissed")
AMOUNTS: Sequence[str] = (
    "evented_charge_amount",
    "no_event_charge_amount",
    "duplicate_charge_amount",
    "quarantined_charge_amount",
    "dismissed_charge_amount",
)


@asynccontextmanager
async def open_site(database: Database, raw_files: Path | str) -> AsyncIterator[Site]:
    engine = create_engine(database.url("reprieve_ingest"), name="test", pool_size=12)
    owner = create_engine(database.owner, name="test")
    master_key = MasterKey.from_text(MASTER_KEY_TEXT)
    organization = await administration.create_organization(
        owner, name="Sample Clinic", time_zone="America/New_York", master_key=master_key
    )
    await administration.register_payee(owner, organization_id=organization.organization_id, identifier=NPI)
    submitter = await administration.create_submitter(owner, name="Clearinghouse One")
    other = await administration.create_submitter(owner, name="Clearinghouse Two")
    keys = {
        "submitter": await _key(owner, role="submitter", submitter_id=submitter.submitter_id),
        "other": await _key(owner, role="submitter", submitter_id=other.submitter_id),
        "operator": await _key(owner, role="operator"),
        "admin": await _key(owner, role="admin", organization_id=organization.organization_id),
        "viewer": await _key(owner, role="viewer", organization_id=organization.organization_id),
    }
    vault = Vault(raw_files, master_key)
    settings = IngestSettings(
        database_url=database.url("reprieve_ingest"),
        master_key=MASTER_KEY_TEXT,
        raw_url=str(raw_files),
        max_upload_bytes=MAX_UPLOAD_BYTES,
    )
    app = api_app(settings, engine, vault=vault, health=Health())
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://ingest")
    site = Site(
        engine=engine,
        owner=owner,
        vault=vault,
        workshop=Workshop(engine, vault, Keyring(engine, master_key), Payees(engine)),
        client=client,
        organization_id=organization.organization_id,
        submitter_id=submitter.submitter_id,
        keys=keys,
    )
    for who in ("submitter", "other"):
        await client.post("/v1/feeds", json={"name": "main"}, headers=site.headers(who))
    try:
        yield site
    finally:
        await client.aclose()
        await engine.dispose()
        await owner.dispose()


async def _key(owner: AsyncEngine, *, role: str, **place: UUID) -> str:
    return (await administration.create_principal_with_key(owner, role=role, name=role, **place)).text
