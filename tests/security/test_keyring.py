"""Keys are made once, whoever comes first, and are gone when they were shredded."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from datetime import date
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from shared.contracts.person import Person
from shared.errors import InvalidInputError, NotFoundError
from shared.postgres import create_engine, rows, transaction
from shared.security import keyring as keyring_module
from shared.security.administration import create_organization
from shared.security.keyring import Keyring
from shared.security.sealing import MasterKey, seal_person
from tests.support.database import Database

MASTER_KEY = MasterKey.from_text(base64.b64encode(bytes(32)).decode())
DOE = Person(last="DOE", first="JANE", member_id="W1")
DAY = date(2026, 11, 21)


async def an_organization(database: Database) -> UUID:
    owner = create_engine(database.owner, name="test")
    made = await create_organization(owner, name=str(uuid4()), time_zone="UTC", master_key=MASTER_KEY)
    await owner.dispose()
    return made.organization_id


@pytest.fixture
async def engines(database: Database) -> AsyncIterator[tuple]:
    opened = tuple(
        create_engine(database.url(role), name="test") for role in ("reprieve_ingest", "reprieve_tracker")
    )
    yield opened
    for engine in opened:
        await engine.dispose()


async def test_the_tracker_opens_what_ingest_sealed(database: Database, engines):
    organization = await an_organization(database)
    ingest, tracker = (Keyring(engine, MASTER_KEY) for engine in engines)
    sealed = seal_person(DOE, await ingest.sealer(organization, DAY))
    assert await tracker.open_person(organization, sealed.sealed or "") == DOE
    assert (await tracker.sealer(organization, date(2027, 2, 2))).index("DOE|JANE") == sealed.name_index


async def test_processes_that_need_a_new_month_at_once_end_with_one_key(database: Database, engines):
    organization = await an_organization(database)
    keyrings = [Keyring(engine, MASTER_KEY) for engine in engines * 4]
    for month in range(1, 13):
        day = date(2026, month, 9)
        sealers = await asyncio.gather(*(keyring.sealer(organization, day) for keyring in keyrings))
        sealed = sealers[0].seal(b"x")
        assert [sealer.open(sealed) for sealer in sealers] == [b"x"] * 8


async def test_a_key_is_fetched_once_and_again_after_a_while(database: Database, engines, monkeypatch):
    organization = await an_organization(database)
    keyring = Keyring(engines[0], MASTER_KEY)
    first = await keyring.sealer(organization, DAY)
    assert await keyring.sealer(organization, date(2026, 11, 1)) is first
    assert await keyring.sealer(organization, date(2026, 12, 1)) is not first
    now = keyring_module.time.monotonic()
    monkeypatch.setattr(keyring_module.time, "monotonic", lambda: now + keyring_module.REMEMBERED_SECONDS + 1)
    assert await keyring.sealer(organization, DAY) is not first


async def test_a_shredded_month_says_that_its_key_was_deleted(database: Database, engines):
    organization = await an_organization(database)
    sealed = seal_person(DOE, await Keyring(engines[0], MASTER_KEY).sealer(organization, DAY)).sealed or ""
    owner = create_engine(database.owner, name="test")
    async with transaction(owner) as connection:
        await connection.execute(text("update access.data_keys set wrapped_key = null, shredded_at = now()"))
    await owner.dispose()

    later = Keyring(engines[1], MASTER_KEY)
    with pytest.raises(InvalidInputError, match="key of the month 2026-11 was deleted"):
        await later.open_person(organization, sealed)
    with pytest.raises(InvalidInputError, match="was deleted"):
        await later.sealer(organization, DAY)


async def test_opening_for_another_organization_fails_and_makes_no_key(database: Database, engines):
    mine, theirs = await an_organization(database), await an_organization(database)
    keyring = Keyring(engines[0], MASTER_KEY)
    sealed = seal_person(DOE, await keyring.sealer(mine, DAY)).sealed or ""
    with pytest.raises(InvalidInputError):
        await keyring.open_person(theirs, sealed)
    owner = create_engine(database.owner, name="test")
    async with transaction(owner) as connection:
        made = await rows(connection, "select organization_id from access.data_keys")
    await owner.dispose()
    assert [row.organization_id for row in made] == [mine]

    await keyring.sealer(theirs, DAY)
    with pytest.raises(InvalidInputError, match="belongs to another organization"):
        await keyring.open_person(theirs, sealed)


async def test_another_master_key_or_an_unknown_organization_is_told(database: Database, engines):
    organization = await an_organization(database)
    with pytest.raises(InvalidInputError, match="REPRIEVE_MASTER_KEY"):
        await Keyring(engines[0], MasterKey(os.urandom(32))).sealer(organization, DAY)
    with pytest.raises(NotFoundError):
        await Keyring(engines[0], MASTER_KEY).sealer(uuid4(), DAY)


async def test_triage_gets_no_keys(database: Database, engines):
    organization = await an_organization(database)
    triage = create_engine(database.url("reprieve_triage"), name="test")
    with pytest.raises(ProgrammingError, match="permission denied"):
        await Keyring(triage, MASTER_KEY).sealer(organization, DAY)
    await triage.dispose()
