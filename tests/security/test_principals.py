"""Keys are proven by their hash; whatever is wrong with one, the answer is the same."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from shared.errors import UnauthenticatedError, UnavailableError
from shared.postgres import create_engine, rows, transaction
from shared.security import principals
from shared.security.api_keys import new_api_key, read_api_key
from shared.security.principals import Authenticator
from tests.security.support import a_key
from tests.support.database import Database


@pytest.fixture
async def engine(database: Database) -> AsyncIterator:
    opened = create_engine(database.url("reprieve_tracker"), name="test")
    yield opened
    await opened.dispose()


async def as_owner(database: Database, statement: str) -> None:
    owner = create_engine(database.owner, name="test")
    async with transaction(owner) as connection:
        await connection.execute(text(statement))
    await owner.dispose()


def test_a_key_reads_back_and_its_repr_keeps_the_secret():
    key = new_api_key()
    assert read_api_key(key.text) == (key.prefix, key.secret_hash)
    assert key.text not in repr(key)
    assert len({new_api_key().text for _ in range(100)}) == 100


async def test_only_the_hash_is_at_rest(database: Database):
    text_form = await a_key(database, "biller")
    owner = create_engine(database.owner, name="test")
    async with transaction(owner) as connection:
        (row,) = await rows(connection, "select * from access.api_keys")
    await owner.dispose()
    assert text_form.split("_", 2)[2] not in str(row)


async def test_every_kind_of_wrong_key_gets_the_same_answer(database: Database, engine):
    good, expired, revoked = [await a_key(database, "biller") for _ in range(3)]
    prefix = {key: key.split("_")[1] for key in (expired, revoked)}
    await as_owner(
        database, f"update access.api_keys set expires_at = now() where prefix = '{prefix[expired]}'"
    )
    await as_owner(
        database, f"update access.api_keys set revoked_at = now() where prefix = '{prefix[revoked]}'"
    )
    authenticator = Authenticator(engine)
    assert (await authenticator.authenticate(f"bearer {good}")).role == "biller"

    wrong = [
        None,
        "",
        "Bearer",
        "Bearer x",
        f"Basic {good}",
        good,
        f"Bearer {good[:-1]}",
        f"Bearer {expired}",
        f"Bearer {revoked}",
        f"Bearer {new_api_key().text}",
        f"Bearer {good[:17]}{new_api_key().text[17:]}",
        "Bearer rpv_'; drop table x_" + "a" * 43,
    ]
    answers = set()
    for authorization in wrong:
        with pytest.raises(UnauthenticatedError) as failure:
            await authenticator.authenticate(authorization)
        answers.add(str(failure.value))
    assert len(answers) == 1
    assert "reprieve keys create" in answers.pop()


@pytest.mark.parametrize(
    ("role", "has"), [("submitter", (False, True)), ("operator", (False, False)), ("viewer", (True, False))]
)
async def test_a_principal_has_the_place_of_its_role(
    database: Database, engine, role: str, has: tuple[bool, bool]
):
    principal = await Authenticator(engine).authenticate(f"Bearer {await a_key(database, role)}")
    assert (principal.organization_id is not None, principal.submitter_id is not None) == has
    assert principal.role == role


async def test_a_principal_is_remembered_for_ten_seconds_and_no_longer(
    database: Database, engine, monkeypatch
):
    key = await a_key(database, "biller")
    authenticator = Authenticator(engine)
    first = await authenticator.authenticate(f"Bearer {key}")
    await as_owner(database, "update access.api_keys set revoked_at = now()")
    assert await authenticator.authenticate(f"Bearer {key}") is first
    now = principals.time.monotonic()
    monkeypatch.setattr(principals.time, "monotonic", lambda: now + 10)
    with pytest.raises(UnauthenticatedError):
        await authenticator.authenticate(f"Bearer {key}")


async def test_the_memory_is_bounded(database: Database, engine, monkeypatch):
    monkeypatch.setattr(principals, "REMEMBERED_PRINCIPALS", 2)
    authenticator = Authenticator(engine)
    for _ in range(4):
        await authenticator.authenticate(f"Bearer {await a_key(database, 'operator')}")
    assert len(authenticator._remembered) == 2


async def test_an_absent_database_is_not_a_wrong_key():
    engine = create_engine("postgresql+asyncpg://reprieve_tracker:x@127.0.0.1:1/none", name="test")
    with pytest.raises(UnavailableError):
        await asyncio.wait_for(Authenticator(engine).authenticate(f"Bearer {new_api_key().text}"), 15)
    await engine.dispose()
