"""
The sweep: where a deadline has passed, the case shows the next one, and old entries leave the feed.

Time alone closes no case.
"""

import asyncio

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.store.cases import roll_deadlines
from services.tracker.store.feed import KEPT, forget_old
from shared import clock
from shared.errors import UnavailableError
from shared.http.probes import Health
from shared.kafka.backoff import sleep_unless

LOOP = "sweep deadlines"
_SECONDS = 15.0
_CASES_AT_ONCE = 500

log = structlog.get_logger()


async def sweep_deadlines(engine: AsyncEngine, *, health: Health, stop: asyncio.Event) -> None:
    """Sweep every few seconds until `stop` is set."""
    while not stop.is_set():
        health.beat(LOOP)
        rolled = 0
        try:
            rolled = await roll_deadlines(engine, limit=_CASES_AT_ONCE)
            await forget_old(engine, before=clock.now() - KEPT)
        except UnavailableError as error:
            log.warning("sweep_waits", loop=LOOP, error_class=type(error.__cause__ or error).__name__)
        if rolled:
            log.info("deadlines_passed", count=rolled)
        if rolled < _CASES_AT_ONCE:
            await sleep_unless(stop, _SECONDS)
    health.retire(LOOP)
