"""When the door must close for a while: too many files wait to be read, or the disk is nearly full."""

import asyncio
import shutil
import time
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store import receipts
from shared.errors import UnavailableError
from shared.storage.objects import StorageFullError

_LOOK_SECONDS = 2.0
_RETRY_SECONDS = 30


class Pressure:
    """
    Looks at the queue and the disk, at most every two seconds however many ask.

    Without a folder, raw files are in an object store, which has no end.
    """

    def __init__(
        self, engine: AsyncEngine, folder: Path | None, *, waiting_files_max: int, free_bytes_min: int
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._waiting_files_max = waiting_files_max
        self._free_bytes_min = free_bytes_min
        self._refusal: UnavailableError | None = None
        self._look_at = 0.0
        self._looking = asyncio.Lock()

    async def check(self) -> None:
        """Raise UnavailableError (503) or StorageFullError (507), both with a time to come back."""
        if time.monotonic() >= self._look_at:
            async with self._looking:
                if time.monotonic() >= self._look_at:
                    self._refusal = await self._look()
                    self._look_at = time.monotonic() + _LOOK_SECONDS
        if self._refusal is not None:
            raise self._refusal

    async def _look(self) -> UnavailableError | None:
        waiting = await receipts.count_due(self._engine)
        refusal: UnavailableError | None = None
        if (
            self._folder
            and (await asyncio.to_thread(shutil.disk_usage, self._folder)).free < self._free_bytes_min
        ):
            refusal = StorageFullError(
                "The disk for raw files is nearly full, and nothing of the file was kept.",
                remedy="Free space under REPRIEVE_RAW_DIR, then send the file again.",
            )
        elif waiting > self._waiting_files_max:
            refusal = UnavailableError(
                f"More than {self._waiting_files_max:,} files wait to be read.",
                remedy="Send the file again later; the operator looks whether ingest-worker runs.",
            )
        if refusal is not None:
            refusal.retry_after_seconds = _RETRY_SECONDS
        return refusal
