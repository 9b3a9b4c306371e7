"""
The tracker's processes, and the one place where their objects meet.

tracker-worker records decisions, sends receipts, case events and facts, and sweeps deadlines; tracker-api
answers people; tracker-alerts tells people what they did not ask for. When one loop of a process crashes, the
process ends and is started anew.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

import structlog
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.alerts.domain.patience import Patience
from services.tracker.alerts.network import Network
from services.tracker.alerts.workers.delivering import Delivery, deliver_notifications
from services.tracker.alerts.workers.keeping import keep_notifications
from services.tracker.alerts.workers.loops import evaluate
from services.tracker.alerts.workers.watching import PipelineWatch
from services.tracker.api.alert_channels import alert_channels_router
from services.tracker.api.alert_deliveries import alert_deliveries_router
from services.tracker.api.alert_previews import alert_previews_router
from services.tracker.api.alert_routes import alert_routes_router
from services.tracker.api.alert_rules import alert_rules_router
from services.tracker.api.alerts import alerts_router
from services.tracker.api.bulk import bulk_router
from services.tracker.api.cases import cases_router
from services.tracker.api.events import events_router
from services.tracker.api.exports import exports_router
from services.tracker.api.facts import facts_router
from services.tracker.api.file_content import file_content_router
from services.tracker.api.files import FILES, Cabinet, files_router
from services.tracker.api.listing import listing_router
from services.tracker.api.reconciliation import reconciliation_router
from services.tracker.api.runbooks import read_runbooks, runbooks_router
from services.tracker.api.saved_views import saved_views_router
from services.tracker.api.steps import steps_router
from services.tracker.api.summary import summary_router
from services.tracker.api.timeline import timeline_router
from services.tracker.api.worklist import worklist_router
from services.tracker.domain.observations import VIEWS
from services.tracker.settings import (
    RUNBOOKS_URL,
    AlertSettings,
    ApiSettings,
    allowed_hosts,
    read_alert_settings,
    read_api_settings,
    read_worker_settings,
)
from services.tracker.store.outboxes import FACTS, OUTBOX
from services.tracker.store.search import open_for_lists
from services.tracker.workers.clearing import clear_files
from services.tracker.workers.recording import GROUP, TOPICS, record_batch
from services.tracker.workers.sweeping import sweep_deadlines
from shared.http.app import create_app
from shared.http.cursors import cursor_key
from shared.http.probes import Health
from shared.http.server import serve
from shared.kafka.consumer import consume
from shared.kafka.parked import parked_router
from shared.kafka.producer import open_producer
from shared.kafka.relay import Relay
from shared.kafka.settlement import settlement_consumer
from shared.postgres import create_engine
from shared.security.key_check import checked_master_key
from shared.security.keyring import Keyring
from shared.security.sealing import MasterKey
from shared.storage.vault import Vault

log = structlog.get_logger()

API_PORT = 8083
WORKER_PORT = 8093
ALERTS_PORT = 8103

# Each relay keeps one connection for its locks and takes another to work.
_WORKER_CONNECTIONS = 10
_API_CONNECTIONS = 10
_ALERTS_CONNECTIONS = 10


async def run_worker(stop: asyncio.Event) -> None:
    """Record, relay, settle and sweep until `stop` is set; the batch under way is finished."""
    settings = read_worker_settings()
    broker = settings.kafka_bootstrap_servers
    health = Health()
    async with (
        _engine(settings.database_url, "tracker-worker", pool_size=_WORKER_CONNECTIONS) as engine,
        open_producer(broker) as producer,
    ):
        app = create_app(title="tracker-worker", version=version("reprieve"), engine=engine, health=health)
        relay = partial(
            Relay,
            engine,
            producer=producer,
            window_bytes_per_partition=settings.kafka_window_bytes,
            health=health,
        )
        loops = (
            consume(
                broker,
                group=GROUP,
                topics=TOPICS,
                handle=partial(record_batch, engine),
                types=VIEWS,
                producer=producer,
                health=health,
                stop=stop,
            ),
            # Nobody sends receipts for receipts: what the broker has is done.
            relay(OUTBOX).run(stop),
            relay(FACTS).run(stop),
            settlement_consumer(
                broker,
                producer_name=FACTS.service,
                engine=engine,
                table=FACTS,
                producer=producer,
                health=health,
                stop=stop,
            ),
            sweep_deadlines(engine, health=health, stop=stop),
            serve(app, settings.host, settings.port or WORKER_PORT, stop),
        )
        async with asyncio.TaskGroup() as running:
            for loop in loops:
                running.create_task(loop)


async def run_alerts(stop: asyncio.Event) -> None:
    """Find what is to be told and deliver it until `stop` is set; attempts under way are finished."""
    settings = read_alert_settings()
    health = Health()
    async with _engine(settings.database_url, "tracker-alerts", pool_size=_ALERTS_CONNECTIONS) as engine:
        master_key = MasterKey.from_text(settings.master_key.get_secret_value())
        delivery = Delivery(
            engine=engine,
            master_key=master_key,
            network=Network(
                allow_hosts=allowed_hosts(settings.alerts_allow_hosts),
                timeout_seconds=settings.alerts_timeout_seconds,
            ),
            patience=Patience(
                first_seconds=settings.alerts_first_retry_seconds,
                longest_seconds=settings.alerts_longest_retry_seconds,
                days=settings.alerts_give_up_days,
            ),
            attempt_seconds=2 * settings.alerts_timeout_seconds,
            runbooks_url=settings.alerts_runbooks_url,
        )
        watch = _watch(settings)
        app = create_app(title="tracker-alerts", version=version("reprieve"), engine=engine, health=health)
        async with checked_master_key(engine, master_key, stop), asyncio.TaskGroup() as running:
            for loop in (
                evaluate(engine, watch=watch, case_link=settings.alerts_case_link, health=health, stop=stop),
                deliver_notifications(delivery, health=health, stop=stop),
                keep_notifications(engine, keep_days=settings.alerts_keep_days, health=health, stop=stop),
                serve(app, settings.host, settings.port or ALERTS_PORT, stop),
            ):
                running.create_task(loop)


def _watch(settings: AlertSettings) -> PipelineWatch:
    """Watch the pipeline by the metrics of other processes; without a key none of them would answer."""
    key, urls = settings.alerts_metrics_key, allowed_hosts(settings.alerts_metrics_urls)
    if not key or not urls:
        log.warning("pipeline_unwatched")
        return PipelineWatch((), None)
    return PipelineWatch(urls, key.get_secret_value())


async def run_api(stop: asyncio.Event) -> None:
    """Answer until `stop` is set."""
    settings = read_api_settings()
    async with _engine(
        settings.database_url,
        "tracker-api",
        pool_size=_API_CONNECTIONS,
        statement_timeout_seconds=settings.statement_timeout_seconds,
    ) as engine:
        key = settings.master_key.get_secret_value()
        master_key, health = MasterKey.from_text(key), Health()
        async with checked_master_key(engine, master_key, stop), asyncio.TaskGroup() as running:
            network = Network(allow_hosts=allowed_hosts(settings.alerts_allow_hosts))
            cabinet = await asyncio.to_thread(_cabinet, settings, master_key)
            app = api_app(
                engine,
                master_key=key,
                health=health,
                network=network,
                cabinet=cabinet,
                runbooks_url=settings.alerts_runbooks_url,
            )
            running.create_task(open_for_lists(engine))
            if cabinet is not None:
                running.create_task(clear_files(engine, cabinet.vault, health=health, stop=stop))
            running.create_task(serve(app, settings.host, settings.port or API_PORT, stop))


def _cabinet(settings: ApiSettings, master_key: MasterKey) -> Cabinet | None:
    place = settings.files_url or settings.files_dir
    if place is None:
        return None
    return Cabinet(
        Vault(place, master_key),
        file_bytes_max=settings.file_bytes_max,
        case_bytes_max=settings.case_files_bytes_max,
    )


def api_app(
    engine: AsyncEngine,
    *,
    master_key: str,
    health: Health,
    network: Network | None = None,
    cabinet: Cabinet | None = None,
    runbooks_url: str = RUNBOOKS_URL,
) -> FastAPI:
    """
    Assemble the app of tracker-api. `master_key` is base64; it opens identifiers and signs cursors.

    `network` judges destinations of alerts; by default it lets through what is public. Without a `cabinet` no
    files of cases are taken or given. `runbooks_url` goes before the name of a page of docs/runbooks/.
    """
    runbooks = read_runbooks()
    app = create_app(
        title="Reprieve tracker",
        version=version("reprieve"),
        engine=engine,
        health=health,
        streaming_routes=[("POST", FILES)],
        open_paths=[f"/runbooks/{page}" for page in runbooks],
    )
    keyring = Keyring(engine, MasterKey.from_text(master_key))
    # The first, for routes are tried in this order: what people ask for most.
    app.include_router(listing_router(engine, keyring, cursor_key(master_key)))
    app.include_router(worklist_router(engine, cursor_key(master_key)))
    app.include_router(cases_router(engine, keyring))
    app.include_router(alert_rules_router(engine))
    app.include_router(alert_routes_router(engine))
    app.include_router(alert_previews_router(engine, runbooks_url))
    app.include_router(alerts_router(engine, cursor_key(master_key), runbooks_url))
    app.include_router(timeline_router(engine))
    app.include_router(facts_router(engine))
    app.include_router(steps_router(engine))
    app.include_router(files_router(engine, keyring, cabinet))
    app.include_router(file_content_router(engine, keyring, cabinet))
    app.include_router(summary_router(engine))
    app.include_router(exports_router(engine, keyring))
    app.include_router(saved_views_router(engine))
    app.include_router(bulk_router(engine))
    app.include_router(events_router(engine, cursor_key(master_key)))
    app.include_router(alert_channels_router(engine, MasterKey.from_text(master_key), network or Network()))
    app.include_router(alert_deliveries_router(engine, cursor_key(master_key)))
    app.include_router(runbooks_router(runbooks))
    app.include_router(reconciliation_router(engine))
    app.include_router(parked_router(FACTS, engine, unreceipted=OUTBOX))
    return app


@asynccontextmanager
async def _engine(
    url: SecretStr, name: str, *, pool_size: int, statement_timeout_seconds: float | None = None
) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(
        url.get_secret_value(),
        name=name,
        pool_size=pool_size,
        statement_timeout_seconds=statement_timeout_seconds,
    )
    try:
        yield engine
    finally:
        await engine.dispose()


PROCESSES: dict[str, Callable[[asyncio.Event], Awaitable[None]]] = {
    "tracker-worker": run_worker,
    "tracker-api": run_api,
    "tracker-alerts": run_alerts,
}
