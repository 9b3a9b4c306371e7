"""Housekeeping: what alerts left behind long ago goes, and what waits to be delivered is counted."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.alerts.domain.defaults import INSTALLATION
from services.tracker.alerts.store import notifications
from services.tracker.alerts.store.forgetting import forget_old, retentions
from shared import clock
from shared.errors import UnavailableError
from shared.http.probes import Health
from shared.kafka.backoff import sleep_unless
from shared.observability import metrics
from shared.postgres import transaction

LOOP = "keep notifications"
_SECONDS = 15.0
_AT_ONCE = 500
_FORGET_EVERY = timedelta(hours=1)

log = structlog.get_logger()


async def keep_notifications(
    engine: AsyncEngine, *, keep_days: int, health: Health, stop: asyncio.Event
) -> None:
    """Count every few seconds, and delete every hour, until `stop` is set."""
    forgot_at: datetime | None = None
    while not stop.is_set():
        health.beat(LOOP)
        try:
            await count_waiting(engine)
            if forgot_at is None or clock.now() - forgot_at >= _FORGET_EVERY:
                await forget(engine, keep_days=keep_days, health=health, stop=stop)
                forgot_at = clock.now()
        except UnavailableError as error:
            log.warning("keeping_waits", loop=LOOP, error_class=type(error.__cause__ or error).__name__)
        await sleep_unless(stop, _SECONDS)
    health.retire(LOOP)


async def count_waiting(engine: AsyncEngine) -> None:
    """Set the gauges."""
    async with transaction(engine) as connection:
        found = await notifications.waiting(connection)
    oldest = (clock.now() - found.oldest_due_at).total_seconds() if found.oldest_due_at else 0.0
    metrics.NOTIFICATIONS_WAITING.set(found.waiting)
    metrics.NOTIFICATION_OLDEST_SECONDS.set(max(0.0, oldest))
    metrics.CHANNELS_FAILING.set(found.failing)
    metrics.CHANNELS_PAUSED.set(found.paused)
    metrics.CHANNELS_DISABLED.set(found.disabled)


async def forget(engine: AsyncEngine, *, keep_days: int, health: Health, stop: asyncio.Event) -> None:
    """Delete what alerts left behind so many days ago, or as many as the organization keeps, if fewer."""
    async with transaction(engine) as connection:
        organizations: list[tuple[UUID, int | None]] = [
            (INSTALLATION, None),
            *await retentions(connection),
        ]
    for organization_id, own_days in organizations:
        before = clock.now() - timedelta(days=min(keep_days, own_days or keep_days))
        forgotten = _AT_ONCE
        while forgotten >= _AT_ONCE and not stop.is_set():
            health.beat(LOOP)
            async with transaction(engine, organizations=[organization_id]) as connection:
                gone = await forget_old(connection, organization_id, before=before, limit=_AT_ONCE)
            forgotten = max(gone.values())
            if forgotten:
                log.info("alerts_forgotten", organization_id=organization_id, count=sum(gone.values()))
