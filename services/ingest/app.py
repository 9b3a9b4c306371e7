"""Where ingest's parts meet: its two processes."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.acknowledgments.validators import Validators
from services.ingest.api.acknowledgments import acknowledgments_router
from services.ingest.api.feeds import feeds_router
from services.ingest.api.push import Reception, push_router
from services.ingest.api.quarantine import quarantine_router
from services.ingest.api.reconciliation import reconciliation_router
from services.ingest.api.remittances import remittances_router
from services.ingest.api.replays import replays_router
from services.ingest.intake.allowance import Allowance
from services.ingest.intake.known_feeds import KnownFeeds
from services.ingest.intake.pressure import Pressure
from services.ingest.intake.registrar import Registrar
from services.ingest.intake.waiting import Waiting
from services.ingest.settings import IngestSettings, read_settings
from services.ingest.store.events import CLAIM_EVENTS
from services.ingest.workers.acknowledging import Acknowledging
from services.ingest.workers.dropping import Dropping, DropRules
from services.ingest.workers.feeds import watch_feeds
from services.ingest.workers.files import Workshop
from services.ingest.workers.holding import watch_held
from services.ingest.workers.payees import Payees
from services.ingest.workers.pulling import Pulling, PullRules
from services.ingest.workers.reading import Reading
from shared.http.app import create_app
from shared.http.cursors import cursor_key
from shared.http.probes import Health
from shared.http.server import serve
from shared.kafka.parked import parked_router
from shared.kafka.producer import open_producer
from shared.kafka.relay import Relay
from shared.kafka.settlement import settlement_consumer
from shared.postgres import create_engine
from shared.security.key_check import checked_master_key
from shared.security.keyring import Keyring
from shared.security.sealing import MasterKey
from shared.storage.vault import Vault

API_PORT = 8081
WORKER_PORT = 8091

UPLOAD = ("POST", "/v1/remittances")  # goes to disk as it comes; REPRIEVE_MAX_UPLOAD_BYTES is its limit

_STATEMENT_TIMEOUT_SECONDS = 60.0
_SWITCH_SECONDS = 0.001  # a reading thread gives way to the loop, which feeds the database and the broker


def api_app(settings: IngestSettings, engine: AsyncEngine, *, vault: Vault, health: Health) -> FastAPI:
    """Assemble the app of `ingest-api`."""
    app = create_app(
        title="Reprieve ingest",
        version=version("reprieve"),
        engine=engine,
        health=health,
        streaming_routes=[UPLOAD],
    )
    master_key = MasterKey.from_text(settings.master_key.get_secret_value())
    known_feeds = KnownFeeds(engine, master_key)
    app.include_router(push_router(_reception(settings, engine, vault=vault, known_feeds=known_feeds)))
    app.include_router(
        remittances_router(engine, vault, cursor_key=cursor_key(settings.master_key.get_secret_value()))
    )
    app.include_router(
        quarantine_router(engine, vault, cursor_key=cursor_key(settings.master_key.get_secret_value()))
    )
    app.include_router(replays_router(engine))
    app.include_router(acknowledgments_router(engine))
    app.include_router(feeds_router(engine, master_key, known_feeds))
    app.include_router(reconciliation_router(engine))
    app.include_router(parked_router(CLAIM_EVENTS, engine))
    return app


def _reception(
    settings: IngestSettings, engine: AsyncEngine, *, vault: Vault, known_feeds: KnownFeeds
) -> Reception:
    return Reception(
        vault=vault,
        registrar=Registrar(engine),
        feeds=known_feeds,
        allowance=Allowance(
            requests_per_minute=settings.push_requests_per_minute,
            bytes_per_minute=settings.push_bytes_per_minute,
        ),
        pressure=Pressure(
            engine,
            vault.objects.folder,
            waiting_files_max=settings.waiting_files_max,
            free_bytes_min=settings.free_bytes_min,
        ),
        waiting=Waiting(engine),
        max_upload_bytes=settings.max_upload_bytes,
    )


async def ingest_api(stop: asyncio.Event) -> None:
    """Take files in and answer for them."""
    settings = read_settings()
    master_key = MasterKey.from_text(settings.master_key.get_secret_value())
    vault = Vault(settings.raw_files(), master_key)
    await asyncio.to_thread(vault.sweep)
    engine = create_engine(
        settings.database_url.get_secret_value(),
        name="ingest-api",
        pool_size=10,
        statement_timeout_seconds=_STATEMENT_TIMEOUT_SECONDS,
    )
    app = api_app(settings, engine, vault=vault, health=Health())
    try:
        async with checked_master_key(engine, master_key, stop):
            await serve(app, settings.host, settings.port or API_PORT, stop)
    finally:
        await engine.dispose()


async def ingest_worker(stop: asyncio.Event) -> None:
    """Read files, send events, settle them."""
    settings = read_settings()
    master_key = MasterKey.from_text(settings.master_key.get_secret_value())
    sys.setswitchinterval(_SWITCH_SECONDS)
    health = Health()
    engine = create_engine(settings.database_url.get_secret_value(), name="ingest-worker", pool_size=18)
    workshop = Workshop(
        engine, Vault(settings.raw_files(), master_key), Keyring(engine, master_key), Payees(engine)
    )
    app = create_app(
        title="Reprieve ingest worker", version=version("reprieve"), engine=engine, health=health
    )
    async with AsyncExitStack() as opened:
        opened.push_async_callback(engine.dispose)
        await opened.enter_async_context(checked_master_key(engine, master_key, stop))
        producer = await opened.enter_async_context(open_producer(settings.kafka_bootstrap_servers))
        relay = Relay(
            engine,
            CLAIM_EVENTS,
            producer,
            window_bytes_per_partition=settings.kafka_window_bytes,
            health=health,
        )
        settling = settlement_consumer(
            settings.kafka_bootstrap_servers,
            producer_name=CLAIM_EVENTS.service,
            engine=engine,
            table=CLAIM_EVENTS,
            producer=producer,
            stop=stop,
            health=health,
        )
        await _run_together(
            stop,
            serve(app, settings.host, settings.port or WORKER_PORT, stop),
            Reading(workshop, health).run(stop),
            Acknowledging(engine, workshop.vault, Validators(), health).run(stop),
            watch_held(workshop, health, stop),
            watch_feeds(engine, health, stop),
            relay.run(stop),
            settling,
            *(loop.run(stop) for loop in _drop_folders(settings, workshop, master_key, health)),
        )


def _drop_folders(
    settings: IngestSettings, workshop: Workshop, master_key: MasterKey, health: Health
) -> list[Dropping | Pulling]:
    """Give the loops of the drop folders, and of what fetches into them, where there are any."""
    if settings.drop_dir is None:
        return []
    settings.drop_dir.mkdir(parents=True, exist_ok=True)
    drop = DropRules(
        root=settings.drop_dir,
        max_bytes=settings.max_upload_bytes,
        stable_seconds=settings.drop_stable_seconds,
        keep_days=settings.drop_keep_days,
    )
    pull = PullRules(
        root=settings.drop_dir,
        max_bytes=settings.max_upload_bytes,
        stable_seconds=settings.drop_stable_seconds,
    )
    return [
        Dropping(workshop.engine, workshop.vault, drop, health),
        Pulling(workshop.engine, master_key, pull, health),
    ]


async def _run_together(stop: asyncio.Event, *loops: Coroutine[Any, Any, None]) -> None:
    """Run loops until `stop`; when one of them fails the others finish what they are at, and it is raised."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        stop.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


PROCESSES: dict[str, Callable[[asyncio.Event], Awaitable[None]]] = {
    "ingest-api": ingest_api,
    "ingest-worker": ingest_worker,
}
