"""Channels and notifications of an invented organization, and destinations to send them to."""

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from services.tracker.alerts.channels.kinds import KINDS
from services.tracker.alerts.domain.content import Content, Line, Totals
from services.tracker.alerts.domain.notification import Notification, Secret
from services.tracker.alerts.domain.patience import Patience
from services.tracker.alerts.network import Network
from services.tracker.alerts.store import channels, notifications
from services.tracker.alerts.workers.delivering import Delivery, deliver_notifications
from shared.clock import now
from shared.http.probes import Health
from shared.postgres import transaction
from shared.security.sealing import MasterKey
from tests.tracker.alerts.illness import FakeServer
from tests.tracker.support import ORGANIZATION

MASTER_KEY_TEXT = base64.b64encode(b"k" * 32).decode()
MASTER_KEY = MasterKey.from_text(MASTER_KEY_TEXT)
TRUST = ssl.create_default_context()  # reading it takes a while on a busy machine
CASE = UUID("0c1e3b1a-6a55-4b0e-9a44-7c0f8b1d9e63")
LINE = Line(
    case_id=CASE,
    payer="Acme Health",
    category="authorization_absent",
    amount=Decimal("1240.00"),
    days_left=3,
    deadline_on=date(2026, 4, 2),
    zone="America/Chicago",
    link=f"https://reprieve.example/cases/{CASE}",
)
CONTENT = Content(
    title="3 cases with Acme Health end within 5 days",
    rule="deadline",
    lines=(LINE, LINE, LINE),
    totals=Totals(count=3, amount=Decimal("3720.00")),
    runbook="deadline",
    link="https://reprieve.example/cases?payer=acme",
)


def notification(**given) -> Notification:
    return Notification(
        **{
            "organization_id": ORGANIZATION,
            "channel_id": uuid4(),
            "notification_id": uuid4(),
            "dedup_key": "0a000000:deadline:acme:2026-04-02",
            "kind": "firing",
            "severity": "error",
            "content": CONTENT,
            "created_at": now(),
            "runbook": "https://docs.example/deadline.md",
            **given,
        }
    )


@pytest.fixture
async def receiver() -> AsyncIterator[FakeServer]:
    server = await FakeServer().start()
    yield server
    await server.stop()


@pytest.fixture
def network() -> Network:
    return Network(allow_hosts=("127.0.0.1",), timeout_seconds=20.0, verify=TRUST)


@pytest.fixture
def hasty(network) -> Network:
    """For those that wait for the end of its patience; who answers, answers within it on a busy machine, too."""
    return replace(network, timeout_seconds=2.0)


@pytest.fixture
def delivery(engine, network) -> Delivery:
    return Delivery(
        engine=engine,
        master_key=MASTER_KEY,
        network=network,
        runbooks_url="https://reprieve.example/runbooks/",
        patience=Patience(first_seconds=0.05, longest_seconds=0.2),
        attempt_seconds=40.0,
        poll_seconds=0.02,
    )


@pytest.fixture
def add_channel(engine):
    async def add(kind: str, settings: dict, secret: str | None, *, name: str | None = None, **given) -> UUID:
        channel_id = uuid4()
        sealed = secret and channels.seal_secret(
            MASTER_KEY, Secret(current=secret), organization_id=ORGANIZATION, channel_id=channel_id
        )
        async with transaction(engine, organizations=[ORGANIZATION]) as connection:
            await channels.add_channel(
                connection,
                organization_id=ORGANIZATION,
                channel_id=channel_id,
                name=name or f"channel {channel_id}",
                kind=kind,
                settings=settings,
                sealed_secret=sealed,
                rate_per_minute=given.get("rate_per_minute", 100_000),
            )
        return channel_id

    return add


@pytest.fixture
def add_webhook(add_channel):
    async def add(server: FakeServer, **given) -> UUID:
        return await add_channel(
            "webhook", {"url": f"{server.url}/hook"}, KINDS["webhook"].make_secret(), **given
        )

    return add


@pytest.fixture
def tell(engine):
    async def tell(channel_id: UUID, *, kind="firing", group="g", content=CONTENT) -> UUID:
        notification_id = uuid4()
        async with transaction(engine, organizations=[ORGANIZATION]) as connection:
            await notifications.add_notification(
                connection,
                organization_id=ORGANIZATION,
                notification_id=notification_id,
                channel_id=channel_id,
                group_key=group,
                dedup_key=f"key:{group}",
                kind=kind,
                severity="error",
                content=content,
            )
        return notification_id

    return tell


@pytest.fixture
def states(select):
    async def states() -> dict[UUID, str]:
        found = await select("select notification_id, state from tracker.notifications")
        return {UUID(str(row.notification_id)): row.state for row in found}

    return states


@pytest.fixture
async def deliver_until(delivery):
    """Run the delivery loop until a condition holds; it has a minute."""

    async def deliver_until(condition, *, given: Delivery | None = None, **changes) -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(
            deliver_notifications(replace(given or delivery, **changes), health=Health(), stop=stop)
        )
        deadline = time.monotonic() + 60
        try:
            while not await condition():
                assert time.monotonic() < deadline, "it was not delivered in time"
                assert not running.done(), running.exception()
                await asyncio.sleep(0.02)
        finally:
            stop.set()
            await running

    return deliver_until
