"""Transactions over a pool whose connections may have died while nobody used them."""

from shared.postgres import create_engine, rows, transaction
from tests.support.database import Database

_PID = "select pg_backend_pid() as pid"


async def test_a_transaction_begins_over_a_new_connection_where_the_pools_had_died(database: Database):
    engine = create_engine(database.url("reprieve_triage"), name="test", pool_size=1)
    async with transaction(engine) as connection:
        (before,) = await rows(connection, _PID)
    await database.server.execute(f"select pg_terminate_backend({before.pid}, 10000)")

    async with transaction(engine) as connection:
        (after,) = await rows(connection, _PID)
    await engine.dispose()

    assert after.pid != before.pid
