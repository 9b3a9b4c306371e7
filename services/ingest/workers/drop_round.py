"""
One look into one drop folder: take what is complete, give it a receipt, put away what has been read.

Every step may be repeated and may meet another worker's: a file that is gone is passed over, and bytes that
are deposited twice have one receipt.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid5

import structlog

from services.ingest.intake.deposit import Deposit, Sender, deposit
from services.ingest.intake.drop_folder import (
    ChangedError,
    DropFolder,
    InProcessing,
    Look,
    read_unchanged,
    sent_name,
)
from services.ingest.intake.media import encoding_by_look
from services.ingest.intake.refusal import refused_at_the_door, refused_by_the_reader
from services.ingest.intake.registrar import Registrar
from services.ingest.intake.unpacking import unpacked
from services.ingest.store.acknowledgments import mark_delivered, undelivered
from services.ingest.store.drop_feeds import DropFeed, fates
from shared.clock import now
from shared.errors import InvalidInputError, UnreadableError
from shared.observability import metrics
from shared.storage.vault import Vault

DROPPED_BY = uuid5(UUID(int=0), "reprieve drop folder")
"""Stands for a principal in the receipts of files that nobody pushed."""

_BLOCK_BYTES = 256 * 1024
_DEPOSITS_AT_ONCE = 8
_IN_PROCESSING = 200  # more are taken when these are read
_EMPTY_SECONDS = 600.0  # some senders create a file first and fill it later

log = structlog.get_logger()


@dataclass(slots=True)
class Watch:
    """What was seen of a folder so far: the last look at each file, and since when it looks so."""

    looks: dict[str, tuple[Look, float]] = field(default_factory=dict)
    subfolders: int = 0

    def note(self, found: Mapping[str, Look]) -> None:
        """Remember a look; what is gone is forgotten."""
        seen = time.monotonic()
        self.looks = {
            name: known if (known := self.looks.get(name)) and known[0] == look else (look, seen)
            for name, look in found.items()
        }

    def is_stable(self, name: str, seconds: float) -> bool:
        """Tell whether a file has not changed for so long."""
        look, since = self.looks[name]
        watched = time.monotonic() - since
        if look.is_plain and look.size_bytes == 0:
            # By its own clock, which a worker that starts again does not turn back.
            age = now().timestamp() - look.modified_ns / 1e9
            return watched >= seconds and max(watched, age) >= _EMPTY_SECONDS
        return watched >= seconds


@dataclass(frozen=True, slots=True)
class Round:
    """A look into the folder of one feed."""

    registrar: Registrar
    vault: Vault
    max_bytes: int
    stable_seconds: float
    folder: DropFolder
    feed: DropFeed
    watch: Watch
    beat: Callable[[], None]

    async def go(self, stop: asyncio.Event) -> int:
        """Do all that can be done now; gives how many files wait in inbound/ and processing/."""
        waiting, taken = await asyncio.to_thread(self._take)
        for start in range(0, len(taken), _DEPOSITS_AT_ONCE):
            if stop.is_set():
                return waiting
            part = taken[start : start + _DEPOSITS_AT_ONCE]
            # All must have ended before the folder is closed: its descriptors may be others' afterwards.
            ended = await asyncio.gather(*map(self._deposit, part), return_exceptions=True)
            for failure in filter(None, ended):
                raise failure
        await self._put_away(await asyncio.to_thread(self.folder.processing))
        await self._deliver_acknowledgments()
        return waiting

    def _take(self) -> tuple[int, list[InProcessing]]:
        """Take complete files; give how many files wait, and those in processing/ that may be read."""
        self._tell_of_subfolders(self.folder.subfolders())
        inbound, marked = self.folder.inbound()
        before = self.folder.processing()
        self.watch.note(inbound | {one.name: one.look for one in before})
        for one in before:
            if not one.is_ours:
                self.folder.take("processing", one.name, now())
        ready = [name for name in inbound if name in marked or self._is_complete(name)]
        room = max(0, _IN_PROCESSING - len(before))
        for name in sorted(ready, key=lambda one: inbound[one].modified_ns)[:room]:
            taken = self.folder.take("inbound", name, now())
            self.watch.looks[taken] = (inbound[name], float("-inf"))
        self.folder.drop_lone_markers(now().timestamp() - _EMPTY_SECONDS)
        without_receipt = [one for one in self.folder.processing() if one.is_ours and one.receipt_id is None]
        return len(inbound) + len(before), [one for one in without_receipt if self._is_unchanged(one)]

    def _tell_of_subfolders(self, found: int) -> None:
        if found > self.watch.subfolders:
            log.warning("drop_subfolders_not_read", feed=self.feed.name, count=found)
        self.watch.subfolders = found

    def _is_complete(self, name: str) -> bool:
        return not self.feed.needs_marker and self.watch.is_stable(name, self.stable_seconds)

    def _is_unchanged(self, one: InProcessing) -> bool:
        """Tell whether a file looks as at the last look: its sender may still hold it open."""
        known = self.watch.looks.get(one.name)
        return known is not None and known[0] == one.look

    async def _deposit(self, one: InProcessing) -> None:
        try:
            descriptor = await asyncio.to_thread(self._open, one)
            try:
                look = Look.of(os.fstat(descriptor))
                taken = await self._hand_in(one, descriptor)
            finally:
                os.close(descriptor)
        except (FileNotFoundError, ChangedError):
            return  # another worker has it, or its sender still writes: the next look tells
        except InvalidInputError as error:
            self._count("refused", reason=error.slug)
            await asyncio.to_thread(self.folder.reject, one.name, refused_at_the_door(error))
            return
        receipt_id = UUID(bytes=taken.receipt["receipt_id"].bytes)
        await asyncio.to_thread(self.folder.give_receipt, one.name, receipt_id, look)
        self._count("duplicate" if taken.duplicate else "received", receipt_id=receipt_id)

    def _open(self, one: InProcessing) -> int:
        if not one.look.is_plain:
            raise UnreadableError(
                "What was dropped is a link or no plain file.", remedy="Drop the file itself."
            )
        if one.look.size_bytes == 0:
            raise UnreadableError("The file is empty.", remedy="Send it again with its content.")
        try:
            return self.folder.open(one.name)
        except PermissionError as error:
            raise UnreadableError(
                "ingest may not read the file.", remedy="Let the group of the drop folder read new files."
            ) from error

    async def _hand_in(self, one: InProcessing, descriptor: int) -> Deposit:
        return await deposit(
            unpacked(self._blocks(descriptor), encoding_by_look(os.pread(descriptor, 4, 0))),
            sender=Sender(self.feed.submitter_id, DROPPED_BY, self.feed.name),
            file_name=sent_name(one.name),
            announced_bytes=one.look.size_bytes,
            max_bytes=self.max_bytes,
            registrar=self.registrar,
            vault=self.vault,
        )

    async def _blocks(self, descriptor: int) -> AsyncIterator[bytes]:
        reading = read_unchanged(descriptor, _BLOCK_BYTES)
        while block := await asyncio.to_thread(next, reading, b""):
            self.beat()
            yield block

    async def _deliver_acknowledgments(self) -> None:
        """Lay into acks/ what the feed is to be sent; a crash in between lays it there again."""
        owed = await undelivered(
            self.registrar.engine, submitter_id=self.feed.submitter_id, feed=self.feed.name
        )
        for one in owed:
            await asyncio.to_thread(self.folder.write, "acks", one.name, one.content)
            await mark_delivered(
                self.registrar.engine,
                submitter_id=self.feed.submitter_id,
                receipt_id=one.receipt_id,
                ordinals=[one.ordinal],
                delivered_at=now(),
            )

    async def _put_away(self, found: Iterable[InProcessing]) -> None:
        """
        Archive what was read, reject what was refused.

        What is no receipt of ours, or was written to since it had one, is deposited again.
        """
        by_receipt: dict[UUID, list[InProcessing]] = {}
        for one in found:
            if one.receipt_id is not None:
                by_receipt.setdefault(one.receipt_id, []).append(one)
        if not by_receipt:
            return
        known = await fates(
            self.registrar.engine, submitter_id=self.feed.submitter_id, receipts=list(by_receipt)
        )
        for receipt_id, files in by_receipt.items():
            fate = known.get(receipt_id)
            for one in files:
                if fate is None or one.was_written_to:
                    await asyncio.to_thread(self.folder.take, "processing", one.name, now())
                elif fate.is_refused:
                    note = refused_by_the_reader(
                        receipt_id=str(receipt_id),
                        reason=fate.reason,
                        findings=fate.findings,
                        finding_count=fate.finding_count,
                    )
                    await asyncio.to_thread(self.folder.reject, one.name, note)
                elif fate.is_read:
                    await asyncio.to_thread(self.folder.archive, one.name, now())

    def _count(self, outcome: str, *, receipt_id: UUID | None = None, reason: str | None = None) -> None:
        metrics.DROPPED_FILES.labels(outcome).inc()
        log.info(
            "file_dropped",
            submitter_id=self.feed.submitter_id,
            feed=self.feed.name,
            outcome=outcome,
            receipt_id=receipt_id,
            reason=reason,
        )
