"""
Recording against the least that could be done: denied claims a second, and what Python and PostgreSQL use.

    reprieve bench recording        REPRIEVE_BENCH_DENIALS (default 10000), REPRIEVE_BENCH_BATCH (default 500)

Simulated denials, decided by the shipped policies, go through what tracker-worker does with a batch: read
the records, write ledger, cases and messages in one transaction. First all are new, then the same come again.
The yardstick, in the same run and in batches of the same size: parse each payload with the standard library's
json, and insert it into a table that has one key. Nothing that parses and keeps a payload can do less; the
ratio tells what ledger, case, events and receipts cost on top, whatever machine this is.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from services.embedded.postgres import running_server
from services.ingest.domain.events import EventContext, claim_event
from services.ingest.domain.reader import read
from services.ingest.domain.remittance import ClaimRead, SetOpened
from services.ingest.simulate import Simulation, simulate
from services.tracker.domain.observations import VIEWS
from services.tracker.workers.recording import record_batch
from services.triage.domain.decide import decide
from services.triage.policies import shipped_policies
from shared.calendars import Calendar
from shared.contracts.base import encode
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.denial_triaged import DenialTriaged
from shared.kafka.envelope import Headers, write_headers
from shared.kafka.received import receive
from shared.observability.process import run
from shared.postgres import create_engine
from shared.security.sealing import Sealer
from tests.support.database import PostgresForTests

DENIALS = int(os.environ.get("REPRIEVE_BENCH_DENIALS", "10000"))
BATCH = int(os.environ.get("REPRIEVE_BENCH_BATCH", "500"))
ORGANIZATION = UUID(int=1)
DAY = date(2026, 11, 21)


class Record(NamedTuple):
    """What the consumer reads of a record of Kafka's."""

    headers: Headers
    value: bytes


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of the clock, and of the processor in Python and in PostgreSQL."""

    clock: float
    python: float
    postgres: float


def main() -> None:
    """Measure and print, with the event loop and the collector of a service's process."""
    records = [record_of(one) for one in decided(DENIALS)]
    server = PostgresForTests()

    async def measure_all(_stop: asyncio.Event) -> None:
        show(records, await compare(server, records))

    try:
        run(measure_all, process="bench", log_level="ERROR")
    finally:
        server.stop()


def show(records: Sequence[Record], spent: Mapping[str, Spent]) -> None:
    size = sum(len(one.value) for one in records) / len(records)
    print(f"Recording {len(records):,} denials of {size:,.0f} bytes in batches of {BATCH}:")
    each = 1e6 / len(records)
    for name, one in spent.items():
        print(
            f"  {name:<9} {len(records) / one.clock:8,.0f} a second;"
            f" µs a denial: Python {one.python * each:6.0f}, PostgreSQL {one.postgres * each:6.0f}"
        )
    new, least = spent["new"], spent["yardstick"]
    in_python, in_postgres = new.python / least.python, new.postgres / least.postgres
    print(f"  ratio     {in_python:8.1f} in Python, {in_postgres:.1f} in PostgreSQL (new / yardstick)")


def decided(count: int) -> list[DenialTriaged]:
    """Simulate denied claims and decide them."""
    policies, calendar = shipped_policies(), Calendar()
    events = simulated(count)
    return [
        DenialTriaged.of(event, decide(event, (), policies=policies, calendar=calendar, as_of=DAY))
        for event in events
    ]


def simulated(count: int) -> list[ClaimDenied]:
    sealer = Sealer(
        organization_id=ORGANIZATION,
        month=DAY.replace(day=1),
        data_key=os.urandom(32),
        index_key=os.urandom(32),
    )
    context = EventContext(
        organization_id=ORGANIZATION,
        remittance_id=UUID(int=2),
        received_at=datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC),
        received_on=DAY,
    )
    found: list[ClaimDenied] = []
    for item in read(simulate(Simulation(seed=7, claims=count, denied=1.0, reversed=0.0))):
        if isinstance(item, SetOpened):
            header = item.header
        elif isinstance(item, ClaimRead):
            event = claim_event(item.claim, header, context, sealer)
            if isinstance(event, ClaimDenied):
                found.append(event)
    return found


def record_of(event: DenialTriaged) -> Record:
    headers = write_headers(
        service="triage",
        message_id=event.message_id,
        revision=event.message_revision,
        type_=type(event).__name__,
        organization_id=event.organization_id,
        created_at=event.received_at,
    )
    return Record(headers, encode(event))


async def compare(server: PostgresForTests, records: Sequence[Record]) -> dict[str, Spent]:
    """Measure the yardstick and recording on databases of their own."""
    least = await server.fresh()
    engine = create_engine((await server.fresh()).url("reprieve_tracker"), name="bench", pool_size=1)
    yardstick = await asyncpg.connect(least.owner.replace("+asyncpg", ""))
    await yardstick.execute(
        "create table yardstick (id uuid primary key, payload bytea storage external not null)"
    )

    async def insert(batch: Sequence[Record]) -> None:
        ids = [json.loads(one.value)["event_id"] for one in batch]
        payloads = [one.value for one in batch]
        await yardstick.execute(
            "insert into yardstick select * from unnest($1::uuid[], $2::bytea[])", ids, payloads
        )

    async def record(batch: Sequence[Record]) -> None:
        await record_batch(engine, [receive(one, VIEWS) for one in batch])

    try:
        return {
            "yardstick": await measure(server, records, insert),
            "new": await measure(server, records, record),
            "again": await measure(server, records, record),
        }
    finally:
        await yardstick.close()
        await engine.dispose()


async def measure(
    server: PostgresForTests, records: Sequence[Record], work: Callable[[Sequence[Record]], Awaitable[None]]
) -> Spent:
    """Give all records to `work`, batch by batch."""
    clock, python, postgres = time.perf_counter(), time.process_time(), postgres_seconds(server)
    for start in range(0, len(records), BATCH):
        await work(records[start : start + BATCH])
    return Spent(
        clock=time.perf_counter() - clock,
        python=time.process_time() - python,
        postgres=postgres_seconds(server) - postgres,
    )


def postgres_seconds(server: PostgresForTests) -> float:
    """What the server has used so far, ended processes included."""
    postmaster = running_server(server.server.pgdata)
    if postmaster is None:
        raise SystemExit("PostgreSQL is gone.")
    reaped = postmaster.cpu_times()
    living = [reaped, *(child.cpu_times() for child in postmaster.children())]
    return float(sum(one.user + one.system for one in living) + reaped.children_user + reaped.children_system)


if __name__ == "__main__":
    main()
