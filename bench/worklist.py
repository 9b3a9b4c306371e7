"""
Lists over a million cases: how long a page of 50 takes at a hundred requests a second, beside the bare SQL.

    reprieve bench worklist        REPRIEVE_BENCH_CASES (default 1000000), REPRIEVE_BENCH_RATE (default 100),
                                   REPRIEVE_BENCH_SECONDS (default 30)

Four organizations of very different size, most cases in one; few payers have most. tracker-api runs in a
process of its own on the same machine as its database. Requests leave on time, whether or not earlier ones
were answered, and their time counts from when they were to leave. The ten questions of docs/api.md, each
filter alone under the default order, and the other orders, in turn. The same queries follow without HTTP: the
ratio holds on other machines. The processor's milliseconds are told too, those of this program apart. That no
query reads all cases is for a test (tests/tracker/test_plans.py, REPRIEVE_TEST_CASES=1000000).
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import cycle, islice
from multiprocessing import get_context
from statistics import median, quantiles
from typing import NamedTuple
from uuid import UUID

import asyncpg
import httpx2
import psutil
from sqlalchemy import text

from bench.recording import postgres_seconds
from services.tracker.app import api_app
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


async def measure(server: PostgresForTests, database: Database) -> None:
    known, asking = await load(database)
    process = get_context("spawn").Process(target=serve_api, args=(database.url("reprieve_tracker"),))
    process.start()
    try:
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{PORT}",
            headers={"Authorization": f"Bearer {asking.key}"},
            timeout=60,
            limits=httpx2.Limits(max_connections=None, keepalive_expiry=2.0),
        ) as client:

            async def ask(path: str) -> None:
                answer = await client.get(path)
                if answer.status_code != 200:
                    sys.exit(f"{path}: {answer.status_code} {answer.text}")

            await wait_for(client)
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


async def wait_for(client: httpx2.AsyncClient) -> None:
    while True:
        try:
            await client.get("/livez")
        except httpx2.TransportError:
            await asyncio.sleep(0.2)
        else:
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
    return quantiles(some, n=100)[98]


def main() -> None:
    server = PostgresForTests()
    try:
        asyncio.run(with_database(server))
    finally:
        server.stop()


async def with_database(server: PostgresForTests) -> None:
    await measure(server, await server.fresh())


if __name__ == "__main__":
    main()
