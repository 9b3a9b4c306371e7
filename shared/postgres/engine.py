"""
Engines and transactions. Only this module commits.

A transaction names the organizations (or submitters) that it works for; row-level security shows it
their rows and no others. One that names nobody sees nothing.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.errors import UnavailableError

_SET_SCOPE = text(
    "select set_config('reprieve.organizations', :organizations, true), "
    "set_config('reprieve.submitters', :submitters, true)"
)

_SET_SCOPE_UNSYNCED = text(f"{_SET_SCOPE.text}, set_config('synchronous_commit', 'off', true)")

_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
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
    if statement_timeout_seconds is not None:
        settings["statement_timeout"] = str(int(statement_timeout_seconds * 1000))
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={"server_settings": settings, "timeout": 10},
    )


@asynccontextmanager
async def transaction(
    engine: AsyncEngine,
    *,
    organizations: Iterable[UUID] = (),
    submitters: Iterable[UUID] = (),
    may_be_lost: bool = False,
) -> AsyncIterator[AsyncConnection]:
    """
    Work in one transaction for these organizations and submitters; commit at the end, roll back on an error.

    One that `may_be_lost` does not wait for the disk: in a crash of the server the last ones may be undone.
    Only for what is harmless to repeat, and is repeated.

    Raises UnavailableError when the database does not answer, so that callers can wait and repeat.
    """
    scope = {
        "organizations": ",".join(sorted({str(one) for one in organizations})),
        "submitters": ",".join(sorted({str(one) for one in submitters})),
    }
    with database_must_answer():
        async with engine.begin() as connection:
            await connection.execute(_SET_SCOPE_UNSYNCED if may_be_lost else _SET_SCOPE, scope)
            yield connection


@contextmanager
def database_must_answer() -> Iterator[None]:
    """Turn every way in which a database can be absent into UnavailableError."""
    try:
        yield
    except _UNAVAILABLE as error:
        raise UnavailableError("The database does not answer.", remedy="It is tried again.") from error
    except DBAPIError as error:
        if is_unavailable(error):
            raise UnavailableError("The database does not answer.", remedy="It is tried again.") from error
        raise


def is_unavailable(error: DBAPIError) -> bool:
    """Tell an absent database from a wrong statement."""
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    cause = getattr(error.orig, "__cause__", None)
    return isinstance(cause, _UNAVAILABLE) or (isinstance(error, OperationalError) and cause is None)


async def rows(connection: AsyncConnection, sql: str, /, **parameters: Any) -> list[Any]:
    """Run one statement with bound parameters and give all its rows."""
    return list((await connection.execute(text(sql), parameters)).all())
