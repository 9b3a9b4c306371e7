"""
Lists over a million cases: how long a page of 50 takes at a hundred requests a second, beside the bare SQL.

    reprieve bench worklist        REPRIEVE_BENCH_CASES (default 1000000), REPRIEVE_BENCH_RATE (default 100),
                                   REPRIEVE_BENCH_SECONDS (default 30), REPRIEVE_BENCH_FOLDER (none: where the
                                   loaded database is kept, to be measured again without loading it)

Four organizations of very different size, most cases in one; few payers have most. tracker-api runs in a
process of its own on the same machine as its database, which has the buffers of docker-compose.yml.
Requests leave on time, whether or not earlier ones were answered, and their time counts from when they were
to leave. The ten questions of docs/api.md, each filter alone under the default order, and the other orders,
in turn. The same queries follow without HTTP: the ratio holds on other machines. The processor's
milliseconds are told too, those of this program apart. That no query reads all cases is for a test
(tests/tracker/test_plans.py, REPRIEVE_TEST_CASES=1000000).
"""

import asyncio
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID

import asyncpg
import msgspec
import psutil
import uvloop
from sqlalchemy import text

from bench.recording import postgres_seconds
from services.tracker.app import api_app
from services.tracker.store.search import open_for_lists
from shared.http.probes import Health
from shared.http.server import serve
from shared.observability.process import run
from shared.postgres import create_engine, transaction
from shared.security.administration import create_principal_with_key
from shared.security.principals import Principal
from tests.support.asking import PATHS, queries_of
from tests.support.database import Database, PostgresForTests
from tests.support.many_cases import LARGEST, SOMEBODY, Known, load_cases

CASES = int(os.environ.get("REPRIEVE_BENCH_CASES", "1000000"))
RATE = int(os.environ.get("REPRIEVE_BENCH_RATE", "100"))
SECONDS = int(os.environ.get("REPRIEVE_BENCH_SECONDS", "30"))
FOLDER = os.environ.get("REPRIEVE_BENCH_FOLDER")
BUFFERS = "512MB"
PORT = 18183
MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
FILTERS = (
    "",
    "state=open&state=partly_paid",
    "state=reversed",
    "category=not_authorization",
    "category=authorization_expired",
    "auth_related=false",
    "payer=Payer 0",
    "payer=Payer 299",
    "deadline_before=2099-01-01",
    "deadline_from=2020-01-01",
    "amount_at_least=20000",
    "amount_at_most=20",
    "age_at_most=1",
    "age_at_least=899",
    "facility=1000000039",
    "rendering_npi=1100000007",
    "service_code=705",
    "service_code=G04",
    "needs_human=true",
    "assignee=none",
    "tag=appeal",
    "tag=board",
)
ORDERS = ("priority", "deadline", "-deadline", "amount", "-amount", "age", "-age")


class Asking(NamedTuple):
    """Who asks, and with what key."""

    principal: Principal
    key: str


class Spent(NamedTuple):
    """Seconds of the processor: the API's, PostgreSQL's, and this program's."""

    api: float
    postgres: float
    asking: float


def all_paths(known: Known) -> list[str]:
    """Give the paths that are asked for in turn."""
    numbers = ("claim_number=ACCT-1", f"payer_claim_number={known.payer_claim_number}")
    return [
        *PATHS,
        *(f"/v1/cases?{one}".rstrip("?") for one in (*FILTERS, *numbers)),
        *(f"/v1/cases?sort={sort}" for sort in ORDERS),
    ]


def serve_api(url: str) -> None:
    async def work(stop: asyncio.Event) -> None:
        engine = create_engine(url, name="bench", pool_size=10, statement_timeout_seconds=10)
        app = api_app(engine, master_key=MASTER_KEY, health=Health())
        await open_for_lists(engine)  # as run_api does
        await serve(app, "127.0.0.1", PORT, stop)

    run(work, process="bench", log_level="ERROR")


async def load(database: Database) -> tuple[Known, Asking]:
    owner = await asyncpg.connect(database.owner.replace("+asyncpg", ""))
    begun = time.perf_counter()
    known = await load_cases(owner, CASES)
    print(f"Loaded {CASES:,} cases in {time.perf_counter() - begun:.0f} s.")
    await owner.execute(
        "insert into access.organizations (organization_id, name, time_zone, wrapped_index_key)"
        " values ($1, 'Largest', 'UTC', '\\x00')",
        LARGEST,
    )
    engine = create_engine(database.owner, name="bench")
    key = await create_principal_with_key(engine, role="biller", name="bench", organization_id=LARGEST)
    await engine.dispose()
    me = UUID(str(await owner.fetchval("select principal_id from access.principals where name = 'bench'")))
    await owner.execute("update tracker.cases set assignee_id = $1 where assignee_id = $2", me, SOMEBODY)
    await owner.close()
    return known, Asking(Principal(me, "bench", "biller", organization_id=LARGEST), key.text)


async def loaded(server: PostgresForTests) -> tuple[Database, Known, Asking]:
    """Load a database, or give the one that is kept."""
    note = server.folder / "loaded.json"
    if note.exists():
        name, cases, known, asking = msgspec.json.decode(
            note.read_bytes(), type=tuple[str, int, Known, Asking]
        )
        print(f"Found {cases:,} cases, loaded before.")
        return Database(server.server, name), known, asking
    database = await server.fresh()
    known, asking = await load(database)
    if server.kept:
        note.write_bytes(msgspec.json.encode((database.name, CASES, known, asking)))
    return database, known, asking


class Caller:
    """Asks over connections that stay open, with as little work of its own as HTTP takes."""

    def __init__(self, key: str) -> None:
        self._head = f"Host: bench\r\nAuthorization: Bearer {key}\r\n\r\n"
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __call__(self, path: str) -> None:
        reader, writer = await self._connection()
        writer.write(f"GET {quote(path, safe=_SAFE)} HTTP/1.1\r\n{self._head}".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = re.findall(rb"(?i)\r\ncontent-length: (\d+)", head)
        body = await reader.readexactly(int(length))
        if head.split(b" ", 2)[1] != b"200":
            sys.exit(f"{path}: {head.decode()}{body.decode()}")
        self._idle.append((time.monotonic(), reader, writer))

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            since, reader, writer = self._idle.pop()
            if time.monotonic() - since < _IDLE_SECONDS:
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", PORT)


_SAFE = "/?=&-:"
_IDLE_SECONDS = 2.0  # the server closes what is idle for five


async def at_rate(ask: Callable[[str], Awaitable[object]], paths: list[str]) -> dict[str, list[float]]:
    """Ask at the rate, and give how many milliseconds each path took."""
    taken: dict[str, list[float]] = {path: [] for path in paths}

    async def one(path: str, due: float) -> None:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await ask(path)
        taken[path].append((time.perf_counter() - due) * 1000)

    begun = time.perf_counter()
    asked = islice(cycle(paths), RATE * SECONDS)
    await asyncio.gather(*(one(path, begun + number / RATE) for number, path in enumerate(asked)))
    return taken


async def bare(database: Database, paths: list[str], principal: Principal) -> dict[str, float]:
    """Give the median milliseconds of the SQL of each path's first page, with nothing around it."""
    engine = create_engine(database.url("reprieve_tracker"), name="bench", pool_size=1)
    taken = {}
    for path in paths:
        async with transaction(engine, organizations=[LARGEST]) as connection:
            queries = await queries_of(connection, path, me=principal)
            each = []
            for _ in range(5):
                begun, rows = time.perf_counter(), 0
                for statement, bound in queries:
                    asked = {**bound, "organization_id": LARGEST, "limit": 51 - rows}
                    rows += len((await connection.execute(text(statement), asked)).all())
                    if rows > 50:
                        break
                each.append((time.perf_counter() - begun) * 1000)
            taken[path] = median(each)
    await engine.dispose()
    return taken


async def measure(server: PostgresForTests) -> None:
    database, known, asking = await loaded(server)
    process = get_context("spawn").Process(target=serve_api, args=(database.url("reprieve_tracker"),))
    process.start()
    try:
        ask = Caller(asking.key)
        await wait_for_api()
        paths = all_paths(known)
        for path in paths:
            await ask(path)  # what nobody asked for lately lies on the disk
        before = spent(server, process.pid)
        taken = await at_rate(ask, paths)
        after = spent(server, process.pid)
        show(taken, await bare(database, paths, asking.principal), before, after)
    finally:
        process.terminate()
        process.join()


def spent(server: PostgresForTests, api: int | None) -> Spent:
    used = psutil.Process(api).cpu_times()
    return Spent(used.user + used.system, postgres_seconds(server), time.process_time())


async def wait_for_api() -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", PORT)
        except OSError:
            await asyncio.sleep(0.2)
        else:
            writer.close()
            return


def show(taken: dict[str, list[float]], sql: dict[str, float], before: Spent, after: Spent) -> None:
    everything = [one for some in taken.values() for one in some]
    print(f"{len(everything):,} pages of 50 at {RATE} a second; milliseconds:")
    for path, some in taken.items():
        print(
            f"  {path:<100} p50 {median(some):7.1f}  p99 {_p99(some):7.1f}"
            f"  SQL {sql[path]:6.1f}  ratio {median(some) / sql[path]:4.1f}"
        )
    plain = sum(median(some) for some in taken.values()) / sum(sql.values())
    print(f"  {'all':<100} p50 {median(everything):7.1f}  p99 {_p99(everything):7.1f}  ratio {plain:20.1f}")
    each = [f"{(b - a) * 1000 / len(everything):.1f}" for a, b in zip(before, after, strict=True)]
    print("  processor, milliseconds a page: API {}, PostgreSQL {}; this program {}".format(*each))


def _p99(some: list[float]) -> float:
    return quantiles(some, n=100)[98] if len(some) > 1 else some[0]


def main() -> None:
    server = PostgresForTests(Path(FOLDER) if FOLDER else None)
    # As in docker-compose.yml; a buffer's size is read at the start.
    asyncio.run(server.server.execute(f"alter system set shared_buffers = '{BUFFERS}'"))
    server.server.stop()
    server.server.start_again()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure(server))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
