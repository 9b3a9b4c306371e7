"""
Engines and transactions. Only this module commits.

A transaction names the organizations (or submitters) that it works for; row-level security shows it
their rows and no others. One that names nobody sees nothing.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache, lru_cache
from typing import Any, TypeAlias, cast
from uuid import UUID

import asyncpg
from sqlalchemy import TextClause, text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.event import listen
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolExhaustedError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection, QueuePool
from sqlalchemy.sql.compiler import SQLCompiler

from shared.errors import TooSlowError, UnavailableError
from shared.postgres.arrays import speak_ids

Driver: TypeAlias = asyncpg.Connection
"""What reading() gives: nothing but records() has to know it."""

_SET_SCOPE = (
    "select set_config('reprieve.organizations', :organizations, true), "
    "set_config('reprieve.submitters', :submitters, true)"
)

_UNSYNCED = ", set_config('synchronous_commit', 'off', true)"
# One plan for ever. It must not read a table whole because the table was small when it was made.
_PLANNED_ONCE = """, set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('enable_seqscan', 'off', true)"""

_DIED = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
)
_UNAVAILABLE = (
    *_DIED,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    # Not absent, but the same helps: the database took this transaction back for the sake of another one.
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    PoolExhaustedError,  # more is asked at once than the pool has connections for
)


def create_engine(
    url: str, *, name: str, pool_size: int = 5, statement_timeout_seconds: float | None = None
) -> AsyncEngine:
    """
    Open a pool. `name` is shown in pg_stat_activity.

    `statement_timeout_seconds` bounds every statement: set it where strangers choose the query.
    """
    # A plan kept from when a table was small scans it whole when it is large: plan every time.
    settings = {"application_name": name, "jit": "off", "plan_cache_mode": "force_custom_plan"}
    # To start workers takes as long as what is asked here, and each reads ahead what nobody needs.
    settings["max_parallel_workers_per_gather"] = "0"
    if statement_timeout_seconds is not None:
        settings["statement_timeout"] = str(int(statement_timeout_seconds * 1000))
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        # The connection that was used last knows plans and catalogs; ten in turn learn them ten times.
        pool_use_lifo=True,
        connect_args={"server_settings": settings, "timeout": 10},
    )
    listen(engine.sync_engine, "connect", lambda connection, _: speak_ids(connection.driver_connection))
    return engine


@asynccontextmanager
async def transaction(
    engine: AsyncEngine,
    *,
    organizations: Iterable[UUID] = (),
    submitters: Iterable[UUID] = (),
    may_be_lost: bool = False,
    planned_once: bool = False,
) -> AsyncIterator[AsyncConnection]:
    """
    Work in one transaction for these organizations and submitters; commit at the end, roll back on an error.

    One that `may_be_lost` does not wait for the disk: in a crash of the server the last ones may be undone.
    Only for what is harmless to repeat, and is repeated. What is `planned_once` inserts rows, looks rows up
    by their keys, and does nothing else: planning that anew for every batch costs as much as doing it.

    Raises UnavailableError when the database does not answer, or gave another transaction precedence,
    so that callers can wait and repeat; TooSlowError where a statement took longer than the engine lets it.
    """
    scope = _scope(organizations, submitters)
    with database_must_answer():
        async with engine.connect() as connection:
            await _begin(connection, _set_scope(may_be_lost, planned_once), scope)
            yield connection
            await connection.commit()


@asynccontextmanager
async def reading(
    engine: AsyncEngine, *, organizations: Iterable[UUID] = (), submitters: Iterable[UUID] = ()
) -> AsyncIterator[Driver]:
    """
    Look rows up with records() alone, behind the same walls and with the same errors as transaction().

    For pages that are asked for a hundred times a second: SQLAlchemy's own transaction takes longer than the
    driver takes to fetch one, and two round trips more.
    """
    scope = _scope(organizations, submitters)
    begin = "begin read only; " + "; ".join(
        f"set local reprieve.{name} = '{ids}'" for name, ids in scope.items()
    )
    with database_must_answer():
        lent, driver = await _begun(engine, begin)
        try:
            yield driver
            await driver.execute("commit")
        except Exception:
            if not driver.is_closed():
                await driver.execute("rollback")
            raise
        finally:
            if driver.is_closed() or driver.is_in_transaction():
                lent.invalidate()  # nobody waits for what a cancelled query still does
            lent.close()  # gives it back without a word: SQLAlchemy knows of no transaction


async def _begun(engine: AsyncEngine, begin: str) -> tuple[PoolProxiedConnection, Driver]:
    """Take a connection of the pool and begin; over the next one where that had died unnoticed."""
    more = cast("QueuePool", engine.pool).size()  # all of them may have died
    while True:
        lent = await engine.raw_connection()
        driver: Driver = lent.driver_connection
        try:
            await driver.execute(begin)
        except BaseException as error:
            lent.invalidate()
            if not (more and isinstance(error, _DIED)):
                raise
            more -= 1
        else:
            return lent, driver


def _scope(organizations: Iterable[UUID], submitters: Iterable[UUID]) -> dict[str, str]:
    return {
        "organizations": _ids(organizations),
        "submitters": _ids(submitters),
    }


def _ids(some: Iterable[UUID]) -> str:
    """Write ids as the walls read them. reading() puts them into a text: they must be nothing else."""
    return ",".join(sorted({str(UUID(str(one))) for one in some}))


async def _begin(connection: AsyncConnection, set_scope: TextClause, scope: dict[str, str]) -> None:
    """
    Send a transaction's first statement; over a new connection where the pool's had died unnoticed.

    Asking every connection first whether it lives, as the pool would, is three round trips a transaction.
    """
    try:
        await connection.execute(set_scope, scope)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        await connection.rollback()
        await connection.execute(set_scope, scope)


@cache
def _set_scope(may_be_lost: bool, planned_once: bool) -> TextClause:  # noqa: FBT001
    more = (_UNSYNCED if may_be_lost else "") + (_PLANNED_ONCE if planned_once else "")
    return text(_SET_SCOPE + more)


@contextmanager
def database_must_answer() -> Iterator[None]:
    """Turn every way in which a database fails and repeating helps into UnavailableError or TooSlowError."""
    try:
        yield
    except _UNAVAILABLE as error:
        raise UnavailableError("The database does not answer.", remedy="It is tried again.") from error
    except asyncpg.QueryCanceledError as error:  # from records(), where nobody wraps it
        raise _too_slow() from error
    except DBAPIError as error:
        if isinstance(_cause(error), asyncpg.QueryCanceledError):
            raise _too_slow() from error
        if is_unavailable(error):
            raise UnavailableError("The database does not answer.", remedy="It is tried again.") from error
        raise
    except StatementError as error:  # which had to connect anew, and was refused
        if isinstance(error.orig, _UNAVAILABLE):
            raise UnavailableError("The database does not answer.", remedy="It is tried again.") from error
        raise


def _too_slow() -> TooSlowError:
    return TooSlowError(
        "The database would take longer for this than one question may take.",
        remedy="Ask for less: a further filter, a smaller page, or a list in its default order.",
    )


def is_unavailable(error: DBAPIError) -> bool:
    """Tell a statement that may be repeated from a wrong one."""
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    cause = _cause(error)
    return isinstance(cause, _UNAVAILABLE) or (isinstance(error, OperationalError) and cause is None)


def _cause(error: DBAPIError) -> BaseException | None:
    """Give the driver's own error."""
    return getattr(error.orig, "__cause__", None)


async def rows(connection: AsyncConnection, sql: str, /, **parameters: Any) -> list[Any]:
    """Run one statement with bound parameters and give all its rows."""
    return list((await connection.execute(text(sql), parameters)).all())


async def records(
    connection: AsyncConnection | Driver, sql: str, bound: Mapping[str, Any], /
) -> list[Mapping[str, Any]]:
    """
    Run one query of a transaction() or of reading(), and give the driver's own rows, by their columns' names.

    For pages of wide rows: SQLAlchemy takes longer to make its own of them than PostgreSQL to find them.
    """
    compiled = _compiled(sql)
    driver: Any = connection
    if isinstance(connection, AsyncConnection):
        driver = (await connection.get_raw_connection()).driver_connection
    found: list[Mapping[str, Any]] = await driver.fetch(
        compiled.string, *(bound[name] for name in compiled.positiontup or ())
    )
    return found


@lru_cache(maxsize=512)
def _compiled(sql: str) -> SQLCompiler:
    """Write parameters as the driver wants them, which takes a while; people's filters repeat."""
    return text(sql).compile(dialect=_DIALECT)


_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
