"""
Small files through the HTTP door, each durable with its receipt before its 2xx: how many a second.

    reprieve bench doors        REPRIEVE_BENCH_FILES (default 10000), REPRIEVE_BENCH_CONNECTIONS (default 32)

The door is the process ingest-api, as it is served; PostgreSQL waits for its disk (fsync on). The client
speaks HTTP/1.1 over kept connections and costs as little as it can, since it shares the processors. Nobody
reads the files meanwhile. Disk flushes of PostgreSQL are counted by itself, those of the door by wrapping
os.fsync in its process.
"""

import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from services.embedded import postgres
from services.ingest.simulate import Simulation, simulate
from shared.postgres import create_engine, rows, transaction
from shared.postgres.migrate import let_roles_log_in, upgrade
from shared.security import administration
from tests.http.test_server_and_client import free_port

FILES = int(os.environ.get("REPRIEVE_BENCH_FILES", "10000"))
CONNECTIONS = int(os.environ.get("REPRIEVE_BENCH_CONNECTIONS", "32"))
_START_SECONDS = 60
_FLUSHES = "select coalesce(sum(fsyncs), 0)::bigint as count from pg_stat_io"

_COUNTING_DOOR = """
import atexit, os, sys
real, counted = os.fsync, [0]
def fsync(descriptor):
    counted[0] += 1
    return real(descriptor)
os.fsync = fsync
atexit.register(lambda: print(counted[0], file=open(os.environ["FSYNCS_FILE"], "w")))
sys.argv = ["reprieve", "serve", "ingest-api"]
from services.cli import main
main()
"""


@dataclass
class Door:
    """A running ingest-api."""

    port: int
    key: str
    child: subprocess.Popen[bytes]


@dataclass
class Measured:
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="reprieve-bench-") as folder:
        passwords = {"postgres": secrets.token_hex(8), "reprieve_owner": secrets.token_hex(8)}
        server = postgres.start(Path(folder) / "pg", passwords)
        try:
            asyncio.run(server.ensure_database("bench"))
            upgrade(server.url("reprieve_owner", "bench"))
            measure(server, Path(folder))
        finally:
            server.stop()


def measure(server: postgres.EmbeddedPostgres, folder: Path) -> None:
    """Send the files and print what came of it."""
    owner = server.url("reprieve_owner", "bench")
    asyncio.run(let_roles_log_in(owner, {"reprieve_ingest": "bench"}))
    key = asyncio.run(a_key(owner))
    files = list(small_files(FILES))
    counted = folder / "fsyncs"
    url = server.url("reprieve_ingest", "bench", "bench")
    with (folder / "door.log").open("wb") as log:
        door = start(url, folder, key, counted, log)
        try:
            before = processor_seconds(door, server)
            flushed = asyncio.run(flushes(server))
            measured = asyncio.run(send(door, files))
            flushed = asyncio.run(flushes(server)) - flushed
            spent = {name: after - before[name] for name, after in processor_seconds(door, server).items()}
        finally:
            door.child.terminate()
            door.child.wait()
    show(measured, files, spent, flushed, int(counted.read_text()))


def show(
    measured: Measured, files: list[bytes], spent: dict[str, float], flushed: int, door_flushed: int
) -> None:
    cuts = statistics.quantiles(measured.latencies, n=100)
    size = sum(map(len, files)) / len(files)
    print(
        f"{len(files):,} files of {size:,.0f} bytes, {CONNECTIONS} connections, {os.cpu_count()} processors"
    )
    print(f"  {len(files) / measured.seconds:,.0f} files a second; answers {measured.statuses}")
    print(f"  p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms")
    print(
        "  processor milliseconds a file: "
        + ", ".join(f"{k} {v / len(files) * 1000:.2f}" for k, v in spent.items())
    )
    print(
        f"  disk flushes a file: door {door_flushed / len(files):.2f}, PostgreSQL {flushed / len(files):.2f}"
    )


async def a_key(owner: str) -> str:
    """Give a submitter's key."""
    engine = create_engine(owner, name="bench")
    submitter = await administration.create_submitter(engine, name="Bench")
    made = await administration.create_principal_with_key(
        engine, role="submitter", name="bench", submitter_id=submitter.submitter_id
    )
    await engine.dispose()
    return made.text


def small_files(count: int) -> Iterator[bytes]:
    """Give so many remittances of a few claims, each with a trace number of its own."""
    patterns = [b"".join(simulate(Simulation(seed=seed, claims=3))) for seed in range(50)]
    for number in range(count):
        yield patterns[number % len(patterns)].replace(b"TRN*1*", b"TRN*1*%d" % number)


def start(url: str, folder: Path, key: str, counted: Path, log: object) -> Door:
    """Start ingest-api, wait until it is ready, open a feed."""
    port = free_port()
    environment = {
        **os.environ,
        "REPRIEVE_DATABASE_URL": url,
        "REPRIEVE_MASTER_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "REPRIEVE_RAW_DIR": str(folder / "raw"),
        "REPRIEVE_PORT": str(port),
        "FSYNCS_FILE": str(counted),
    }
    child = subprocess.Popen([sys.executable, "-c", _COUNTING_DOOR], env=environment, stderr=log)  # noqa: S603
    door = Door(port, key, child)
    asyncio.run(ready(door))
    return door


async def ready(door: Door) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            connection = await Connection.open(door)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
            continue
        await connection.post("/v1/feeds", json.dumps({"name": "bench"}).encode(), "application/json")
        connection.close()
        return


@dataclass
class Connection:
    """One kept HTTP/1.1 connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: str

    @classmethod
    async def open(cls, door: Door) -> "Connection":
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        return cls(reader, writer, f"Host: door\r\nAuthorization: Bearer {door.key}\r\n")

    async def post(self, path: str, body: bytes, media_type: str) -> int:
        """Send and give the answer's status."""
        sizes = f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        head = f"POST {path} HTTP/1.1\r\n{self.head}{sizes}"
        self.writer.write(head.encode() + body)
        answered = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in answered.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        await self.reader.readexactly(length)
        return int(answered.split(b" ", 2)[1])

    def close(self) -> None:
        self.writer.close()


async def send(door: Door, files: list[bytes]) -> Measured:
    """Send every file over the connections, each as soon as one is free."""
    measured = Measured()
    waiting = iter(files)

    async def work() -> None:
        connection = await Connection.open(door)
        for body in waiting:
            started = time.perf_counter()
            status = await connection.post("/v1/remittances?feed=bench", body, "application/edi-x12")
            measured.latencies.append(time.perf_counter() - started)
            measured.statuses[status] = measured.statuses.get(status, 0) + 1
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    measured.seconds = time.perf_counter() - started
    return measured


async def flushes(server: postgres.EmbeddedPostgres) -> int:
    """Ask PostgreSQL how often it waited for its disk so far."""
    engine = create_engine(server.url("postgres", "bench"), name="bench")
    async with transaction(engine) as connection:
        (row,) = await rows(connection, _FLUSHES)
    await engine.dispose()
    return int(row.count)


def processor_seconds(door: Door, server: postgres.EmbeddedPostgres) -> dict[str, float]:
    """Give user and system time so far: the door, PostgreSQL with its children, this client."""
    database = postgres.running_server(server.pgdata)
    assert database is not None  # noqa: S101
    return {
        "door": _spent(psutil.Process(door.child.pid)),
        "PostgreSQL": sum(_spent(one) for one in (database, *database.children())) + _of_ended(database),
        "client": _spent(psutil.Process()),
    }


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _of_ended(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
