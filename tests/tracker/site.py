"""The tracker's API with two organizations behind it, for tests to call."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

import httpx2

from shared.contracts.person import Person
from shared.security.keyring import Keyring
from shared.security.sealing import seal_person
from shared.storage.vault import Vault

MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
FILE_BYTES_MAX, CASE_BYTES_MAX = 300_000, 500_000
JAN, FEB = date(2026, 1, 10), date(2026, 2, 10)
ADA = Person(last="Byron", first="Ada", member_id="MEMBER-77")


@dataclass
class Site:
    """Two organizations behind one API, and a client for every role of the first."""

    organization: UUID
    stranger: UUID
    clients: dict[str, httpx2.AsyncClient]
    keyring: Keyring
    vault: Vault

    def __getitem__(self, role: str) -> httpx2.AsyncClient:
        return self.clients[role]

    async def sealed(self, someone: Person = ADA):
        return seal_person(someone, await self.keyring.sealer(self.organization, JAN))


ROLES = ["viewer", "biller", "supervisor", "auditor", "admin"]


async def page(client: httpx2.AsyncClient, **query) -> dict:
    answer = await client.get("/v1/cases", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def only(site: Site, **query) -> dict:
    [case] = (await page(site["viewer"], **query))["data"]
    return case
