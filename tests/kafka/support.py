"""What the tests of the plumbing share: messages, listeners, loops that run for the length of a test."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.fact_recorded import FactRecorded
from shared.kafka.dead_letters import TooManyDeadLettersError
from shared.kafka.outbox import Message, OutboxTable, insert_messages
from shared.postgres import rows, transaction

ORGANIZATION = UUID("11111111-1111-4111-8111-111111111111")
TABLE = OutboxTable(service="ingest", name="ingest.claim_events")
TOPIC = "claim-events"
_STORED = f"""
    (select m.*, p.shard, p.topic, p.due_at, p.attempts
     from {TABLE.name} m join {TABLE.parcels} p using (organization_id, parcel_id)) as stored
"""


def fact(number: int = 0, *, key: UUID | None = None, value: str = "2026-01-01") -> FactRecorded:
    """An event with few fields; `number` tells the order in which a test made it."""
    return FactRecorded(
        organization_id=ORGANIZATION,
        fact_id=UUID(int=uuid4().int),
        claim_key=key or uuid4(),
        case_id=UUID(int=number),
        event_ids=(),
        kind="admission_date",
        value=value,
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        recorded_by=ORGANIZATION,
    )


def message(
    *, key: UUID | None = None, shard: int | None = None, size: int = 100, trace_parent: str | None = None
) -> Message:
    made_of = key or uuid4()
    return Message(
        organization_id=ORGANIZATION,
        message_id=uuid4(),
        revision=1,
        type="FactRecorded",
        topic=TOPIC,
        message_key=made_of,
        shard=made_of.int % 12 if shard is None else shard,
        payload=b"x" * size,
        trace_parent=trace_parent,
    )


async def put(
    engine: AsyncEngine, messages: Sequence[Message], *, staged: bool = False, remittance: UUID | None = None
) -> None:
    """Write messages into ingest's outbox."""
    extra = {
        "remittance_id": ("uuid", [remittance or uuid4()] * len(messages)),
        "charge_amount": ("numeric", [1] * len(messages)),
        "denied_amount": ("numeric", [1] * len(messages)),
    }
    async with transaction(engine, organizations={one.organization_id for one in messages}) as connection:
        await insert_messages(
            connection,
            TABLE,
            messages,
            staged_for=remittance or ORGANIZATION if staged else None,
            extra=extra,
        )


async def stored(engine: AsyncEngine, columns: str = "*") -> list[Any]:
    """Give the messages of ingest's outbox with the state of their parcels, in their order."""
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        return await rows(connection, f"select {columns} from {_STORED} order by parcel_id, place")


async def count(engine: AsyncEngine, condition: str) -> int:
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        (found,) = await rows(connection, f"select count(*) as n from {_STORED} where {condition}")
    return int(found.n)


async def parcels(engine: AsyncEngine, columns: str = "*") -> list[Any]:
    """Give the parcels of ingest's outbox in their order."""
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        return await rows(connection, f"select {columns} from {TABLE.parcels} order by parcel_id")


async def change_parcels(engine: AsyncEngine, change: str) -> None:
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await connection.execute(text(f"update {TABLE.parcels} set {change}"))


async def eventually(check: Callable[[], Awaitable[bool]], *, seconds: float = 90) -> None:
    """Wait until `check` holds, and fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not await check():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def running(loop: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[asyncio.Task[None]]:
    """Run a loop beside the test; it is told to stop at the end, and must."""
    stop = asyncio.Event()
    task: asyncio.Task[None] = asyncio.ensure_future(loop(stop))
    try:
        yield task
    finally:
        died = task.exception() if task.done() else None
        stop.set()
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 90)
        if died is not None and not isinstance(died, TooManyDeadLettersError):
            raise AssertionError("the loop died") from died


class Listener:
    """Everything that lies in one topic, as it arrives; belongs to no group."""

    def __init__(self, bootstrap: str, topic: str = TOPIC) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self.records: list[Any] = []

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            self._topic,
            bootstrap_servers=self._bootstrap,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=8 << 20,
        )
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def hear(self, number: int, *, seconds: float = 90) -> list[Any]:
        """Wait until at least `number` records were heard in all."""
        deadline = time.monotonic() + seconds
        while len(self.records) < number:
            assert time.monotonic() < deadline, f"heard {len(self.records)} of {number}"
            await self._take(200)
        return self.records

    async def hear_nothing_more(self, *, seconds: float = 1.0) -> None:
        before = len(self.records)
        await self._take(int(seconds * 1000))
        assert len(self.records) == before

    async def _take(self, timeout_ms: int) -> None:
        for batch in (await self._consumer.getmany(timeout_ms=timeout_ms)).values():
            self.records += batch


def ids(records: Sequence[Any]) -> list[str]:
    """Give the message ids of records, in their order."""
    return [dict(record.headers)["ce_id"].decode().partition(":")[0] for record in records]
