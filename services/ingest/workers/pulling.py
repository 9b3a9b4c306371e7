"""
The SFTP loop: fetches what senders lay on their own servers into the drop folders of their feeds.

A file is fetched into inbound/ under a hidden name, made durable, renamed, and remembered; only then it is
moved or deleted over there. Stopping anywhere repeats a step, and the same bytes give the same receipt. A
feed is fetched by one worker at a time; one slow server does not hold up the others.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.intake.drop_folder import ChangedError, DropFolder, arrived_name
from services.ingest.intake.sftp import (
    RemoteChangedError,
    RemoteFile,
    SftpError,
    SftpSession,
    open_sftp,
    own_disk,
)
from services.ingest.store import sftp_pulls
from services.ingest.store.drop_feeds import DropFeed, drop_feeds
from services.ingest.store.sftp_pulls import SftpPull
from services.ingest.workers.dropping import lock_number, present
from shared.errors import InvalidInputError, UnavailableError
from shared.http.probes import Health
from shared.kafka.backoff import Backoff, sleep_unless
from shared.observability import metrics
from shared.postgres import LockSession, lock_session
from shared.security.sealing import MasterKey

LOOP = "pulling"

_FILES_AT_ONE_SITTING = 200
_LONGEST_SECONDS = 3600.0

Result = TypeVar("Result")

log = structlog.get_logger()


@dataclass(slots=True)
class _Turn:
    """When a feed is fetched next, and how long it is let alone after the next failure."""

    due_at: float = 0.0
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PullRules:
    """`stable_seconds`: so long a file must look the same over there before it is fetched."""

    root: Path
    max_bytes: int
    stable_seconds: float
    look_seconds: float = 2.0


class Pulling:
    """Fetches until stopped. One per process."""

    def __init__(self, engine: AsyncEngine, master_key: MasterKey, rules: PullRules, health: Health) -> None:
        self._engine = engine
        self._master_key = master_key
        self._rules = rules
        self._health = health
        self._turns: dict[int, _Turn] = {}
        self._in_work: dict[int, asyncio.Task[None]] = {}
        self._begun: set[str] = set()  # tokens of files that this process has in part

    async def run(self, stop: asyncio.Event) -> None:
        """Loop until `stop`; what is being fetched then is fetched again later."""
        backoff = Backoff()
        while not stop.is_set():
            self._health.beat(LOOP)
            try:
                async with lock_session(self._engine, "sftp pull") as locks:
                    await self._work(locks, stop, backoff)
            except UnavailableError:
                log.warning("pulling_waits", loop=LOOP)
                await backoff.wait(stop)
        self._health.retire(LOOP)

    async def _work(self, locks: LockSession, stop: asyncio.Event, backoff: Backoff) -> None:
        try:
            while not stop.is_set():
                self._health.beat(LOOP)
                await locks.take([])  # fails when the connection is lost, and with it the locks
                for pull in await sftp_pulls.all_pulls(self._engine):
                    await self._begin(pull, locks)
                backoff.reset()
                await sleep_unless(stop, self._rules.look_seconds)
                for number in [number for number, task in self._in_work.items() if task.done()]:
                    self._in_work.pop(number)
                    await locks.free(number)
        finally:
            for task in self._in_work.values():
                task.cancel()
            await asyncio.gather(*self._in_work.values(), return_exceptions=True)
            self._in_work.clear()

    async def _begin(self, pull: SftpPull, locks: LockSession) -> None:
        number = lock_number(pull.submitter_id, pull.feed)
        turn = self._turns.setdefault(number, _Turn())
        if number in self._in_work or time.monotonic() < turn.due_at:
            return
        if await locks.take([number]):
            self._in_work[number] = asyncio.create_task(self._one(pull, turn))

    async def _one(self, pull: SftpPull, turn: _Turn) -> None:
        """Fetch one feed; whatever happens stays with it."""
        try:
            await self.pull(pull)
        except Exception as error:  # noqa: BLE001  a defect in one feed must not stop the others
            await self._fail(pull, turn, error)
        else:
            turn.wait_seconds = 0.0
            turn.due_at = time.monotonic() + pull.place.poll_seconds

    async def _fail(self, pull: SftpPull, turn: _Turn, error: Exception) -> None:
        turn.wait_seconds = min(max(2 * turn.wait_seconds, pull.place.poll_seconds), _LONGEST_SECONDS)
        turn.due_at = time.monotonic() + turn.wait_seconds
        code = error.code if isinstance(error, SftpError) else "defect"
        metrics.SFTP_FAILURES.labels(code).inc()
        log.warning(
            "sftp_pull_failed",
            submitter_id=pull.submitter_id,
            feed=pull.feed,
            code=code,
            delay_seconds=round(turn.wait_seconds),
            exc_info=error,
        )
        with suppress(UnavailableError):
            await sftp_pulls.note_failure(self._engine, pull, code)

    async def pull(self, pull: SftpPull) -> None:
        """Fetch what one feed's place has. Raises SftpError."""
        try:
            secret = pull.secret(self._master_key)
        except InvalidInputError as error:
            raise SftpError("secret_lost", error.message, remedy=error.remedy or "") from error
        with own_disk():
            folder = await self._folder(pull)
        try:
            with own_disk():
                await _to_its_end(partial(folder.abandon_others, frozenset(self._begun)))
            async with open_sftp(pull.place, pull.secret_kind, secret) as session:
                await self._fetch_all(pull, session, folder)
        finally:
            folder.close()
        await sftp_pulls.note_success(self._engine, pull)

    async def _folder(self, pull: SftpPull) -> DropFolder:
        """Open the feed's drop folder; where there is none it is made, under the submitter's id."""
        feeds = await drop_feeds(self._engine)
        mine = [one for one in feeds if (one.submitter_id, one.name) == (pull.submitter_id, pull.feed)]
        return await _to_its_end(partial(_open_folder, self._rules.root, pull, mine))

    async def _fetch_all(self, pull: SftpPull, session: SftpSession, folder: DropFolder) -> None:
        files = await session.list()
        if self._rules.stable_seconds and files:
            await asyncio.sleep(self._rules.stable_seconds)
            again = set(await session.list())
            files = [one for one in files if one in again]
        known = await sftp_pulls.fetched_before(self._engine, pull, [one.fingerprint for one in files])
        done = [one for one in files if one.modified_at is not None and one.fingerprint in known]
        for one in done:  # an earlier try was cut short here
            if not await session.put_away(one):
                break  # the server forbids it, and will forbid the next one
        fresh = [one for one in files if one not in done]
        for one in fresh[:_FILES_AT_ONE_SITTING]:
            if one.size_bytes > self._rules.max_bytes:
                self._count(pull, "too_large")  # it stays where it is, for its owner to see
            elif not one.size_bytes or not await self._fetch(pull, session, one, folder):
                continue
            elif not await session.put_away(one):
                self._count(pull, "left_there")  # it is remembered, so that is no more than untidy

    async def _fetch(self, pull: SftpPull, session: SftpSession, one: RemoteFile, folder: DropFolder) -> bool:
        """Have the file in the drop folder and remembered; False when it, or ours, changed meanwhile."""
        token = one.fingerprint.hex()[:16]
        if one.modified_at is None:
            folder.abandon(token)  # the beginning may be another file's
        self._begun.add(token)
        with own_disk():
            file = folder.arriving(token)
        try:
            with file:
                await session.fetch(one, file)
                await self._lay_down(pull, one, folder, file)
        except RemoteChangedError:
            folder.abandon(token)
            self._begun.discard(token)
            return False
        except ChangedError:  # what is called so now is another worker's
            self._begun.discard(token)
            return False
        self._begun.discard(token)
        return True

    async def _lay_down(self, pull: SftpPull, one: RemoteFile, folder: DropFolder, file: FileIO) -> None:
        """Make what was fetched a dropped file, unless its content alone tells that it was one before."""
        token = one.fingerprint.hex()[:16]
        fingerprint = one.fingerprint
        with own_disk():
            if one.modified_at is None:
                fingerprint = one.fingerprint_of_content(await _to_its_end(partial(_digest, file)))
        if one.modified_at is None and await sftp_pulls.fetched_before(self._engine, pull, [fingerprint]):
            folder.abandon(token)
            return
        named = arrived_name(fingerprint.hex()[:16], one.name)
        with own_disk():
            await _to_its_end(partial(folder.arrived, token, file, named=named, size_bytes=one.size_bytes))
        await sftp_pulls.remember_fetched(self._engine, pull, fingerprint)
        self._count(pull, "fetched")

    def _count(self, pull: SftpPull, outcome: str) -> None:
        metrics.SFTP_FILES.labels(outcome).inc()
        log.info("sftp_file", submitter_id=pull.submitter_id, feed=pull.feed, outcome=outcome)


def _open_folder(root_path: Path, pull: SftpPull, feeds: list[DropFeed]) -> DropFolder:
    root = os.open(root_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        outer = str(pull.submitter_id)
        for _, found in present(root, feeds):
            outer = found
        for name in (outer, f"{outer}/{pull.feed}"):
            with suppress(FileExistsError):
                os.mkdir(name, 0o770, dir_fd=root)
        return DropFolder(root, outer, pull.feed)
    finally:
        os.close(root)


def _digest(file: FileIO) -> bytes:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").digest()


async def _to_its_end(call: Callable[[], Result]) -> Result:
    """Call in a thread and wait even when cancelled: its descriptors must not be closed under it."""
    running = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
