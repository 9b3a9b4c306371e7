"""Row-level security holds even when a statement forgets its WHERE, and for the owner of the tables too."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kafka.outbox import Message, OutboxTable, insert_messages
from shared.postgres import create_engine, hold_locks, rows, transaction
from shared.postgres.migrate import downgrade, upgrade
from tests.support.database import Database

ORGANIZATION_TABLES = """
    select c.oid::regclass::text as name, c.relrowsecurity and c.relforcerowsecurity as walled
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('ingest', 'triage', 'tracker') and c.relkind = 'r'
"""


async def record_event(
    connection: AsyncConnection, organization: UUID, *, size: int = 100, shard: int = 3
) -> None:
    await insert_messages(
        connection,
        OutboxTable("ingest", "ingest.claim_events"),
        [Message(organization, one := uuid4(), 1, "ClaimDenied", "claim-events", one, shard, b"x" * size)],
        extra={
            "remittance_id": ("uuid", [one]),
            "charge_amount": ("numeric", [1]),
            "denied_amount": ("numeric", [1]),
        },
    )


async def test_a_select_without_where_sees_only_the_organizations_in_scope(database: Database):
    engine = create_engine(database.url("reprieve_ingest"), name="test")
    mine, theirs = uuid4(), uuid4()
    async with transaction(engine, organizations=[mine, theirs]) as connection:
        await record_event(connection, mine)
        await record_event(connection, theirs)

    async with transaction(engine, organizations=[mine]) as connection:
        seen = await rows(connection, "select organization_id from ingest.claim_events")
    async with transaction(engine) as connection:
        unscoped = await rows(connection, "select * from ingest.claim_events")
    await engine.dispose()

    assert [row.organization_id for row in seen] == [mine]
    assert unscoped == []


async def test_nobody_writes_through_the_wall(database: Database):
    engine = create_engine(database.url("reprieve_ingest"), name="test")
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with transaction(engine, organizations=[uuid4()]) as connection:
            await record_event(connection, uuid4())
    await engine.dispose()


async def test_the_owner_of_the_tables_sees_nothing_either(database: Database):
    service = create_engine(database.url("reprieve_ingest"), name="test")
    owner = create_engine(database.owner, name="test")
    organization = uuid4()
    async with transaction(service, organizations=[organization]) as connection:
        await record_event(connection, organization)

    async with transaction(owner) as connection:
        assert await rows(connection, "select * from ingest.claim_events") == []
    with pytest.raises(ProgrammingError, match="permission denied to set role"):
        async with transaction(owner) as connection:
            await rows(connection, "set role reprieve_finder")
    await service.dispose()
    await owner.dispose()


async def test_every_table_of_a_service_stands_behind_a_forced_wall(database: Database):
    engine = create_engine(database.owner, name="test")
    async with transaction(engine) as connection:
        tables = await rows(connection, ORGANIZATION_TABLES)
    await engine.dispose()

    assert len(tables) > 10
    assert [table.name for table in tables if not table.walled] == []


@pytest.mark.parametrize("role", ["reprieve_ingest", "reprieve_triage", "reprieve_tracker"])
async def test_a_service_reaches_no_other_schema_and_no_table_of_access(database: Database, role: str):
    engine = create_engine(database.url(role), name="test")
    async with transaction(engine) as connection:
        reachable = await rows(
            connection,
            """
            select n.nspname as schema, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname in ('access', 'ingest', 'triage', 'tracker') and c.relkind = 'r'
                and has_table_privilege(c.oid, 'select, insert, update, delete')
            """,
        )
    await engine.dispose()

    assert {row.schema for row in reachable} == {role.removeprefix("reprieve_")}


async def test_data_keys_open_only_for_ingest_and_tracker(database: Database):
    engine = create_engine(database.url("reprieve_triage"), name="test")
    with pytest.raises(ProgrammingError, match="permission denied for function data_key"):
        async with transaction(engine) as connection:
            await rows(connection, "select access.data_key(:id, current_date)", id=uuid4())
    await engine.dispose()


async def test_due_rows_are_found_across_walls_within_the_window(database: Database):
    engine = create_engine(database.url("reprieve_ingest"), name="test")
    first, second = uuid4(), uuid4()
    for organization in (first, second, first):
        async with transaction(engine, organizations=[organization]) as connection:
            await record_event(connection, organization)

    async with transaction(engine) as connection:
        due = await rows(
            connection, "select * from ingest.due_claim_events(cast(array[3] as smallint[]), 250, 10)"
        )
    await engine.dispose()

    assert [row.organization_id for row in due] == [first, second]


async def test_a_lock_is_held_once_and_freed_with_its_connection(database: Database):
    engine = create_engine(database.url("reprieve_ingest"), name="test")
    async with hold_locks(engine, "relay", [1, 2]) as mine, hold_locks(engine, "relay", [2, 3]) as theirs:
        assert (mine, theirs) == ({1, 2}, {3})
    async with hold_locks(engine, "relay", [1, 2, 3]) as again:
        assert again == {1, 2, 3}
    await engine.dispose()


def test_migrations_go_down_and_up_again(postgres_server):
    import asyncio

    database = asyncio.run(postgres_server.fresh())
    downgrade(database.owner, "base")
    upgrade(database.owner)
    asyncio.run(postgres_server.server.execute(f'drop database "{database.name}" with (force)'))
