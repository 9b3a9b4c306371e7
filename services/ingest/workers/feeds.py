"""Under watch: how long feeds are silent, how many claims are quarantined; old idempotency keys go."""

import asyncio

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store import feeds, idempotency
from services.ingest.store.quarantine import count_quarantined
from shared.clock import now
from shared.errors import UnavailableError
from shared.http.probes import Health
from shared.kafka.backoff import sleep_unless
from shared.observability import metrics

LOOP = "feeds"
_POLL_SECONDS = 15.0

log = structlog.get_logger()


async def watch_feeds(engine: AsyncEngine, health: Health, stop: asyncio.Event) -> None:
    """Measure every feed's silence until `stop`; a feed without a file since it was opened is silent, too."""
    while not stop.is_set():
        health.beat(LOOP)
        try:
            await measure(engine)
        except UnavailableError:
            log.warning("feeds_wait", loop=LOOP)
        await sleep_unless(stop, _POLL_SECONDS)
    health.retire(LOOP)


async def measure(engine: AsyncEngine) -> None:
    """Look once."""
    submitters = await feeds.submitters_with_feeds(engine)
    await idempotency.forget_old_keys(engine, submitters=submitters)
    metrics.QUARANTINED_CLAIMS.set(await count_quarantined(engine))
    as_of = now()
    for feed in await feeds.list_feeds(engine, submitters=submitters):
        labels = (str(feed.submitter_id), feed.name)
        metrics.FEED_SILENCE_SECONDS.labels(*labels).set(feed.silence(as_of).total_seconds())
        metrics.FEED_SILENT.labels(*labels).set(feed.is_silent(as_of))
