"""
The evaluator's loop: every few seconds over all organizations, in one process at a time.

It is never on the path of triage or of cases: it reads what they left, and a failure of its own delays alerts
and nothing else.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.alerts.domain.defaults import INSTALLATION
from services.tracker.alerts.domain.pipeline import Fact
from services.tracker.alerts.store.alerts import zones
from services.tracker.alerts.workers.evaluating import Memory, look_at
from services.tracker.alerts.workers.watching import PipelineWatch
from shared import clock
from shared.errors import UnavailableError
from shared.http.probes import Health
from shared.kafka.backoff import sleep_unless
from shared.observability import metrics
from shared.postgres import transaction
from shared.postgres.locks import hold_locks

LOOP = "evaluate alerts"
LOOK_SECONDS = 15.0
_LOCKS = "tracker-alerts"

log = structlog.get_logger()


async def evaluate(
    engine: AsyncEngine,
    *,
    watch: PipelineWatch,
    case_link: str | None,
    health: Health,
    stop: asyncio.Event,
) -> None:
    """Look at everything every few seconds until `stop` is set; wait while another process does."""
    while not stop.is_set():
        health.beat(LOOP)
        try:
            async with hold_locks(engine, _LOCKS, [0]) as taken:
                if taken:
                    await _look_until_lost(engine, watch=watch, case_link=case_link, health=health, stop=stop)
        except UnavailableError as error:
            log.warning("evaluation_waits", loop=LOOP, error_class=type(error.__cause__ or error).__name__)
        await sleep_unless(stop, LOOK_SECONDS)
    health.retire(LOOP)


async def _look_until_lost(
    engine: AsyncEngine,
    *,
    watch: PipelineWatch,
    case_link: str | None,
    health: Health,
    stop: asyncio.Event,
) -> None:
    memory: Memory = {}
    while not stop.is_set():
        health.beat(LOOP)
        at = clock.now()
        await look_everywhere(
            engine, at=at, facts=await watch.facts(at), case_link=case_link, health=health, memory=memory
        )
        await sleep_unless(stop, LOOK_SECONDS)


async def look_everywhere(
    engine: AsyncEngine,
    *,
    at: datetime,
    facts: Sequence[Fact] | None,
    case_link: str | None,
    health: Health,
    memory: Memory | None = None,
) -> None:
    """Look at the installation and at every organization once."""
    async with transaction(engine) as connection:
        organizations: list[UUID] = [one for one, _ in await zones(connection)]
    for organization_id in (INSTALLATION, *organizations):
        health.beat(LOOP)
        try:
            done = await look_at(
                engine, organization_id, at=at, facts=facts, case_link=case_link, memory=memory
            )
        except UnavailableError:
            raise
        except Exception:
            # What one organization set must not keep the others from being told.
            log.exception("alerts_look_failed", organization_id=organization_id)
            metrics.ALERT_LOOKS_FAILED.inc()
            continue
        if any(done):
            log.info(
                "alerts_evaluated",
                organization_id=organization_id,
                findings=done.opened,
                released=done.resolved,
                sent=done.messages,
            )
    metrics.ALERTS_LOOKED_AT.set(at.timestamp())
