"""The sweep of the vault: sealed bytes that belong to no file are taken away."""

import asyncio

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.store.files import clear_loose
from shared.errors import ReprieveError
from shared.http.probes import Health
from shared.kafka.backoff import sleep_unless
from shared.storage.vault import Vault

LOOP = "clear loose files"
_SECONDS = 15.0

log = structlog.get_logger()


async def clear_files(engine: AsyncEngine, vault: Vault, *, health: Health, stop: asyncio.Event) -> None:
    """Sweep every few seconds until `stop` is set."""
    while not stop.is_set():
        health.beat(LOOP)
        cleared = 0
        try:
            cleared = await clear_loose(engine, vault)
            await asyncio.to_thread(vault.sweep)
        except (ReprieveError, OSError) as error:
            log.warning("clearing_waits", loop=LOOP, error_class=type(error.__cause__ or error).__name__)
        if cleared:
            log.info("files_cleared", count=cleared)
        else:
            await sleep_unless(stop, _SECONDS)
    health.retire(LOOP)
