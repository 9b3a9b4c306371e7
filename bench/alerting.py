"""
What alerts cost the main line, and what ill channels cost the healthy ones.

    reprieve bench alerting        REPRIEVE_BENCH_DENIALS (default 20000), REPRIEVE_BENCH_PAIRS (default 3)

Throughput: simulated denials are recorded as tracker-worker does it, without and with tracker-alerts running
beside it (the default rules, a channel), in pairs on fresh databases; every other pair begins with alerts, so
that a machine that slows down favours neither. The ratio says what alerts take away from the main line; the
processor seconds of tracker-alerts and PostgreSQL, what they use until all is told, without what they use
while nothing happens (printed by itself). Three pairs take some five minutes on two cores.

Delivery: notifications for a healthy webhook on this machine, alone, and beside three as full whose
destinations hang, drip and answer 503. Where nobody's illness delays another the rates are the same.
"""

import asyncio
import os
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import UUID, uuid4

import httpx2
import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.recording import BATCH, ORGANIZATION, Record, decided, postgres_seconds, record_of
from services.tracker.alerts.channels.kinds import KINDS
from services.tracker.alerts.domain.content import Content
from services.tracker.alerts.domain.notification import Secret
from services.tracker.alerts.network import Network
from services.tracker.alerts.store import channels, notifications
from services.tracker.alerts.workers.delivering import Delivery, deliver_notifications
from services.tracker.domain.observations import VIEWS
from services.tracker.workers.recording import record_batch
from shared.http.probes import Health
from shared.kafka.received import receive
from shared.observability.process import run
from shared.postgres import create_engine, transaction
from shared.security.keyring import index_key_context
from shared.security.sealing import KEY_BYTES, MasterKey
from tests.support.database import Database, PostgresForTests
from tests.tracker.alerts.illness import DRIP, HANG, Answer, FakeServer
from tests.tracker.site import MASTER_KEY

DENIALS = int(os.environ.get("REPRIEVE_BENCH_DENIALS", "20000"))
PAIRS = int(os.environ.get("REPRIEVE_BENCH_PAIRS", "3"))
NOTIFICATIONS = 100
_FIRST_LOOK_SECONDS = 3.0
_LOOK_AND_WAIT_SECONDS = 35.0
"""Until what was recorded last has been looked at and told: two looks and a group's wait."""
_REST_SECONDS = 15.0
_PATIENCE_SECONDS = 120.0


class Spent(NamedTuple):
    """Seconds of the clock, and of the processor: recording in Python, PostgreSQL, tracker-alerts."""

    clock: float
    recording: float
    postgres: float
    alerts: float

    @property
    def processor(self) -> float:
        return self.recording + self.postgres + self.alerts


def main() -> None:
    """Measure and print."""
    server = PostgresForTests()
    records = [record_of(one) for one in decided(DENIALS)]

    async def measure_all(_stop: asyncio.Event) -> None:
        await throughput(server, records)
        await deliveries(server)

    try:
        run(measure_all, process="bench", log_level="CRITICAL")
    finally:
        server.stop()


async def throughput(server: PostgresForTests, records: Sequence[Record]) -> None:
    """Record without and with alerts, turn by turn."""
    print(f"Recording {len(records):,} denials without and with tracker-alerts, {PAIRS} times each:")
    ratios, more = [], []
    for number in range(PAIRS):
        spent = {}
        for alerts in (False, True) if number % 2 == 0 else (True, False):
            spent[alerts] = await recording(server, records, alerts=alerts)
            show("on" if alerts else "off", spent[alerts], len(records))
        ratios.append(spent[False].clock / spent[True].clock)
        more.append(spent[True].processor / spent[False].processor)
        print(f"      throughput on / off {ratios[-1]:.3f}, processor {more[-1]:.3f}", flush=True)
    print(
        f"  Median of {PAIRS}: throughput with alerts / without {statistics.median(ratios):.3f},"
        f" processor seconds {statistics.median(more):.3f}"
    )


def show(name: str, spent: Spent, count: int) -> None:
    each = 1e6 / count
    print(
        f"  {name:<4}{count / spent.clock:8,.0f} a second; µs a denial: recording"
        f" {spent.recording * each:5.0f}, PostgreSQL {spent.postgres * each:5.0f},"
        f" alerts {spent.alerts * each:5.0f}",
        flush=True,
    )


async def recording(server: PostgresForTests, records: Sequence[Record], *, alerts: bool) -> Spent:
    """Record all on a fresh database, with a process beside it or without; then see what it uses at rest."""
    database = await server.fresh()
    await an_organization(database)
    engine = create_engine(database.url("reprieve_tracker"), name="bench", pool_size=2)
    try:
        await a_channel(engine, "http://127.0.0.1:9/hook")
        if not alerts:
            return await record_all(server, engine, records, None)
        async with tracker_alerts(database) as process:
            await asyncio.sleep(_FIRST_LOOK_SECONDS)
            began = time.perf_counter()
            spent = await record_all(server, engine, records, process)
            seconds = time.perf_counter() - began
            alerts, postgres = processor_seconds(process), postgres_seconds(server)
            await asyncio.sleep(_REST_SECONDS)
            alerts = (processor_seconds(process) - alerts) / _REST_SECONDS
            postgres = (postgres_seconds(server) - postgres) / _REST_SECONDS
            print(f"      at rest, of a processor: alerts {alerts:.2%}, PostgreSQL {postgres:.2%}")
            return spent._replace(
                alerts=spent.alerts - alerts * seconds, postgres=spent.postgres - postgres * seconds
            )
    finally:
        await engine.dispose()


async def record_all(
    server: PostgresForTests, engine: AsyncEngine, records: Sequence[Record], process: psutil.Process | None
) -> Spent:
    """Record, and let alerts see all of it: what it uses after the last record belongs to them too."""
    clock, python, postgres = time.perf_counter(), time.process_time(), postgres_seconds(server)
    alerts = processor_seconds(process) if process else 0.0
    for start in range(0, len(records), BATCH):
        await record_batch(engine, [receive(one, VIEWS) for one in records[start : start + BATCH]])
    clock, python = time.perf_counter() - clock, time.process_time() - python
    if process:
        await asyncio.sleep(_LOOK_AND_WAIT_SECONDS)
        alerts = processor_seconds(process) - alerts
    return Spent(clock, python, postgres_seconds(server) - postgres, alerts)


def processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def an_organization(database: Database) -> None:
    """Make the one that the simulated denials are of."""
    owner = create_engine(database.owner, name="bench", pool_size=1)
    try:
        wrapped = MasterKey.from_text(MASTER_KEY).wrap(
            os.urandom(KEY_BYTES), context=index_key_context(ORGANIZATION)
        )
        async with transaction(owner) as connection:
            await connection.execute(_ORGANIZATION, {"organization_id": ORGANIZATION, "wrapped": wrapped})
    finally:
        await owner.dispose()


_ORGANIZATION = text("""
    insert into access.organizations (organization_id, name, time_zone, wrapped_index_key)
    values (:organization_id, 'Bench', 'UTC', :wrapped)
""")


async def a_channel(engine: AsyncEngine, url: str) -> UUID:
    place = {"organization_id": ORGANIZATION, "channel_id": uuid4()}
    secret = Secret(current=str(KINDS["webhook"].make_secret()))
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        await channels.add_channel(
            connection,
            **place,
            name=str(place["channel_id"]),
            kind="webhook",
            settings={"url": url},
            sealed_secret=channels.seal_secret(MasterKey.from_text(MASTER_KEY), secret, **place),
            rate_per_minute=1_000_000,
        )
    return place["channel_id"]


@asynccontextmanager
async def tracker_alerts(database: Database) -> AsyncIterator[psutil.Process]:
    """Run the process as an installation does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "REPRIEVE_DATABASE_URL": database.url("reprieve_tracker"),
        "REPRIEVE_MASTER_KEY": MASTER_KEY,
        "REPRIEVE_PORT": str(port),
        "REPRIEVE_LOG_LEVEL": "CRITICAL",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from services.serve import serve; serve('tracker-alerts')",
        env={**os.environ, **settings},
    )  # fmt: skip
    try:
        await until_ready(f"http://127.0.0.1:{port}/readyz")
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


async def until_ready(url: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    async with httpx2.AsyncClient() as client:
        while True:
            try:
                if (await client.get(url)).is_success:
                    return
            except httpx2.TransportError:
                pass
            if time.monotonic() > deadline:
                raise SystemExit("tracker-alerts does not become ready.")
            await asyncio.sleep(0.1)


async def deliveries(server: PostgresForTests) -> None:
    """Deliver to a healthy webhook alone, and then beside ill ones."""
    print(f"Delivering {NOTIFICATIONS} notifications to a healthy webhook:")
    alone = await delivery_rate(server, ill=())
    beside = await delivery_rate(server, ill=(HANG, DRIP, Answer(503)))
    print(f"  alone {alone:.0f} a second, beside three ill ones {beside:.0f}; ratio {beside / alone:.2f}")


async def delivery_rate(server: PostgresForTests, *, ill: Sequence[Answer | str]) -> float:
    database = await server.fresh()
    await an_organization(database)
    engine = create_engine(database.url("reprieve_tracker"), name="bench", pool_size=10)
    well = await FakeServer().start()
    sick = [await FakeServer(always=one).start() for one in ill]
    try:
        for one in (well, *sick):
            await tell(engine, await a_channel(engine, one.url))
        delivery = Delivery(
            engine=engine,
            master_key=MasterKey.from_text(MASTER_KEY),
            network=Network(allow_hosts=("127.0.0.1",), timeout_seconds=1.0),
            runbooks_url="https://reprieve.example/runbooks/",
            attempt_seconds=2.0,
            poll_seconds=0.1,
        )
        stop = asyncio.Event()
        running = asyncio.create_task(deliver_notifications(delivery, health=Health(), stop=stop))
        began = time.perf_counter()
        while len(well.requests) < NOTIFICATIONS:
            if time.perf_counter() - began > _PATIENCE_SECONDS:
                raise SystemExit("The healthy channel was not told in time.")
            await asyncio.sleep(0.01)
        seconds = time.perf_counter() - began
        stop.set()
        await running
        return NOTIFICATIONS / seconds
    finally:
        for one in (well, *sick):
            await one.stop()
        await engine.dispose()


async def tell(engine: AsyncEngine, channel_id: UUID) -> None:
    """Leave the notifications of a channel, each of a group of its own."""
    async with transaction(engine, organizations=[ORGANIZATION]) as connection:
        for number in range(NOTIFICATIONS):
            await notifications.add_notification(
                connection,
                organization_id=ORGANIZATION,
                notification_id=uuid4(),
                channel_id=channel_id,
                group_key=str(number),
                dedup_key=f"{channel_id}:{number}",
                kind="firing",
                severity="info",
                content=Content(title="One case close to its deadline", rule="Deadline comes closer"),
            )


if __name__ == "__main__":
    main()
