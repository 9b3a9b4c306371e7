"""
The acknowledging loop: judges files that were read, each under its advisory lock, and keeps the answers.

It runs beside the reading and never before it: denials do not wait for an acknowledgment. A file on which the
validators fail is tried again with growing waits, and then given up, visibly.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.acknowledgments.validators import Validators
from services.ingest.store import acknowledgments as store
from services.ingest.store.acknowledgments import DueAcknowledgment
from shared.clock import now
from shared.errors import UnavailableError
from shared.http.probes import Health
from shared.kafka.backoff import Backoff, sleep_unless
from shared.observability import metrics
from shared.postgres import LockSession, lock_session
from shared.storage.vault import StoredFile, Vault

LOOP = "acknowledging"

_FILES_AT_ONCE = 2
_LOOKED_AHEAD = 100
_IDLE_SECONDS = 1.0
_FAILURES = 5  # of the validators on one file
_ATTEMPTS = 30  # that ended with their process
_WAIT_SECONDS = 5.0  # for what is not the file's fault

log = structlog.get_logger()


class Acknowledging:
    """Acknowledges due files until stopped. One per process."""

    def __init__(self, engine: AsyncEngine, vault: Vault, validators: Validators, health: Health) -> None:
        self._engine = engine
        self._vault = vault
        self._validators = validators
        self._health = health
        self._in_work: dict[int, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Loop until `stop`; waits while the database is away. What is under way then is begun anew later."""
        backoff = Backoff()
        try:
            while not stop.is_set():
                self._health.beat(LOOP)
                try:
                    async with lock_session(self._engine, "acknowledgment") as locks:
                        await self._work(locks, stop, backoff)
                except UnavailableError:
                    log.warning("acknowledging_waits", loop=LOOP)
                    await backoff.wait(stop)
        finally:
            await self._validators.close()
            self._health.retire(LOOP)

    async def _work(self, locks: LockSession, stop: asyncio.Event, backoff: Backoff) -> None:
        try:
            while not stop.is_set():
                self._health.beat(LOOP)
                await self._take_due(locks)
                backoff.reset()
                if self._in_work:
                    await asyncio.wait(
                        self._in_work.values(), timeout=_IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                    await self._free_finished(locks)
                else:
                    await sleep_unless(stop, _IDLE_SECONDS)
        finally:
            for task in self._in_work.values():  # a judgment takes long, and repeating it costs nothing else
                task.cancel()
            await asyncio.gather(*self._in_work.values(), return_exceptions=True)
            self._in_work.clear()

    async def _take_due(self, locks: LockSession) -> None:
        if len(self._in_work) >= _FILES_AT_ONCE:
            return
        for submitter_id, receipt_id in await store.due_acknowledgments(self._engine, limit=_LOOKED_AHEAD):
            if len(self._in_work) >= _FILES_AT_ONCE:
                return
            number = (receipt_id.int & 0xFFFFFFFF) - (1 << 31)
            if number not in self._in_work and await locks.take([number]):
                self._in_work[number] = asyncio.create_task(self._one(submitter_id, receipt_id))

    async def _free_finished(self, locks: LockSession) -> None:
        for number in [number for number, task in self._in_work.items() if task.done()]:
            self._in_work.pop(number)
            await locks.free(number)

    async def _one(self, submitter_id: UUID, receipt_id: UUID) -> None:
        """Acknowledge one file; whatever happens stays with it."""
        ids = {"submitter_id": submitter_id, "receipt_id": receipt_id}
        try:
            await acknowledge(self._engine, self._vault, self._validators, **ids)
        except Exception:
            log.exception("acknowledgment_not_begun", **ids)
            await asyncio.sleep(_WAIT_SECONDS)


async def acknowledge(
    engine: AsyncEngine, vault: Vault, validators: Validators, *, submitter_id: UUID, receipt_id: UUID
) -> None:
    """Acknowledge one file if that is still due, or say when it is tried again."""
    due = await store.begin(engine, submitter_id=submitter_id, receipt_id=receipt_id)
    if due is None:
        return
    if due.preference == "none" or due.stored is None:
        await store.decline(engine, due)
    elif due.attempts > _ATTEMPTS:
        await _give_up(engine, due)
    else:
        await _attempt(engine, vault, validators, due, due.stored)


async def _attempt(
    engine: AsyncEngine, vault: Vault, validators: Validators, due: DueAcknowledgment, stored: StoredFile
) -> None:
    started = time.perf_counter()
    ids = {"submitter_id": due.submitter_id, "receipt_id": due.receipt_id}
    try:
        verdict = await validators.inspect(lambda: _blocks(vault, stored))
        files = await store.make(engine, due, verdict, made_at=now())
    except asyncio.CancelledError:
        with suppress(UnavailableError):
            await asyncio.shield(store.leave(engine, due, seconds=0))
        raise
    except UnavailableError as error:  # the database or the vault is away
        log.exception("acknowledgment_waits", code=error.slug, **ids)
        await store.leave(engine, due, seconds=_WAIT_SECONDS)
        return
    except Exception:
        failures = await store.fail(engine, due)
        log.exception("acknowledgment_failed", attempt=failures, **ids)
        if failures >= _FAILURES:
            await _give_up(engine, due)
        return
    metrics.ACKNOWLEDGMENTS.labels("made").inc()
    log.info(
        "file_acknowledged",
        acks=files,
        transaction_sets=verdict.sets,
        outcome=verdict.cut_short or "complete",
        duration_ms=round((time.perf_counter() - started) * 1000, 1),
        **ids,
    )


async def _give_up(engine: AsyncEngine, due: DueAcknowledgment) -> None:
    await store.give_up(engine, due)
    metrics.ACKNOWLEDGMENTS.labels("failed").inc()
    log.error("acknowledgment_given_up", submitter_id=due.submitter_id, receipt_id=due.receipt_id)


def _blocks(vault: Vault, stored: StoredFile) -> Iterator[bytes]:
    with vault.open(stored) as reader:
        yield from reader.blocks()
