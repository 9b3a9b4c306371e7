"""A real PostgreSQL for the tests: one server a session, one fresh migrated database wherever asked for."""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.embedded import postgres
from shared.postgres.migrate import let_roles_log_in, upgrade

ROLE_PASSWORDS = {
    "reprieve_ingest": "ingest-in-tests",
    "reprieve_triage": "triage-in-tests",
    "reprieve_tracker": "tracker-in-tests",
}


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated database. `owner` owns the tables, the others are the services' runtime roles."""

    server: postgres.EmbeddedPostgres
    name: str

    @property
    def owner(self) -> str:
        return self.server.url("reprieve_owner", self.name)

    def url(self, role: str) -> str:
        return self.server.url(role, self.name, ROLE_PASSWORDS[role])


_ROOM_BYTES = 4 << 30
_MEMORY = Path("/dev/shm")  # noqa: S108  Linux keeps it in memory: databases that live for a second need no disk


def _folder_in_memory() -> Path | None:
    """Give a folder in memory where there is room in one, else None for the usual one."""
    try:
        roomy = shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES and os.access(_MEMORY, os.W_OK)
    except OSError:
        return None
    return _MEMORY if roomy else None


class PostgresForTests:
    """Starts a server in a temporary folder; `fresh()` clones a migrated template in a few tens of milliseconds."""

    def __init__(self, kept: Path | None = None) -> None:
        """`kept` is a folder that stays when the server stops, and may have been used before."""
        self.kept = kept
        self.folder = kept or Path(tempfile.mkdtemp(prefix="reprieve-tests-", dir=_folder_in_memory()))
        self.server = postgres.start(
            self.folder / "pg",
            {role: "kept" if kept else secrets.token_hex(8) for role in ("postgres", "reprieve_owner")},
            settings={"fsync": "off", "max_connections": "200"},
        )
        asyncio.run(self.server.ensure_database("template"))
        upgrade(self.server.url("reprieve_owner", "template"))
        asyncio.run(let_roles_log_in(self.server.url("reprieve_owner", "template"), ROLE_PASSWORDS))

    async def fresh(self) -> Database:
        name = f"t{secrets.token_hex(6)}"
        await self.server.ensure_database(name, template="template")
        return Database(self.server, name)

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Database]:
        """A fresh one, dropped afterwards."""
        fresh = await self.fresh()
        yield fresh
        await self.server.execute(f'drop database "{fresh.name}" with (force)')

    def stop(self) -> None:
        self.server.stop()
        if self.kept is None:
            shutil.rmtree(self.folder, ignore_errors=True)
