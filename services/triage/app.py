"""
triage's processes, and the one place where their objects meet.

triage-worker decides what comes, sends what it decided, and settles it; triage-api answers. Both serve the
probes. When one loop of a process crashes, the process ends and is started anew: half a worker is none.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.triage.api.decisions import decisions_router
from services.triage.api.policies import policies_router
from services.triage.api.previewing import preview_router
from services.triage.api.publishing import publishing_router
from services.triage.api.reconciliation import reconciliation_router
from services.triage.api.simulating import simulating_router
from services.triage.domain.policies import Policies, load_policies
from services.triage.policies import policy_texts, shipped_policies
from services.triage.settings import TriageSettings, read_settings
from services.triage.store.decisions import DECISIONS
from services.triage.store.policy_sets import PolicySets
from services.triage.workers.deciding import Rules
from services.triage.workers.handling import GROUP, TOPICS, batch_handler
from services.triage.workers.reevaluating import reevaluate
from services.triage.workers.shipped import keep_shipped
from shared.calendars import Calendar
from shared.http.app import create_app
from shared.http.probes import Health
from shared.http.server import serve
from shared.kafka.consumer import consume
from shared.kafka.parked import parked_router
from shared.kafka.producer import open_producer
from shared.kafka.relay import Relay
from shared.kafka.settlement import settlement_consumer
from shared.postgres import create_engine

API_PORT = 8082
WORKER_PORT = 8092

_CONNECTIONS = 8
_STATEMENT_SECONDS = 30.0


async def run_worker(stop: asyncio.Event) -> None:
    """Decide, relay and settle until `stop` is set; the batch under way is finished."""
    settings = read_settings()
    texts = policy_texts(settings.policies_dir)
    reference = load_policies(texts)
    shipped = list(zip([one.file for one in reference.policies], texts.values(), strict=True))
    rules = Rules(policies=PolicySets(reference), calendar=Calendar())
    broker = settings.kafka_bootstrap_servers
    health = Health()
    async with _engine(settings, "triage-worker") as engine, open_producer(broker) as producer:
        relay = Relay(
            engine,
            DECISIONS,
            producer,
            window_bytes_per_partition=settings.kafka_window_bytes,
            health=health,
        )
        app = create_app(title="triage-worker", version=version("reprieve"), engine=engine, health=health)
        consuming = consume(
            broker,
            group=GROUP,
            topics=TOPICS,
            handle=batch_handler(engine, rules, producer),
            producer=producer,
            health=health,
            stop=stop,
        )
        settling = settlement_consumer(
            broker,
            producer_name=DECISIONS.service,
            engine=engine,
            table=DECISIONS,
            producer=producer,
            health=health,
            stop=stop,
        )
        async with asyncio.TaskGroup() as loops:
            loops.create_task(consuming)
            loops.create_task(relay.run(stop))
            loops.create_task(settling)
            loops.create_task(keep_shipped(engine, shipped, stop))
            loops.create_task(reevaluate(engine, rules, health=health, stop=stop))
            loops.create_task(serve(app, settings.host, _port(settings, WORKER_PORT), stop))


async def run_api(stop: asyncio.Event) -> None:
    """Answer until `stop` is set."""
    settings = read_settings()
    policies = shipped_policies(settings.policies_dir)
    async with _engine(settings, "triage-api", statement_timeout_seconds=_STATEMENT_SECONDS) as engine:
        await serve(api(engine, policies), settings.host, _port(settings, API_PORT), stop)


def api(engine: AsyncEngine, policies: Policies) -> FastAPI:
    """Put the API together. `policies` are those that Reprieve ships; what was published lies over them."""
    sets = PolicySets(policies)
    app = create_app(title="triage", version=version("reprieve"), engine=engine, health=Health())
    app.include_router(policies_router(engine, sets))
    app.include_router(publishing_router(engine, sets))
    app.include_router(preview_router(engine, sets))
    app.include_router(simulating_router(engine, sets))
    app.include_router(decisions_router(engine))
    app.include_router(reconciliation_router(engine))
    app.include_router(parked_router(DECISIONS, engine))
    return app


def _port(settings: TriageSettings, usual: int) -> int:
    return usual if settings.port is None else settings.port


@asynccontextmanager
async def _engine(
    settings: TriageSettings, name: str, *, statement_timeout_seconds: float | None = None
) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(
        settings.database_url.get_secret_value(),
        name=name,
        pool_size=_CONNECTIONS,
        statement_timeout_seconds=statement_timeout_seconds,
    )
    try:
        yield engine
    finally:
        await engine.dispose()


PROCESSES: dict[str, Callable[[asyncio.Event], Awaitable[None]]] = {
    "triage-worker": run_worker,
    "triage-api": run_api,
}
