"""
From push to settled: denied claims per second, on a fresh stack, on Apache Kafka and on the embedded broker.

    reprieve bench end_to_end        REPRIEVE_BENCH_CLAIMS (default 100000), REPRIEVE_BENCH_BROKERS
    (apache,embedded)

Settled means: the ledger holds every denial, its receipt came back, and ingest has stamped the row. The
clock runs from the first byte of the push to the last stamp. A smaller file goes before, so that what is
measured is a stack at work and not Java compiling itself; "kafka" is that Java, set up as for one small
machine. The feed asks for no acknowledgments: its validators, which run beside the rest at the lowest
priority, would take what is idle of two processors. Two mixes: 15% of the claims denied, as in practice,
and all of them, which shows what the path of a denial alone can carry.
"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psutil

from services.ingest.simulate import Simulation, simulate
from shared.http.client import Stack, raise_for_problem
from shared.postgres import create_engine, rows, transaction
from tests.support.apache_kafka import ApacheKafka
from tests.support.stack import Up

CLAIMS = int(os.environ.get("REPRIEVE_BENCH_CLAIMS", "100000"))
BROKERS = os.environ.get("REPRIEVE_BENCH_BROKERS", "apache,embedded").split(",")
MIXES = (0.15, 1.0)
WARM_UP_DENIALS = 3000
_PATIENCE_SECONDS = 900

_UNSETTLED = "select exists (select from ingest.claim_events where settled_at is null) as some"
_DENIALS = "select count(*) as number from tracker.ledger where type = 'DenialTriaged'"


@dataclass(frozen=True, slots=True)
class Measured:
    seconds: float
    claims: int
    denials: int
    processor_seconds: dict[str, float]


def main() -> None:
    """Measure and print."""
    print(f"From push to settled, {CLAIMS:,} claims a file, {os.cpu_count()} processors, a fresh stack each.")
    for broker in BROKERS:
        for mix in MIXES:
            with (
                tempfile.TemporaryDirectory(prefix="reprieve-bench-") as folder,
                kafka(broker, Path(folder)) as node,
            ):
                show(broker, mix, measure(Path(folder), mix, node))


@contextmanager
def kafka(broker: str, folder: Path) -> Iterator[ApacheKafka | None]:
    """Start Apache Kafka, unless `reprieve up` is to start the embedded broker."""
    if broker == "embedded":
        yield None
        return
    node = ApacheKafka(folder / "kafka")
    node.start()
    try:
        yield node
    finally:
        node.stop()


def measure(folder: Path, mix: float, node: ApacheKafka | None) -> Measured:
    """Run one file through one fresh stack."""
    claims = CLAIMS if mix < 1 else CLAIMS // 5
    warm_up = write(folder / "warm-up.835", seed=6, claims=WARM_UP_DENIALS, mix=1.0)
    file = write(folder / "bench.835", seed=7, claims=claims, mix=mix)
    up = Up(folder / ".reprieve", *(["--kafka", node.bootstrap] if node else [])).wait_until_ready()
    try:
        ask_for_no_acknowledgments(up)
        there = wait_until_settled(up, push(up, warm_up))
        before = processor_seconds(up, node)
        began = time.perf_counter()
        denials = wait_until_settled(up, push(up, file)) - there
        seconds = time.perf_counter() - began
        spent = {name: after - before.get(name, 0) for name, after in processor_seconds(up, node).items()}
    finally:
        up.end()
        shutil.rmtree(up.folder, ignore_errors=True)
    return Measured(seconds, claims, denials, spent)


def write(file: Path, *, seed: int, claims: int, mix: float) -> Path:
    with file.open("wb") as out:
        out.writelines(simulate(Simulation(seed=seed, claims=claims, denied=mix, reversed=0.0)))
    return file


def ask_for_no_acknowledgments(up: Up) -> None:
    """Leave the validators out: they would fill every moment in which the others wait."""
    stack = Stack.find(up.folder)
    with stack.client("ingest", "submitter") as client:
        raise_for_problem(client.patch(f"/v1/feeds/{stack.feed}", json={"acknowledgment": "none"}))


def push(up: Up, file: Path) -> str:
    """Push as a clearinghouse does: one request, the file as its body. Gives the receipt's id."""
    stack = Stack.find(up.folder)
    with stack.client("ingest", "submitter") as client, file.open("rb") as body:
        blocks = iter(lambda: body.read(1 << 20), b"")
        answer = client.post("/v1/remittances", params={"feed": stack.feed}, content=blocks)
        return str(raise_for_problem(answer).json()["receipt_id"])


def wait_until_settled(up: Up, receipt_id: str) -> int:
    """Wait for the last stamp; gives how many denials the ledger has."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with Stack.find(up.folder).client("ingest", "submitter") as client:
        while raise_for_problem(client.get(f"/v1/remittances/{receipt_id}")).json()["status"] != "processed":
            give_up_after(deadline, up)

    async def watch() -> int:
        engine = create_engine(up.up_file["admin_database_url"], name="bench", pool_size=1)
        try:
            while True:
                async with transaction(
                    engine, organizations=[UUID(up.up_file["organization_id"])]
                ) as connection:
                    (unsettled,) = await rows(connection, _UNSETTLED)
                    if not unsettled.some:
                        (denials,) = await rows(connection, _DENIALS)
                        return int(denials.number)
                give_up_after(deadline, up)
        finally:
            await engine.dispose()

    return asyncio.run(watch())


def give_up_after(deadline: float, up: Up) -> None:
    """Wait a little, or end with the logs when it takes too long."""
    if time.monotonic() > deadline:
        raise SystemExit(f"Not settled after {_PATIENCE_SECONDS} s.{up.logs()}")
    time.sleep(0.3)


def processor_seconds(up: Up, node: ApacheKafka | None) -> dict[str, float]:
    """What each process has used so far."""
    spent = {"kafka": used(psutil.Process(node.pid))} if node else {}
    for name, process in up.up_file["processes"].items():
        spent[name] = used(psutil.Process(process["pid"]))
    postmaster = psutil.Process(up.postgres_pid())
    ended = postmaster.cpu_times()  # backends and ANALYZE workers that are gone already
    spent["postgres"] = (
        sum(used(each) for each in [postmaster, *postmaster.children()])
        + ended.children_user
        + ended.children_system
    )
    return spent


def used(process: psutil.Process) -> float:
    """Give user and system time; 0 for one of PostgreSQL's that has ended meanwhile."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def show(broker: str, mix: float, measured: Measured) -> None:
    """Print one measurement."""
    seconds = measured.seconds
    print(
        f"{broker:>9}, {mix:4.0%} denied: {measured.denials / seconds:8,.0f} denied claims a second"
        f" ({measured.claims / seconds:,.0f} claims; {measured.denials:,} denials in {seconds:.1f} s)"
    )
    busy = ", ".join(
        f"{name} {spent:.1f}" for name, spent in measured.processor_seconds.items() if spent >= 0.1
    )
    print(f"           processor seconds: {busy}", flush=True)


if __name__ == "__main__":
    main()
