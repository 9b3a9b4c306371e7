"""
The drop-folder loop: looks into `REPRIEVE_DROP_DIR/<submitter>/<feed>/` of every feed that has such a folder.

The outer folder is called as the submitter, or by its id. A feed is looked after by one worker at a time,
under an advisory lock; a killed worker frees its feeds at once. A folder that fails does not hold up others.
"""

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid5

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.intake.drop_folder import DropFolder
from services.ingest.intake.registrar import Registrar
from services.ingest.store.drop_feeds import DropFeed, drop_feeds
from services.ingest.workers.drop_round import Round, Watch
from shared.clock import now
from shared.errors import ReprieveError, UnavailableError
from shared.http.probes import Health
from shared.kafka.backoff import Backoff, sleep_unless
from shared.observability import metrics
from shared.postgres import LockSession, lock_session
from shared.storage.vault import Vault

LOOP = "dropping"

_FORGET_SECONDS = 3600.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DropRules:
    """
    How dropped files are treated.

    `stable_seconds`: so long a file must not change before it counts as complete. `keep_days`: so long it
    stays in archive/ and rejected/, where it lies as it came, unsealed.
    """

    root: Path
    max_bytes: int
    stable_seconds: float
    keep_days: int
    look_seconds: float = 2.0


class Dropping:
    """Looks after drop folders until stopped. One per process."""

    def __init__(self, engine: AsyncEngine, vault: Vault, rules: DropRules, health: Health) -> None:
        self._engine = engine
        self._registrar = Registrar(engine)
        self._vault = vault
        self._rules = rules
        self._health = health
        self._watches: dict[tuple[str, str], Watch] = {}
        self._held: set[int] = set()
        self._forget_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Loop until `stop`; waits while the database or the folder is away."""
        backoff = Backoff()
        while not stop.is_set():
            self._health.beat(LOOP)
            try:
                async with lock_session(self._engine, "drop folder") as locks:
                    self._held.clear()
                    while not stop.is_set():
                        await self.look(locks, stop)
                        backoff.reset()
                        await sleep_unless(stop, self._rules.look_seconds)
            except (UnavailableError, OSError) as error:
                log.warning("dropping_waits", loop=LOOP, exc_info=error)
                await backoff.wait(stop)
        self._health.retire(LOOP)

    async def look(self, locks: LockSession, stop: asyncio.Event) -> None:
        """Look once into every folder that no other worker looks after."""
        self._health.beat(LOOP)
        feeds = await drop_feeds(self._engine)
        root = await asyncio.to_thread(os.open, self._rules.root, os.O_RDONLY | os.O_DIRECTORY)
        waiting = 0
        try:
            for feed, submitter in await asyncio.to_thread(present, root, feeds):
                if await self._is_mine(locks, feed):
                    waiting += await self._look_into(root, submitter, feed, stop)
        finally:
            os.close(root)
        metrics.DROPPED_FILES_WAITING.set(waiting)
        if time.monotonic() >= self._forget_at:
            self._forget_at = time.monotonic() + _FORGET_SECONDS

    async def _is_mine(self, locks: LockSession, feed: DropFeed) -> bool:
        number = lock_number(feed.submitter_id, feed.name)
        if number not in self._held:
            self._held |= await locks.take([number])
        return number in self._held

    async def _look_into(self, root: int, submitter: str, feed: DropFeed, stop: asyncio.Event) -> int:
        watch = self._watches.setdefault((submitter, feed.name), Watch())
        try:
            folder = await asyncio.to_thread(DropFolder, root, submitter, feed.name)
            with contextlib.closing(folder):
                waiting = await self._round(folder, feed, watch).go(stop)
                if time.monotonic() >= self._forget_at:
                    await self._forget(folder)
                return waiting
        except (ReprieveError, OSError) as error:
            if isinstance(error, UnavailableError):
                raise
            metrics.DROP_FOLDER_FAILURES.inc()
            log.warning(
                "drop_folder_fails",
                submitter_id=feed.submitter_id,
                feed=feed.name,
                code=getattr(error, "errno", None),
                exc_info=error,
            )
            return 0

    def _round(self, folder: DropFolder, feed: DropFeed, watch: Watch) -> Round:
        return Round(
            registrar=self._registrar,
            vault=self._vault,
            max_bytes=self._rules.max_bytes,
            stable_seconds=self._rules.stable_seconds,
            folder=folder,
            feed=feed,
            watch=watch,
            beat=partial(self._health.beat, LOOP),
        )

    async def _forget(self, folder: DropFolder) -> None:
        count = await asyncio.to_thread(folder.forget, now() - timedelta(days=self._rules.keep_days))
        if count:
            log.info("dropped_files_forgotten", files=count)


def present(root: int, feeds: list[DropFeed]) -> list[tuple[DropFeed, str]]:
    """Give the feeds that have a folder, with the name of the outer one; of two folders the name's counts."""
    found = []
    for feed in feeds:
        for outer in (feed.submitter, str(feed.submitter_id)):
            # The name of a submitter is free text: only one that is a single step down may be one.
            if outer not in {".", ".."} and "/" not in outer and _is_folder(root, f"{outer}/{feed.name}"):
                found.append((feed, outer))
                break
    return found


def _is_folder(root: int, path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
    except OSError:
        return False
    os.close(descriptor)
    return True


def lock_number(submitter_id: UUID, feed: str) -> int:
    """Give the number of a feed's lock: 32 bits of its name's hash."""
    return (uuid5(submitter_id, feed).int & 0xFFFFFFFF) - (1 << 31)
