"""
Delivery: what is due goes to its channel, and what became of it is written down.

Every channel has a task of its own while it has something due, so that one that hangs keeps nobody waiting
but itself. An attempt is three steps: lease in one transaction, ask the channel with no connection held,
settle in another transaction. Whatever kills the process between them, the lease runs out and the
notification goes out again under the same key.
"""

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import msgspec
import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.alerts.channels.kinds import KINDS
from services.tracker.alerts.domain.notification import Destination, Notification
from services.tracker.alerts.domain.outcomes import Delivered, DestinationError, Outcome, Rejected, TryLater
from services.tracker.alerts.domain.patience import Patience
from services.tracker.alerts.network import Network, RefusedDestinationError
from services.tracker.alerts.store import channels, notifications
from services.tracker.alerts.store.channels import Channel
from services.tracker.alerts.store.disabling import disable
from services.tracker.alerts.store.notifications import DueNotification
from shared import clock
from shared.errors import UnavailableError
from shared.http.probes import Health
from shared.kafka.backoff import sleep_unless
from shared.observability import metrics
from shared.postgres import transaction
from shared.security.sealing import MasterKey

LOOP = "deliver notifications"
_DUE_AT_ONCE = 500
_LEASE_MARGIN_SECONDS = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """
    What a delivery needs. `attempt_seconds` bounds one attempt, however many calls a channel makes in it.

    `runbooks_url` goes before the name of a page of docs/runbooks/.
    """

    engine: AsyncEngine
    master_key: MasterKey
    network: Network
    runbooks_url: str
    patience: Patience = field(default_factory=Patience)
    attempt_seconds: float = 30.0
    poll_seconds: float = 1.0
    limiter: MovingWindowRateLimiter = field(default_factory=lambda: MovingWindowRateLimiter(MemoryStorage()))


async def deliver_notifications(delivery: Delivery, *, health: Health, stop: asyncio.Event) -> None:
    """Deliver until `stop` is set; attempts under way are finished and written down."""
    busy: dict[UUID, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        while not stop.is_set():
            health.beat(LOOP)
            for channel_id, task in list(busy.items()):
                if task.done():
                    del busy[channel_id]
            for channel_id, due in (await _look(delivery)).items():
                if channel_id not in busy:
                    busy[channel_id] = group.create_task(_drain(delivery, due, stop))
            await sleep_unless(stop, delivery.poll_seconds)
    health.retire(LOOP)


async def _look(delivery: Delivery) -> dict[UUID, list[DueNotification]]:
    """Give what is due, by channel."""
    by_channel: dict[UUID, list[DueNotification]] = defaultdict(list)
    try:
        async with transaction(delivery.engine) as connection:
            for due in await notifications.due_notifications(connection, limit=_DUE_AT_ONCE):
                by_channel[due.channel_id].append(due)
    except UnavailableError as error:
        log.warning("delivery_waits", loop=LOOP, error_class=type(error.__cause__ or error).__name__)
    return by_channel


async def _drain(delivery: Delivery, due: list[DueNotification], stop: asyncio.Event) -> None:
    """Deliver what is due for one channel, one after the other, until one fails."""
    try:
        for one in due:
            if stop.is_set() or not await deliver(delivery, one, stop=stop):
                return
    except UnavailableError as error:
        log.warning("delivery_waits", loop=LOOP, error_class=type(error.__cause__ or error).__name__)
    except Exception:
        # A defect delays this channel only; its leases run out and the rest is tried again.
        log.exception("delivery_crashed", loop=LOOP, organization_id=due[0].organization_id)


async def deliver(delivery: Delivery, due: DueNotification, *, stop: asyncio.Event) -> bool:
    """Make one attempt. True when the channel may be given the next notification."""
    async with transaction(delivery.engine, organizations=[due.organization_id]) as connection:
        channel = await channels.get_channel(connection, due.channel_id)
    if not await _has_turn(delivery, channel, stop=stop):
        return False
    async with transaction(delivery.engine, organizations=[due.organization_id]) as connection:
        channel = await channels.get_channel(connection, due.channel_id)
        if channel.state != "active":
            return False
        notification = await notifications.lease(
            connection, due, lease_seconds=delivery.attempt_seconds + _LEASE_MARGIN_SECONDS
        )
    if notification is None:
        return True
    begun_at = clock.now()
    outcome = await _attempt(delivery, channel, _with_runbook(notification, delivery.runbooks_url))
    await _settle(delivery, channel, notification, outcome, begun_at=begun_at)
    return isinstance(outcome, Delivered)


async def _has_turn(delivery: Delivery, channel: Channel, *, stop: asyncio.Event) -> bool:
    """Wait until the destination may be asked again; False when we stop meanwhile."""
    if channel.rate_per_minute is None:
        item = KINDS[channel.kind].rate
    else:
        item = RateLimitItemPerMinute(channel.rate_per_minute)
    key = str(channel.channel_id)
    while not await delivery.limiter.hit(item, key):
        stats = await delivery.limiter.get_window_stats(item, key)
        await sleep_unless(stop, max(0.05, stats.reset_time - clock.now().timestamp()))
        if stop.is_set():
            return False
    return True


async def _attempt(delivery: Delivery, channel: Channel, notification: Notification) -> Outcome:
    """Ask the channel once. A defect of ours or of a setting is an outcome too: it delays nobody else."""
    kind = KINDS[channel.kind]
    try:
        destination = Destination(
            name=channel.name,
            settings=msgspec.convert(channel.settings, kind.settings),
            secret=channel.secret(delivery.master_key),
        )
        async with asyncio.timeout(delivery.attempt_seconds):
            return await kind.deliver(notification, destination, delivery.network)
    except RefusedDestinationError:
        return Rejected(reason="destination_refused")
    except DestinationError as error:
        return TryLater(reason=error.message)
    except TimeoutError:
        return TryLater(reason="timed_out")
    except Exception:
        log.exception(
            "delivery_crashed", channel=channel.kind, kind=notification.kind, attempt=notification.attempt
        )
        return TryLater(reason="defect")


async def _settle(
    delivery: Delivery, channel: Channel, notification: Notification, outcome: Outcome, *, begun_at: datetime
) -> None:
    """Write down what came of an attempt, for the notification and for the channel, in one transaction."""
    at, chance = clock.now(), random.random()  # noqa: S311  spreads retries, guards nothing
    metrics.DELIVERY_ATTEMPTS.labels(channel.kind, type(outcome).__name__).inc()
    patience, due_at = delivery.patience, None
    asked = outcome.after_seconds if isinstance(outcome, TryLater) else None
    if isinstance(outcome, TryLater) and not patience.is_over(notification.created_at, at):
        due_at = at + patience.wait(notification.attempt, chance=chance, asked_seconds=asked)
    async with transaction(delivery.engine, organizations=[channel.organization_id]) as connection:
        now = await channels.get_channel(connection, channel.channel_id, hold=True)
        if not await notifications.settle(
            connection, notification, outcome, begun_at=begun_at, due_at=due_at
        ):
            return
        if isinstance(outcome, Delivered):
            await channels.channel_went_well(connection, now.channel_id)
            if now.failures:
                await notifications.hasten(connection, now.channel_id)
            return
        pause = patience.pause(now.failures + 1, chance=chance, asked_seconds=asked)
        await channels.channel_failed(
            connection,
            now.channel_id,
            reason=outcome.reason,
            paused_until=at + pause if pause and isinstance(outcome, TryLater) else now.paused_until,
        )
        if isinstance(outcome, Rejected) and outcome.gone:
            await disable(connection, now, reason="gone")
        elif now.failing_since and patience.is_over(now.failing_since, at):
            await disable(connection, now, reason="failed_too_long")
    log.info(
        "delivery_failed",
        channel=channel.kind,
        organization_id=channel.organization_id,
        outcome=type(outcome).__name__,
        reason=outcome.reason,
        status=outcome.status,
        attempt=notification.attempt,
        due_at=due_at,
    )


def _with_runbook(notification: Notification, runbooks_url: str) -> Notification:
    page = notification.content.runbook
    if page is None:
        return notification
    return replace(notification, runbook=f"{runbooks_url}{page}.md")
