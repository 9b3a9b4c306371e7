"""
Deposit: bytes become a receipt. It answers only when the sealed file and the receipt's row are durable.

The same bytes from the same submitter give the original receipt, however often and however concurrently sent.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import structlog

from services.ingest.intake.registrar import Registrar
from services.ingest.store import receipts
from services.ingest.store.receipts import NewReceipt
from shared.clock import now
from shared.errors import InvalidInputError, TooLargeError
from shared.storage.sealing import seal_stream
from shared.storage.vault import StoredFile, Vault

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends, and through which feed. `key`: its own name for this request, if it gave one."""

    submitter_id: UUID
    principal_id: UUID
    feed: str
    key: str | None = None


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
    registrar: Registrar,
    vault: Vault,
) -> Deposit:
    """
    Take a file in. What `blocks` raise, at their very end as well, is raised, and nothing was kept then.

    Raises NotFoundError for an unknown feed, TooLargeError, InvalidInputError for no bytes at all,
    KeyReusedError, and UnavailableError (StorageFullError when the disk is full).
    """
    if announced_bytes is not None:
        check_size(announced_bytes, max_bytes)
    sha256, stored = await seal_stream(_checked(blocks, max_bytes), vault)
    # Should this fail, the file stays: when the answer to a commit is lost the row may stand, and a file
    # without a row is only waste (its key is in no row), while a row without its file would be a loss.
    fresh = NewReceipt(
        submitter_id=sender.submitter_id,
        receipt_id=uuid4(),
        feed=sender.feed,
        file_name=file_name,
        received_by=sender.principal_id,
        received_at=now(),
        sha256=sha256,
        stored=stored,
        key=sender.key,
    )
    try:
        kept = await registrar.add(fresh)
    except InvalidInputError:  # that the row does not stand is certain: the database said why
        await asyncio.to_thread(vault.remove, stored.storage_key)
        raise
    if kept.is_new:
        return Deposit(kept.summary, duplicate=False)
    receipt = await _one_copy(registrar, vault, kept.summary, stored, submitter_id=sender.submitter_id)
    return Deposit(receipt, duplicate=True)


async def _one_copy(
    registrar: Registrar, vault: Vault, receipt: dict[str, Any], fresh: StoredFile, *, submitter_id: UUID
) -> dict[str, Any]:
    """Keep one copy of bytes that are sent again: the one of then, or the fresh one where that is lost."""
    engine = registrar.engine
    ids = {"submitter_id": submitter_id, "receipt_id": receipt["receipt_id"]}
    kept = await receipts.stored_file(engine, **ids)
    is_lost = kept is not None and not await asyncio.to_thread(vault.is_whole, kept)
    if kept is None or not is_lost or not await receipts.replace_file(engine, **ids, lost=kept, fresh=fresh):
        await asyncio.to_thread(vault.remove, fresh.storage_key)
        return receipt
    log.warning("lost_file_replaced", **ids)
    await asyncio.to_thread(vault.remove, kept.storage_key)
    return await receipts.receipt_summary(engine, **ids)


async def _checked(blocks: AsyncIterable[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    total = 0
    async for block in blocks:
        total += len(block)
        check_size(total, max_bytes)
        yield block
    if not total:
        raise InvalidInputError("The request has no body.", remedy="Send the remittance's bytes as the body.")


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Raise TooLargeError for more bytes than a file may have."""
    if size_bytes > max_bytes:
        raise TooLargeError(
            f"The file is larger than {max_bytes:,} bytes.",
            remedy="Split it by transaction set, or raise REPRIEVE_MAX_UPLOAD_BYTES.",
        )
