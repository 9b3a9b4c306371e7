"""
Lists over a million cases: how long a page of 50 takes at a hundred requests a second, beside the bare SQL.

    reprieve bench worklist        REPRIEVE_BENCH_CASES (default 1000000), REPRIEVE_BENCH_RATE (default 100),
                                   REPRIEVE_BENCH_SECONDS (default 20)

Four organizations of very different size, most cases in one; few payers have most. tracker-api runs in
a process of its own on the same machine as its database. Requests leave on time, whether or not earlier ones
were answered, so that waiting counts. Each filter alone under the default order, the other orders, and the
worklist, in turn. The plain list follows without HTTP: the ratio holds on other machines. That no query reads
all cases is for a test (tests/tracker/test_plans.py, REPRIEVE_TEST_CASES=1000000).
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import cycle, islice
from multiprocessing import get_context
from statistics import median, quantiles

import asyncpg
import httpx2
from sqlalchemy import text

from services.tracker.app import api_app
from services.tracker.store.filters import Filters
from services.tracker.store.search import page_query
from shared.http.probes import Health
from shared.http.server import serve
from shared.observability.process import run
from shared.postgres import create_engine, transaction
from shared.security.administration import create_principal_with_key
from tests.support.database import Database, PostgresForTests
from tests.support.many_cases import LARGEST, Known, load_cases

CASES = int(os.environ.get("REPRIEVE_BENCH_CASES", "1000000"))
RATE = int(os.environ.get("REPRIEVE_BENCH_RATE", "100"))
SECONDS = int(os.environ.get("REPRIEVE_BENCH_SECONDS", "20"))
PORT = 18183
MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ORDERS = ("-priority", "deadline", "-amount", "-age")


def queries(known: Known) -> list[str]:
    """Give the paths that are asked for in turn."""
    filters = (
        "",
        "state=open&state=partly_paid",
        "state=reversed",
        "category=not_authorization",
        "category=authorization_expired",
        "auth_related=false",
        "payer=Payer 0",
        "payer=Payer 299",
        "deadline_before=2099-01-01",
        "amount_at_least=20000",
        "age_at_most=1",
        f"claim_number=ACCT-1&payer_claim_number={known.payer_claim_number}",
        "facility=1000000039",
        "rendering_npi=1100000007",
        "service_code=705",
        "assignee=none",
        "tag=appeal",
    )
    return [
        "/v1/worklist",
        *(f"/v1/cases?{one}".rstrip("?") for one in filters),
        *(f"/v1/cases?sort={sort}&state=open" for sort in ORDERS),
    ]


def serve_api(url: str) -> None:
    async def work(stop: asyncio.Event) -> None:
        engine = create_engine(url, name="bench", pool_size=10, statement_timeout_seconds=10)
        app = api_app(engine, master_key=MASTER_KEY, health=Health())
        await serve(app, "127.0.0.1", PORT, stop)

    run(work, process="bench", log_level="ERROR")


async def load(database: Database) -> tuple[Known, str]:
    owner = await asyncpg.connect(database.owner.replace("+asyncpg", ""))
    begun = time.perf_counter()
    known = await load_cases(owner, CASES)
    print(f"Loaded {CASES:,} cases in {time.perf_counter() - begun:.0f} s.")
    await owner.execute(
        "insert into access.organizations (organization_id, name, time_zone, wrapped_index_key)"
        " values ($1, 'Largest', 'UTC', '\\x00')",
        LARGEST,
    )
    await owner.close()
    engine = create_engine(database.owner, name="bench")
    key = await create_principal_with_key(engine, role="biller", name="bench", organization_id=LARGEST)
    await engine.dispose()
    return known, key.text


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


async def bare(database: Database) -> float:
    """Give the median milliseconds of the plain list's SQL, with nothing around it."""
    engine = create_engine(database.url("reprieve_tracker"), name="bench", pool_size=1)
    statement, bound = page_query(Filters(), sort="-priority")
    taken = []
    for _ in range(50):
        async with transaction(engine, organizations=[LARGEST]) as connection:
            begun = time.perf_counter()
            await connection.execute(text(statement), {**bound, "organization_id": LARGEST, "limit": 51})
            taken.append((time.perf_counter() - begun) * 1000)
    await engine.dispose()
    return median(taken)


async def measure(database: Database) -> None:
    known, key = await load(database)
    server = get_context("spawn").Process(target=serve_api, args=(database.url("reprieve_tracker"),))
    server.start()
    try:
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{PORT}", headers={"Authorization": f"Bearer {key}"}, timeout=60
        ) as client:

            async def ask(path: str) -> None:
                answer = await client.get(path)
                if answer.status_code != 200:
                    sys.exit(f"{path}: {answer.status_code} {answer.text}")

            await wait_for(client)
            paths = queries(known)
            for path in paths:
                await ask(path)  # what nobody asked for lately lies on the disk
            show(await at_rate(ask, paths), await bare(database))
    finally:
        server.terminate()
        server.join()


async def wait_for(client: httpx2.AsyncClient) -> None:
    while True:
        try:
            await client.get("/livez")
        except httpx2.TransportError:
            await asyncio.sleep(0.2)
        else:
            return


def show(taken: dict[str, list[float]], sql: float) -> None:
    everything = [one for some in taken.values() for one in some]
    print(f"{len(everything):,} pages of 50 at {RATE} a second; milliseconds:")
    for path, some in taken.items():
        print(f"  {path:<62} p50 {median(some):7.1f}  slowest {max(some):7.1f}")
    ends = quantiles(everything, n=100)
    print(f"  {'all':<62} p50 {median(everything):7.1f}  p99 {ends[98]:7.1f}")
    plain = median(taken["/v1/cases"])
    print(f"  plain list {plain:.1f} over bare SQL {sql:.1f}: {plain / sql:.1f}")


def main() -> None:
    server = PostgresForTests()
    try:
        asyncio.run(with_database(server))
    finally:
        server.stop()


async def with_database(server: PostgresForTests) -> None:
    await measure(await server.fresh())


if __name__ == "__main__":
    main()
