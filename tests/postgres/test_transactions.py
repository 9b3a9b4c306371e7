"""Transactions over a pool whose connections may have died while nobody used them."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from shared.errors import TooSlowError, UnavailableError
from shared.http.problems import problem_of
from shared.postgres import create_engine, reading, records, rows, transaction
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


async def test_a_database_that_died_and_takes_no_connections_does_not_answer(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    engine = create_engine(database.url("reprieve_triage"), name="test", pool_size=1)
    async with transaction(engine) as connection:
        (before,) = await rows(connection, _PID)
    await database.server.execute(f"select pg_terminate_backend({before.pid}, 10000)")

    async def connect(*_arguments: Any, **_options: Any) -> Any:
        raise ConnectionRefusedError

    async def begin() -> None:
        async with transaction(engine):
            pass

    monkeypatch.setattr(asyncpg, "connect", connect)
    with pytest.raises(UnavailableError):
        await begin()
    await engine.dispose()


async def test_what_takes_too_long_is_ended_and_told_how_to_ask_for_less(database: Database):
    engine = create_engine(
        database.url("reprieve_triage"), name="test", pool_size=1, statement_timeout_seconds=0.5
    )
    with pytest.raises(TooSlowError):
        async with transaction(engine) as connection:
            await records(connection, "select pg_sleep(:seconds)", {"seconds": 30})
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


async def test_the_drivers_own_rows_are_those_of_the_transaction(database: Database):
    engine = create_engine(database.url("reprieve_triage"), name="test", pool_size=1)
    async with transaction(engine) as connection:
        await rows(connection, "select set_config('reprieve.submitters', 'x', true)")
        [found] = await records(
            connection,
            "select current_setting('reprieve.submitters') as one, cast(:many as text[]) as many, :more as more",
            {"many": ["a", "b"], "more": "c", "of_no_use": 1},
        )
    await engine.dispose()

    assert dict(found) == {"one": "x", "many": ["a", "b"], "more": "c"}


async def test_a_connection_that_dies_under_a_query_is_told_as_a_database_that_does_not_answer(
    database: Database,
):
    engine = create_engine(database.url("reprieve_triage"), name="test", pool_size=1)

    async def die() -> None:
        async with transaction(engine) as connection:
            [before] = await records(connection, _PID, {})
            await database.server.execute(f"select pg_terminate_backend({before['pid']}, 10000)")
            await records(connection, _PID, {})

    with pytest.raises(UnavailableError):
        await die()
    async with transaction(engine) as connection:
        assert await records(connection, "select 1 as one", {})
    await engine.dispose()


async def test_a_pool_that_has_no_connection_left_is_a_database_that_does_not_answer(database: Database):
    engine = create_engine(database.url("reprieve_triage"), name="test", pool_size=1)
    engine.pool._timeout = 0.05
    async with transaction(engine):
        with pytest.raises(UnavailableError):
            async with transaction(engine):
                pass
    await engine.dispose()


ONE, TWO = UUID(int=1), UUID(int=2)
_SCOPE = """
    select pg_backend_pid() as pid, current_setting('reprieve.organizations', true) as organizations,
        current_setting('reprieve.submitters', true) as submitters
"""


async def test_what_is_read_is_read_for_whom_it_names_and_the_next_one_names_its_own(database: Database):
    engine = create_engine(database.url("reprieve_triage"), name="test", pool_size=1)
    seen = []
    for scope in ({"organizations": [TWO, ONE]}, {"submitters": [TWO]}, {}):
        async with reading(engine, **scope) as driver:
            seen += await records(driver, _SCOPE, {})
    async with transaction(engine) as connection:
        seen += await records(connection, _SCOPE, {})
    await engine.dispose()

    assert [(one["organizations"], one["submitters"]) for one in seen] == [
        (f"{ONE},{TWO}", ""),
        ("", f"{TWO}"),
        ("", ""),
        ("", ""),
    ]
    assert len({one["pid"] for one in seen}) == 1


async def test_nothing_is_written_while_reading(database: Database):
    engine = create_engine(database.owner, name="test", pool_size=1)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with reading(engine) as driver:
            await records(driver, "create table written (one text)", {})
    await engine.dispose()


async def test_reading_begins_over_a_new_connection_where_all_of_the_pool_had_died(database: Database):
    engine = create_engine(database.url("reprieve_triage"), name="test", pool_size=2)
    async with reading(engine) as one, reading(engine) as other:
        before = {(await records(each, _PID, {}))[0]["pid"] for each in (one, other)}
    for pid in before:
        await database.server.execute(f"select pg_terminate_backend({pid}, 10000)")

    async with reading(engine) as one:
        [after] = await records(one, _PID, {})
    await engine.dispose()

    assert after["pid"] not in before


async def test_a_connection_that_dies_while_reading_is_a_database_that_does_not_answer(database: Database):
    engine = create_engine(database.url("reprieve_triage"), name="test", pool_size=1)

    async def die() -> None:
        async with reading(engine) as driver:
            [before] = await records(driver, _PID, {})
            await database.server.execute(f"select pg_terminate_backend({before['pid']}, 10000)")
            await records(driver, _PID, {})

    with pytest.raises(UnavailableError):
        await die()
    async with reading(engine) as driver:
        assert await records(driver, "select 1 as one", {})
    await engine.dispose()


async def test_who_fails_or_goes_away_while_reading_leaves_a_connection_that_knows_nothing_of_it(
    database: Database,
):
    engine = create_engine(
        database.url("reprieve_triage"), name="test", pool_size=1, statement_timeout_seconds=30
    )

    async def read(sql: str) -> None:
        async with reading(engine, organizations=[ONE]) as driver:
            await records(driver, sql, {})

    async def given_back() -> tuple[Any, Any, bool]:
        lent = await engine.raw_connection()
        driver: Any = lent.driver_connection
        [found] = await driver.fetch(_SCOPE)
        lent.close()
        return found["pid"], found["organizations"], driver.is_in_transaction()

    await read("select 1")
    first = await given_back()
    with pytest.raises(asyncpg.DivisionByZeroError):
        await read("select 1 / 0")
    failed = await given_back()
    gone = asyncio.create_task(read("select pg_sleep(30)"))
    async with asyncio.timeout(20):
        while not await sleeps(database):
            await asyncio.sleep(0.01)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    cancelled = await given_back()
    await engine.dispose()

    assert failed == first
    assert first[1:] == ("", False)
    assert cancelled[0] != first[0]
    assert not cancelled[1]
    assert not cancelled[2]


async def sleeps(database: Database) -> bool:
    """Tell whether a connection is in its `pg_sleep`."""
    watching = create_engine(database.url("reprieve_triage"), name="watching", pool_size=1)
    async with transaction(watching) as connection:
        found = await rows(
            connection,
            "select 1 from pg_stat_activity where state = 'active' and query like 'select pg_sleep%'"
            " and datname = current_database()",
        )
    await watching.dispose()
    return bool(found)


async def test_who_goes_away_while_a_failure_is_rolled_back_gives_no_transaction_to_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    engine = create_engine(database.url("reprieve_triage"), name="test", pool_size=1)
    begun = asyncpg.Connection.execute

    async def execute(driver: Any, sql: str, *arguments: Any, **options: Any) -> Any:
        if sql == "rollback":
            raise asyncio.CancelledError
        return await begun(driver, sql, *arguments, **options)

    async def fail() -> None:
        async with reading(engine) as driver:
            await records(driver, "select 1 / 0", {})

    with monkeypatch.context() as patched:
        patched.setattr(asyncpg.Connection, "execute", execute)
        with pytest.raises(asyncio.CancelledError):
            await fail()
    async with transaction(engine) as connection:
        assert await records(connection, "select 1 as one", {})
    await engine.dispose()


async def test_a_database_that_takes_connections_and_answers_nothing_is_tried_no_more_than_the_pool_has(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    engine = create_engine(database.url("reprieve_triage"), name="test", pool_size=2)
    answers, tried = asyncpg.Connection.execute, []

    async def execute(driver: Any, sql: str, *arguments: Any, **options: Any) -> Any:
        if not sql.startswith("begin read only"):
            return await answers(driver, sql, *arguments, **options)
        tried.append(sql)
        raise asyncpg.ConnectionDoesNotExistError("It is gone.")

    async def read() -> None:
        async with reading(engine):
            pass

    with monkeypatch.context() as patched:
        patched.setattr(asyncpg.Connection, "execute", execute)
        with pytest.raises(UnavailableError):
            await read()
    await engine.dispose()

    assert len(tried) == 3


async def test_reading_for_too_long_is_ended_and_told_how_to_ask_for_less(database: Database):
    engine = create_engine(
        database.url("reprieve_triage"), name="test", pool_size=1, statement_timeout_seconds=0.5
    )
    with pytest.raises(TooSlowError):
        async with reading(engine) as driver:
            await records(driver, "select pg_sleep(30)", {})
    async with reading(engine) as driver:
        assert await records(driver, "select 1 as one", {})
    await engine.dispose()
