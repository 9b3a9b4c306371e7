"""A stream of bytes becomes a sealed file, with its hash, while it comes in."""

import asyncio
import hashlib
from collections.abc import AsyncIterable

from shared.storage.vault import StoredFile, Vault, VaultWriter

_GATHERED_BYTES = 256 * 1024  # hashed and sealed in one go off the event loop


async def seal_stream(
    blocks: AsyncIterable[bytes], vault: Vault, *, storage_key: str | None = None
) -> tuple[bytes, StoredFile]:
    """
    Hash, seal and keep all blocks; gives the SHA-256 and where the file lies, once it is durable.

    What `blocks` raise, at their very end as well, is raised, and nothing was kept then. Raises
    UnavailableError too (StorageFullError when the disk is full).
    """
    digest = hashlib.sha256()
    gathered = bytearray()
    writer: VaultWriter | None = None

    def seal(part: bytes) -> VaultWriter:
        begun = writer or vault.writer(storage_key)
        try:
            digest.update(part)
            begun.write(part)
        except BaseException:
            begun.discard()
            raise
        return begun

    def seal_last(part: bytes) -> StoredFile:
        return seal(part).keep()

    try:
        async for block in blocks:
            gathered += block
            if len(gathered) >= _GATHERED_BYTES:
                writer = await asyncio.to_thread(seal, bytes(gathered))
                gathered.clear()
        # A small file crosses to a thread and back once: opened, sealed and flushed in one go.
        stored = await asyncio.to_thread(seal_last, bytes(gathered))
    except BaseException:  # also a client that went away: nothing stays behind
        if writer is not None:
            await asyncio.to_thread(writer.discard)
        raise
    return digest.digest(), stored
