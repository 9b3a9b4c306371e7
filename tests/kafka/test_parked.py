"""Parked messages are found by their ids, however many lie before them."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from sqlalchemy import text

from shared.http.app import create_app
from shared.http.probes import Health
from shared.kafka.parked import parked_router
from shared.kafka.stamps import park_messages
from shared.postgres import create_engine, transaction
from tests.kafka.support import ORGANIZATION, TABLE, message, put
from tests.security.support import a_key
from tests.support.database import Database


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    engine = create_engine(database.url("reprieve_ingest"), name="test")
    app = create_app(title="test", version="1", engine=engine, health=Health())
    app.include_router(parked_router(TABLE, engine))
    owner = create_engine(database.owner, name="test")
    async with transaction(owner) as connection:
        await connection.execute(
            text("insert into access.organizations values (:id, 'of the tests', 'UTC', 'x')"),
            {"id": ORGANIZATION},
        )
    await owner.dispose()
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app),
        base_url="http://ingest",
        headers={"Authorization": f"Bearer {await a_key(database, 'operator')}"},
    ) as client:
        yield client
    await engine.dispose()


async def test_a_message_is_found_by_its_id_beyond_the_first_page(
    client: httpx2.AsyncClient, database: Database
):
    messages = [message() for _ in range(5)]
    wanted = {str(one.message_id) for one in messages[3:]}
    engine = create_engine(database.url("reprieve_ingest"), name="test")
    await put(engine, messages)
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await park_messages(connection, TABLE, [one.id for one in messages], reason="KeyError")
    await engine.dispose()

    asked = {"message_id": [*wanted, str(ORGANIZATION)], "limit": 2}
    page = (await client.get("/v1/parked", params=asked)).json()
    assert {one["message_id"] for one in page["data"]} == wanted
    assert page["has_more"] is False
    assert (await client.get("/v1/parked", params={"limit": 2})).json()["has_more"] is True

    too_many = await client.get("/v1/parked", params={"message_id": [str(ORGANIZATION)] * 101})
    assert too_many.status_code == 422


async def test_a_supervisor_or_admin_sends_again_what_is_of_their_organization_only(
    client: httpx2.AsyncClient, database: Database
):
    messages = [message() for _ in range(2)]
    engine = create_engine(database.url("reprieve_ingest"), name="test")
    await put(engine, messages)
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await park_messages(connection, TABLE, [one.id for one in messages], reason="KeyError")
    await engine.dispose()
    items = [
        {
            "organization_id": str(ORGANIZATION),
            "message_id": str(one.message_id),
            "revision": one.revision,
        }
        for one in messages
    ]

    for role in ("supervisor", "admin"):
        stranger = {"Authorization": f"Bearer {await a_key(database, role)}"}
        for path, body in (
            ("/v1/parked/replay", {"all": True}),
            ("/v1/parked/replay", {"items": items}),
            ("/v1/reconciliation/repair", {"items": items}),
        ):
            answer = await client.post(path, json=body, headers=stranger)
            assert (answer.status_code, answer.json()) == (200, {"made_due": 0}), (role, path)
        assert (await client.get("/v1/parked", headers=stranger)).json()["data"] == []

    admin = await a_key(database, "admin", organization_id=ORGANIZATION)
    answer = await client.post(
        "/v1/parked/replay", json={"all": True}, headers={"Authorization": f"Bearer {admin}"}
    )
    assert answer.json() == {"made_due": 2}
