"""Transactions over a pool whose connections may have died while nobody used them."""

import pytest

from shared.errors import TooSlowError
from shared.http.problems import problem_of
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


async def test_what_takes_too_long_is_ended_and_told_how_to_ask_for_less(database: Database):
    engine = create_engine(
        database.url("reprieve_triage"), name="test", pool_size=1, statement_timeout_seconds=0.05
    )
    with pytest.raises(TooSlowError) as ended:
        async with transaction(engine) as connection:
            await rows(connection, "select pg_sleep(30)")
    async with transaction(engine) as connection:
        assert await rows(connection, "select 1 as one")
    await engine.dispose()

    answer = problem_of(ended.value)
    assert answer.status_code == 503
    assert b"urn:reprieve:problem:too-slow" in answer.body
    assert b"a further filter" in answer.body
