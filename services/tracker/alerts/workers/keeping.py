"""Housekeeping of notifications: what ended long ago goes, and what waits is counted."""

import asyncio
from collections import defaultdict
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.alerts.store import notifications
from shared import clock
from shared.errors import UnavailableError
from shared.http.probes import Health
from shared.kafka.backoff import sleep_unless
from shared.observability import metrics
from shared.postgres import transaction

LOOP = "keep notifications"
_SECONDS = 15.0
_AT_ONCE = 500

log = structlog.get_logger()


async def keep_notifications(
    engine: AsyncEngine, *, keep_days: int, health: Health, stop: asyncio.Event
) -> None:
    """Count and delete every few seconds until `stop` is set."""
    while not stop.is_set():
        health.beat(LOOP)
        try:
            await count_waiting(engine)
            while await delete_old(engine, keep_days=keep_days) == _AT_ONCE and not stop.is_set():
                health.beat(LOOP)
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
    metrics.CHANNELS_DISABLED.set(found.disabled)


async def delete_old(engine: AsyncEngine, *, keep_days: int) -> int:
    """Delete some notifications that ended more than so many days ago; gives how many."""
    before = clock.now() - timedelta(days=keep_days)
    async with transaction(engine) as connection:
        found = await notifications.old_notifications(connection, before=before, limit=_AT_ONCE)
    by_organization: dict[UUID, list[UUID]] = defaultdict(list)
    for organization_id, notification_id in found:
        by_organization[organization_id].append(notification_id)
    for organization_id, ids in by_organization.items():
        async with transaction(engine, organizations=[organization_id]) as connection:
            await notifications.delete_notifications(connection, ids)
    return len(found)
