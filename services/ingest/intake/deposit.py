"""
Deposit: bytes become a receipt. It answers only when the sealed file and the receipt's row are durable.

The same bytes from the same submitter give the original receipt, however often and however concurrently sent.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store import feeds, receipts
from services.ingest.store.vault import StoredFile, Vault, VaultWriter
from shared.clock import now
from shared.errors import InvalidInputError
from shared.postgres import transaction

_GATHERED_BYTES = 256 * 1024  # hashed and sealed in one go off the event loop

log = structlog.get_logger()


class TooLargeError(InvalidInputError):
    """The file is larger than this installation takes."""

    status = 413
    slug = "too-large"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends, and through which feed."""

    submitter_id: UUID
    principal_id: UUID
    feed: str


@dataclass(frozen=True, slots=True)
class Deposit:
    """`duplicate`: these bytes were here before, and `receipt` is the one of then."""

    receipt: dict[str, Any]
    duplicate: bool


async def deposit(
    blocks: AsyncIterable[bytes],
    *,
    sender: Sender,
    file_name: str | None,
    announced_bytes: int | None,
    max_bytes: int,
    engine: AsyncEngine,
    vault: Vault,
) -> Deposit:
    """
    Take a file in.

    Raises NotFoundError for an unknown feed, TooLargeError, InvalidInputError for no bytes at all, and
    UnavailableError (StorageFullError when the disk is full): then nothing was kept.
    """
    if announced_bytes is not None and announced_bytes > max_bytes:
        raise _too_large(max_bytes)
    async with transaction(engine, submitters=[sender.submitter_id]) as connection:
        await feeds.require_feed(connection, submitter_id=sender.submitter_id, name=sender.feed)
    writer = await asyncio.to_thread(vault.writer)
    try:
        sha256 = await _stream(blocks, writer, max_bytes=max_bytes)
        stored = await asyncio.to_thread(writer.keep)
    except BaseException:  # also a client that went away: nothing stays behind
        await asyncio.to_thread(writer.discard)
        raise
    # Should this fail, the file stays: when the answer to a commit is lost the row may stand, and a file
    # without a row is only waste (its key is in no row), while a row without its file would be a loss.
    receipt, is_new = await receipts.add_receipt(
        engine,
        submitter_id=sender.submitter_id,
        receipt_id=uuid4(),
        feed=sender.feed,
        file_name=file_name,
        received_by=sender.principal_id,
        received_at=now(),
        sha256=sha256,
        stored=stored,
    )
    if not is_new and await _replaces_lost(engine, vault, receipt, stored, submitter_id=sender.submitter_id):
        receipt = await receipts.receipt_summary(
            engine, submitter_id=sender.submitter_id, receipt_id=receipt["receipt_id"]
        )
    return Deposit(receipt, duplicate=not is_new)


async def _replaces_lost(
    engine: AsyncEngine, vault: Vault, receipt: dict[str, Any], fresh: StoredFile, *, submitter_id: UUID
) -> bool:
    """Keep one copy of bytes that are sent again: the one of then, or the fresh one where that is lost."""
    ids = {"submitter_id": submitter_id, "receipt_id": receipt["receipt_id"]}
    kept = await receipts.stored_file(engine, **ids)
    is_lost = kept is not None and not await asyncio.to_thread(vault.is_whole, kept)
    if kept is None or not is_lost or not await receipts.replace_file(engine, **ids, lost=kept, fresh=fresh):
        await asyncio.to_thread(vault.remove, fresh.storage_key)
        return False
    log.warning("lost_file_replaced", **ids)
    await asyncio.to_thread(vault.remove, kept.storage_key)
    return True


async def _stream(blocks: AsyncIterable[bytes], writer: VaultWriter, *, max_bytes: int) -> bytes:
    """Hash and seal all blocks; gives the SHA-256."""
    digest = hashlib.sha256()
    gathered = bytearray()

    def seal(part: bytes) -> None:
        digest.update(part)
        writer.write(part)

    total = 0
    async for block in blocks:
        total += len(block)
        if total > max_bytes:
            raise _too_large(max_bytes)
        gathered += block
        if len(gathered) >= _GATHERED_BYTES:
            await asyncio.to_thread(seal, bytes(gathered))
            gathered.clear()
    if not total:
        raise InvalidInputError("The request has no body.", remedy="Send the remittance's bytes as the body.")
    if gathered:
        await asyncio.to_thread(seal, bytes(gathered))
    return digest.digest()


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"The file is larger than {max_bytes:,} bytes.",
        remedy="Split it by transaction set, or raise REPRIEVE_MAX_UPLOAD_BYTES.",
    )
