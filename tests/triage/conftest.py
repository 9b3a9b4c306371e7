"""triage's worker on a real database, without a broker."""

import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
import pytest
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.triage.policies import shipped_policies
from services.triage.store.decisions import DECISIONS
from services.triage.store.policy_sets import PolicySets
from services.triage.workers.deciding import Rules
from services.triage.workers.handling import batch_handler
from shared.calendars import Calendar
from shared.contracts.base import Event
from shared.contracts.events_receipted import EventsReceipted
from shared.kafka.outbox import MessageId
from shared.kafka.parcels import payloads_of
from shared.kafka.producer import OutgoingRecord
from shared.kafka.stamps import park_messages, settle_messages
from shared.observability.logging import configure_logging
from shared.postgres import create_engine, rows, transaction
from tests.support.database import Database
from tests.triage.messages import received


@dataclass
class RecordingProducer:
    """Takes records and keeps them."""

    sent: list[OutgoingRecord] = field(default_factory=list)

    async def send_all(self, records: list[OutgoingRecord]) -> list[Exception | None]:
        self.sent.extend(records)
        return [None] * len(records)

    @property
    def receipts(self) -> list[EventsReceipted]:
        return [msgspec.json.decode(record.value, type=EventsReceipted) for record in self.sent]


@dataclass
class Triage:
    """The group's handler, and a look into its tables."""

    engine: AsyncEngine
    producer: RecordingProducer
    rules: Rules

    async def handle(self, *events: Event) -> None:
        handler = batch_handler(self.engine, self.rules, self.producer)  # type: ignore[arg-type]
        await handler([received(event) for event in events])

    async def rows(self, sql: str, organization: UUID = UUID(int=1), **parameters: Any) -> list[Any]:
        async with transaction(self.engine, organizations=[organization]) as connection:
            return await rows(connection, sql, **parameters)

    async def change(self, sql: str, organization: UUID = UUID(int=1), **parameters: Any) -> None:
        from sqlalchemy import text

        async with transaction(self.engine, organizations=[organization]) as connection:
            await connection.execute(text(sql), parameters)

    async def park_decisions(self, organization: UUID = UUID(int=1)) -> None:
        """Park the latest decision of every event, for a KeyError."""
        latest = {one.event_id: one for one in await self.decisions(organization)}
        ids = [MessageId(organization, one.message_id, one.revision) for one in latest.values()]
        async with transaction(self.engine, organizations=[organization]) as connection:
            await park_messages(connection, DECISIONS, ids, reason="KeyError")

    async def settle_decisions(self, organization: UUID = UUID(int=1), *, seconds_ago: int) -> None:
        ids = [
            MessageId(organization, one.message_id, one.revision)
            for one in await self.decisions(organization)
        ]
        async with transaction(self.engine, organizations=[organization]) as connection:
            await settle_messages(connection, DECISIONS, ids)
        await self.change(
            "update triage.decisions set settled_at = now() - make_interval(secs => :ago)",
            organization,
            ago=seconds_ago,
        )

    async def decisions(self, organization: UUID = UUID(int=1)) -> list[Any]:
        """Every decision with its event in `payload`, in the order in which they will be sent."""
        found = await self.rows(
            """
            select d.*, p.topic, p.shard, p.attempts, p.due_at, p.types[d.place] as type,
                p.message_keys[d.place] as message_key, p.payloads, p.ends,
                p.trace_parents[d.place] as trace_parent
            from triage.decisions d join triage.decisions_parcels p using (organization_id, parcel_id)
            order by d.parcel_id, d.place
            """,
            organization,
        )
        return [
            type(
                "Row", (), {**row._mapping, "payload": msgspec.json.decode(payloads_of(row)[row.place - 1])}
            )()
            for row in found
        ]


@pytest.fixture(autouse=True)
def _logs_of_production() -> Iterator[None]:
    """Log as the processes do: structlog's own way renders every local of a traceback, which takes minutes."""
    handlers, level = logging.root.handlers[:], logging.root.level
    configure_logging("tests")
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    logging.root.handlers[:], logging.root.level = handlers, level


SHIPPED = shipped_policies()


@pytest.fixture
def rules() -> Rules:
    """Each database has versions of its own, so each test remembers its own."""
    return Rules(policies=PolicySets(SHIPPED), calendar=Calendar())


@pytest.fixture
async def triage(database: Database, rules: Rules) -> AsyncIterator[Triage]:
    engine = create_engine(database.url("reprieve_triage"), name="triage-in-tests")
    yield Triage(engine, RecordingProducer(), rules)
    await engine.dispose()
