"""
Is this the installation's master key? Asked once when a process starts.

`access` keeps a value that the master key wrapped. A process with another key would fail at every name it
has to open and, worse, seal what nobody else can open; so it ends instead.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import InvalidInputError, UnavailableError
from shared.postgres import transaction
from shared.security.keyring import index_key_context
from shared.security.sealing import KEY_BYTES, MasterKey

_CONTEXT = b"reprieve master key check"
_WAIT_SECONDS = 1.0

_CHECK = text("select access.master_key_check()")
_KEEP = text("select access.keep_master_key_check(:wrapped)")
_ORGANIZATION = text("""
    select o.organization_id, access.index_key(o.organization_id) as wrapped
    from access.organizations_of_installation() o limit 1
""")

log = structlog.get_logger()


def new_check(master_key: MasterKey) -> bytes:
    """Make the value by which a master key is known again."""
    return master_key.wrap(bytes(KEY_BYTES), context=_CONTEXT)


async def check_master_key(engine: AsyncEngine, master_key: MasterKey) -> None:
    """
    Raise InvalidInputError unless the key, or an older one beside it, is the installation's.

    The first process of an installation settles which one that is. Raises UnavailableError, also while the
    schemas are not migrated.
    """
    with _schemas_must_be_there():
        await _check(engine, master_key)


async def _check(engine: AsyncEngine, master_key: MasterKey) -> None:
    async with transaction(engine) as connection:
        wrapped = await connection.scalar(_CHECK)
        if wrapped is None:
            # Older than the check value: what its organizations were created with decides.
            found = (await connection.execute(_ORGANIZATION)).one_or_none()
            if found is not None:
                _open(master_key, found.wrapped, index_key_context(found.organization_id))
            wrapped = await connection.scalar(_KEEP, {"wrapped": new_check(master_key)})
    _open(master_key, wrapped, _CONTEXT)


async def check_owned_master_key(engine: AsyncEngine, master_key: MasterKey) -> None:
    """Check as the owner of the tables does, who may look into them. Raises as check_master_key."""
    async with transaction(engine) as connection:
        wrapped = await connection.scalar(_CHECK)
        found = (await connection.execute(_ORGANIZATION)).one_or_none()
    if wrapped is not None:
        _open(master_key, wrapped, _CONTEXT)
    elif found is not None:
        _open(master_key, found.wrapped, index_key_context(found.organization_id))


@asynccontextmanager
async def checked_master_key(
    engine: AsyncEngine, master_key: MasterKey, stop: asyncio.Event
) -> AsyncIterator[None]:
    """
    Check before the block; while the database is away, beside it.

    Then a wrong key sets `stop`, and InvalidInputError is raised when the block has ended.
    """
    checking: asyncio.Task[None] | None = None
    try:
        await check_master_key(engine, master_key)
    except UnavailableError:
        checking = asyncio.create_task(_check_later(engine, master_key, stop))
    try:
        yield
    finally:
        if checking is not None and not checking.done():
            checking.cancel()
    if checking is not None and checking.done():
        await checking


async def _check_later(engine: AsyncEngine, master_key: MasterKey, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await check_master_key(engine, master_key)
        except UnavailableError:
            await asyncio.sleep(_WAIT_SECONDS)
        except InvalidInputError:
            log.exception("master_key_refused")
            stop.set()
            raise
        else:
            return


@contextmanager
def _schemas_must_be_there() -> Iterator[None]:
    try:
        yield
    except ProgrammingError as error:
        raise UnavailableError(
            "The database is not migrated.", remedy="Run `reprieve db upgrade`."
        ) from error


def _open(master_key: MasterKey, wrapped: bytes, context: bytes) -> None:
    try:
        master_key.unwrap(wrapped, context=context)
    except InvalidInputError:
        raise InvalidInputError(
            "REPRIEVE_MASTER_KEY is not the master key of this installation.",
            remedy="Set it to the one that all other processes have.",
        ) from None
