"""
The reading loop: takes the files that are due, some at a time, each under its advisory lock.

Two workers never read the same file, and a killed one frees its files at once. A file on which the reader
itself fails does not hold up the others: after some attempts it is refused, visibly.
"""

import asyncio
import time
from contextlib import suppress
from uuid import UUID

import structlog

from services.ingest.store import receipts
from services.ingest.store.receipts import Outcome, Receipt
from services.ingest.workers.files import FileInWork, Workshop
from services.ingest.workers.giving_up import expire, give_up
from shared.errors import ReprieveError, UnavailableError
from shared.http.probes import Health
from shared.kafka.backoff import Backoff, sleep_unless
from shared.observability import metrics
from shared.postgres import LockSession, lock_session
from shared.security.keyring import ShreddedError

LOOP = "reading"

_FILES_AT_ONCE = 2
_LOOKED_AHEAD = 100  # due files among which a free one is sought
_IDLE_SECONDS = 0.2
_COUNT_SECONDS = 5.0  # between two looks at how many files wait
_FAILURES = 5  # of the reader on one file
_ATTEMPTS = 30  # that ended with their process: many more, since processes die for other reasons
_WAIT_SECONDS = 5.0  # for what is not the file's fault

log = structlog.get_logger()


class Reading:
    """Reads due files until stopped. One per process."""

    def __init__(self, workshop: Workshop, health: Health, *, files_at_once: int = _FILES_AT_ONCE) -> None:
        self._workshop = workshop
        self._health = health
        self._files_at_once = files_at_once
        self._in_work: dict[int, asyncio.Task[None]] = {}
        self._count_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Loop until `stop`; waits while the database is away. A file under way stops at its next batch."""
        backoff = Backoff()
        while not stop.is_set():
            self._health.beat(LOOP)
            try:
                async with lock_session(self._workshop.engine, "receipt") as locks:
                    await self._work(locks, stop, backoff)
            except UnavailableError:
                log.warning("reading_waits", loop=LOOP)
                await backoff.wait(stop)
        self._health.retire(LOOP)

    async def _work(self, locks: LockSession, stop: asyncio.Event, backoff: Backoff) -> None:
        try:
            while not stop.is_set():
                self._health.beat(LOOP)
                await self._take_due(locks, stop)
                await self._count_due()
                backoff.reset()
                if self._in_work:
                    await asyncio.wait(
                        self._in_work.values(), timeout=_IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                    await self._free_finished(locks)
                else:
                    await sleep_unless(stop, _IDLE_SECONDS)
        finally:
            if not stop.is_set():  # the locks are lost: another worker may already have taken the files
                for task in self._in_work.values():
                    task.cancel()
            await asyncio.gather(*self._in_work.values(), return_exceptions=True)
            self._in_work.clear()

    async def _take_due(self, locks: LockSession, stop: asyncio.Event) -> None:
        if len(self._in_work) >= self._files_at_once:
            return
        due = await receipts.due_receipts(self._workshop.engine, limit=_LOOKED_AHEAD)
        for submitter_id, receipt_id in due:
            if len(self._in_work) >= self._files_at_once:
                return
            number = lock_number(receipt_id)
            if number not in self._in_work and await locks.take([number]):
                self._in_work[number] = asyncio.create_task(self._one(submitter_id, receipt_id, stop))

    async def _count_due(self) -> None:
        if time.monotonic() >= self._count_at:
            metrics.FILES_WAITING.set(await receipts.count_due(self._workshop.engine))
            self._count_at = time.monotonic() + _COUNT_SECONDS

    async def _free_finished(self, locks: LockSession) -> None:
        for number in [number for number, task in self._in_work.items() if task.done()]:
            self._in_work.pop(number)
            await locks.free(number)

    async def _one(self, submitter_id: UUID, receipt_id: UUID, stop: asyncio.Event) -> None:
        """Process one file; whatever happens stays with this file."""
        ids = {"submitter_id": submitter_id, "receipt_id": receipt_id}
        try:
            await process(self._workshop, **ids, stop=stop)
        except Exception:
            log.exception("file_not_begun", **ids)
            with suppress(UnavailableError):  # then the loop itself waits for the database
                await receipts.put_off(self._workshop.engine, **ids, seconds=_WAIT_SECONDS)


def lock_number(receipt_id: UUID) -> int:
    """Give the number of a receipt's lock: 32 of its bits. Files that share one wait for each other."""
    return (receipt_id.int & 0xFFFFFFFF) - (1 << 31)


async def process(workshop: Workshop, *, submitter_id: UUID, receipt_id: UUID, stop: asyncio.Event) -> None:
    """Read one file and close its receipt, or say when its next attempt is due."""
    receipt = await receipts.begin(workshop.engine, submitter_id=submitter_id, receipt_id=receipt_id)
    if receipt is None:
        return
    if receipt.attempts > _ATTEMPTS:
        await give_up(workshop, receipt)
    else:
        await _attempt(workshop, receipt, stop=stop)


async def _attempt(workshop: Workshop, receipt: Receipt, *, stop: asyncio.Event) -> None:
    engine, file = workshop.engine, FileInWork(workshop, receipt)
    started = time.perf_counter()
    ids = {"receipt_id": receipt.receipt_id, "submitter_id": receipt.submitter_id}
    try:
        outcome = await file.read(stop)
    except ShreddedError:
        await expire(workshop, receipt)
        return
    except ReprieveError as error:
        # The database or the vault is away, or the key is another one: the file is not to blame, it waits.
        log.exception("file_waits", code=error.slug, **ids)
        await receipts.leave(engine, receipt)
        await receipts.put_off(engine, **ids, seconds=_WAIT_SECONDS)
        return
    except Exception:
        failures = await receipts.fail(engine, receipt)
        log.exception("file_failed", attempt=failures, **ids)
        if failures >= _FAILURES:
            await give_up(workshop, receipt)
        return
    if outcome is None:
        await receipts.leave(engine, receipt)
        return
    await receipts.finish(engine, receipt, outcome)
    _log_file(receipt, outcome, file, seconds=time.perf_counter() - started)


def _log_file(receipt: Receipt, outcome: Outcome, file: FileInWork, *, seconds: float) -> None:
    metrics.RECEIPTS.labels(outcome.status).inc()
    metrics.PARSE_SECONDS.observe(seconds)
    tally = file.tally
    log.info(
        "file_read",
        receipt_id=receipt.receipt_id,
        submitter_id=receipt.submitter_id,
        feed=receipt.feed,
        outcome=outcome.status,
        reason=outcome.refused_reason,
        bytes_read=outcome.bytes_read,
        transaction_sets=outcome.transaction_sets,
        held=tally.held,
        claims_read=tally.claims_read,
        denied_claims=tally.denied_claims,
        duplicates=tally.duplicates,
        quarantined=tally.quarantined,
        evented=tally.evented,
        findings=outcome.finding_count,
        duration_ms=round(seconds * 1000, 1),
    )
