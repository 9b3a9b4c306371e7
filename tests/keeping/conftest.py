"""triage and the tracker on one database, the one feeding the other without a broker; and the owner who purges."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services import purge
from services.ingest.store.retention import Scope
from services.tracker.domain.observations import observe
from services.tracker.store.reconciliation import ledger_lines
from services.tracker.workers.recording import record_decisions
from services.triage.store.reconciliation import decision_lines
from services.triage.workers.deciding import Rules
from shared.clock import now
from shared.contracts.base import Event, encode
from shared.contracts.topics import EVENT_TYPES
from shared.postgres import create_engine, rows, transaction
from shared.storage.objects import Objects
from tests.support.database import Database
from tests.triage.conftest import RecordingProducer, Triage, rules  # noqa: F401  a fixture

ORGANIZATION = UUID(int=1)
_AGED = (
    "update triage.events set seen_at = seen_at - cast(:age as interval)",
    "update triage.facts set recorded_at = recorded_at - cast(:age as interval)",
    "update triage.decisions_parcels set created_at = created_at - cast(:age as interval)",
    "update tracker.ledger set recorded_at = recorded_at - cast(:age as interval)",
    "update tracker.cases set closed_at = closed_at - cast(:age as interval)",
    "update tracker.files set attached_at = attached_at - cast(:age as interval)",
    "update tracker.facts_parcels set created_at = created_at - cast(:age as interval)",
)


@dataclass
class Pair:
    """Both services. What triage decides is recorded and settled at once, unless it is left unsettled."""

    triage: Triage
    tracker: AsyncEngine
    owner: AsyncEngine
    objects: Objects

    async def take(self, *events: Event, settle: bool = True) -> None:
        before = {one.message_id for one in await self.triage.decisions(ORGANIZATION)}
        await self.triage.handle(*events)
        made = [one for one in await self.triage.decisions(ORGANIZATION) if one.message_id not in before]
        decisions = [msgspec.convert(one.payload, EVENT_TYPES[one.type]) for one in made]
        await record_decisions(self.tracker, [(observe(one), encode(one)) for one in decisions])
        if settle:
            await self.triage.settle_decisions(seconds_ago=100)

    async def grow_old(self, days: int = 400) -> None:
        """Let everything that is here have happened so many days earlier."""
        async with transaction(self.owner, organizations=[ORGANIZATION]) as connection:
            for statement in _AGED:
                await connection.execute(text(statement), {"age": timedelta(days=days)})

    async def purge(self, day: date | None = None) -> purge.Found:
        scope = Scope({ORGANIZATION: day or now().date() - timedelta(days=365)}, None, [])
        return await purge.carry_out(self.owner, self.objects, scope, show=lambda *_: None)

    async def select(self, sql: str, **parameters: Any) -> list[Any]:
        async with transaction(self.owner, organizations=[ORGANIZATION]) as connection:
            return await rows(connection, sql, **parameters)

    async def words(self) -> dict[str, int]:
        """Count, in each place, what still has its payload."""
        found = {}
        for name, sql in {
            "events": "select 1 from triage.events where bundle_id is not null",
            "facts": "select 1 from triage.facts where octet_length(payload) > 0",
            "decisions": "select 1 from triage.decisions join triage.decisions_parcels using (parcel_id)",
            "ledger": "select 1 from tracker.ledger where bundle_id is not null",
            "cases": "select 1 from tracker.cases where purged_at is null",
        }.items():
            found[name] = len(await self.select(sql))
        return found

    async def reconciled(self) -> list[Any]:
        """Give all that the reconciliation asks of both."""
        decided = [one async for page in decision_lines(self.triage.engine, [ORGANIZATION]) for one in page]
        held = [one async for page in ledger_lines(self.tracker, [ORGANIZATION]) for one in page]
        return [*decided, *held]


@pytest.fixture
async def pair(database: Database, rules: Rules, tmp_path: Path) -> AsyncIterator[Pair]:  # noqa: F811
    engines = [
        create_engine(database.url("reprieve_triage"), name="test"),
        create_engine(database.url("reprieve_tracker"), name="test"),
        create_engine(database.owner, name="test", pool_size=2),
    ]
    triage = Triage(engines[0], RecordingProducer(), rules)
    yield Pair(triage, engines[1], engines[2], Objects(tmp_path / "raw"))
    for engine in engines:
        await engine.dispose()
