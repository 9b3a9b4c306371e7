"""What waits to be sent, is in flight or is done survives the way into parcels and back."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.kafka.outbox import Message, MessageId, OutboxTable, insert_messages, release_staged
from shared.kafka.stamps import make_due, settle_messages
from shared.postgres import create_engine, rows, transaction
from shared.postgres.migrate import downgrade, upgrade
from tests.support.database import Database

ORGANIZATION = UUID(int=7)
REMITTANCE = UUID(int=8)
EVENTS = OutboxTable("ingest", "ingest.claim_events")
OUTBOX = OutboxTable("tracker", "tracker.outbox", receipted=False)
STATES = {
    "staged": "due_at = 'infinity'",
    "waiting": "due_at = now() - interval '5 minutes'",
    "in_flight": "due_at = now() + interval '5 minutes', attempts = 3",
    "settled": "attempts = 1, settled_at = now()",
    "parked": "attempts = 2, parked_at = now(), parked_reason = 'KeyError'",
}
IDS = {state: UUID(int=number) for number, state in enumerate(STATES, 100)}
OWN = {"remittance_id": f"'{REMITTANCE}'", "charge_amount": "12.50", "denied_amount": "2.50"}


@pytest.fixture
async def services(database: Database) -> AsyncIterator[dict[str, AsyncEngine]]:
    """Give an engine per service, on a database as it was before parcels."""
    await asyncio.to_thread(downgrade, database.owner, "0004")
    engines = {
        name: create_engine(database.url(f"reprieve_{name}"), name="test") for name in ("ingest", "tracker")
    }
    yield engines
    for engine in engines.values():
        await engine.dispose()


async def read(engine: AsyncEngine, sql: str, **parameters: Any) -> list[Any]:
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        return await rows(connection, sql, **parameters)


async def fill(
    engine: AsyncEngine, table: str, own: dict[str, str], *, states: Collection[str] = STATES.keys()
) -> None:
    """Write a message of the old form in every state."""
    names, values = "".join(f", {name}" for name in own), "".join(f", {value}" for value in own.values())
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        for state in states:
            await connection.execute(
                text(f"""
                    insert into {table} (organization_id, message_id, revision, type, topic, message_key, shard,
                        payload, size, trace_parent {names})
                    values ('{ORGANIZATION}', :id, 1, 'ClaimDenied', 'claim-events', :id, 5, :payload, 7,
                        'trace' {values})
                """),
                {"id": IDS[state], "payload": state.encode()},
            )
            await connection.execute(
                text(f"update {table} set {STATES[state]} where message_id = :id"), {"id": IDS[state]}
            )


async def backlog(engine: AsyncEngine, table: OutboxTable) -> dict[str, int]:
    found = await read(engine, f"select state, messages from {table.finder('backlog')}()")
    return {row.state: row.messages for row in found}


async def due(engine: AsyncEngine, table: OutboxTable) -> list[UUID]:
    found = await read(
        engine,
        f"select p.message_ids[1] as id from {table.finder('due')}(cast(array[5] as smallint[]), 1000, 10)"
        f" join {table.parcels} p using (organization_id, parcel_id) order by parcel_id",
    )
    return [row.id for row in found]


async def test_every_state_survives_both_ways(database: Database, services: dict[str, AsyncEngine]):
    ingest, tracker = services["ingest"], services["tracker"]
    await fill(ingest, "ingest.claim_events", OWN)
    await fill(tracker, "tracker.outbox", {}, states=STATES.keys() - {"settled"})
    before = await read(ingest, "select * from ingest.claim_events order by message_id")
    sent_before = await read(tracker, "select * from tracker.outbox order by message_id")

    await asyncio.to_thread(upgrade, database.owner, "0005")

    open_states = {"staged": 1, "waiting": 1, "in_flight": 1}
    assert await backlog(ingest, EVENTS) == {**open_states, "parked": 1}
    assert await backlog(tracker, OUTBOX) == await backlog(ingest, EVENTS)
    assert await due(ingest, EVENTS) == await due(tracker, OUTBOX) == [IDS["waiting"]]

    await asyncio.to_thread(downgrade, database.owner, "0004")

    after = await read(ingest, "select * from ingest.claim_events order by message_id")
    assert [settled(one) for one in after] == [settled(one) for one in before]
    sent_after = await read(tracker, "select * from tracker.outbox order by message_id")
    columns = ("message_id", "type", "topic", "message_key", "shard", "payload", "trace_parent", "attempts")
    assert [[getattr(one, name) for name in columns] for one in sent_after] == [
        [getattr(one, name) for name in columns] for one in sent_before
    ]


def settled(row: Any) -> dict[str, Any]:
    """Give a message without its place in the table, and without when it is due where it is done."""
    done = row.settled_at or row.parked_at
    return {
        name: value
        for name, value in row._mapping.items()
        if name != "position" and not (done and name == "due_at")
    }


async def test_what_came_before_parcels_goes_on_in_them(database: Database, services: dict[str, AsyncEngine]):
    ingest = services["ingest"]
    await fill(ingest, "ingest.claim_events", OWN)
    await asyncio.to_thread(upgrade, database.owner, "0005")
    known = Message(
        ORGANIZATION, IDS["settled"], 1, "ClaimDenied", "claim-events", IDS["settled"], 5, b"again"
    )
    new = Message(ORGANIZATION, UUID(int=999), 1, "ClaimDenied", "claim-events", IDS["settled"], 5, b"new")
    extra: dict[str, tuple[str, list[Any]]] = {
        "remittance_id": ("uuid", [REMITTANCE] * 2),
        "charge_amount": ("numeric", [1, 1]),
        "denied_amount": ("numeric", [1, 1]),
    }

    async with transaction(ingest, organizations=[ORGANIZATION]) as connection:
        assert await release_staged(connection, EVENTS, REMITTANCE) == 1
        assert await insert_messages(connection, EVENTS, [known, new], extra=extra) == 1
        settled_now = [MessageId(ORGANIZATION, IDS[state], 1) for state in ("in_flight", "settled")]
        assert await settle_messages(connection, EVENTS, settled_now) == 1
        assert await make_due(connection, EVENTS, [MessageId(ORGANIZATION, IDS["parked"], 1)]) == 1

    assert await backlog(ingest, EVENTS) == {"waiting": 3, "in_flight": 1}
    assert set(await due(ingest, EVENTS)) == {IDS["staged"], IDS["waiting"], IDS["parked"], None}
