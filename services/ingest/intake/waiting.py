"""
Waiting for a file to be read, for those who asked with `Prefer: wait=N` (RFC 7240).

All who wait in this process are asked for in one query, soon after the first came and ever more seldom, so
that a thousand who wait cost the database no more than one.
"""

import asyncio
import re
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store.receipts import finished_receipts
from shared.errors import UnavailableError

SECONDS_MAX = 60
_FIRST_LOOK_SECONDS = 0.05
_LAST_LOOK_SECONDS = 1.0
_GROWTH = 1.5

_WAIT = re.compile(r'(?:^|[,;\s])wait\s*=\s*"?([0-9]{1,9})"?\s*(?:[,;]|$)', re.IGNORECASE)

_Wanted = tuple[UUID, UUID]


def wanted_seconds(prefer: str | None) -> int:
    """Read how long the caller wants to wait, at most a minute; 0 when it does not."""
    found = _WAIT.search(prefer or "")
    return min(int(found[1]), SECONDS_MAX) if found else 0


class Waiting:
    """Knows who waits for which receipt. One per process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._wanted: dict[_Wanted, list[asyncio.Event]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._pause_seconds = _FIRST_LOOK_SECONDS

    async def until_finished(self, submitter_id: UUID, receipt_id: UUID, *, seconds: float) -> bool:
        """Wait until the file was read or refused; False when the time is up before."""
        finished = asyncio.Event()
        wanted = (submitter_id, receipt_id)
        self._wanted.setdefault(wanted, []).append(finished)
        self._pause_seconds = _FIRST_LOOK_SECONDS
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(seconds):
                await finished.wait()
        except TimeoutError:
            return False
        finally:
            others = [one for one in self._wanted.pop(wanted, ()) if one is not finished]
            if others:
                self._wanted[wanted] = others
        return True

    async def _look(self) -> None:
        while self._wanted:
            await asyncio.sleep(self._pause_seconds)
            self._pause_seconds = min(self._pause_seconds * _GROWTH, _LAST_LOOK_SECONDS)
            try:
                found = await finished_receipts(self._engine, list(self._wanted))
            except UnavailableError:
                continue  # who waits too long is told that it is not finished, which is true
            for wanted in found:
                for finished in self._wanted.get(wanted, ()):
                    finished.set()
