"""ingest's real processes, started as an operator starts them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.ingest.site import MASTER_KEY_TEXT
from tests.support.brokers import Broker
from tests.support.database import Database
from tests.support.ports import free_port

REPRIEVE = str(Path(sys.executable).with_name("reprieve"))
START_SECONDS = 120
ENVIRONMENT: dict[str, str] = {}  # what a test sets beside the rest


@dataclass
class Process:
    url: str
    child: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def stop(self) -> int:
        """End it as an orchestrator does; gives its exit status."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(timeout=60)

    async def ready(self) -> "Process":
        deadline = time.monotonic() + START_SECONDS
        async with httpx2.AsyncClient() as client:
            while time.monotonic() < deadline:
                assert self.child.poll() is None, self.log.read_text()[-3000:]
                try:
                    if (await client.get(f"{self.url}/readyz")).is_success:
                        return self
                except httpx2.TransportError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError(self.log.read_text()[-3000:])


@contextmanager
def serve(
    process: str,
    *,
    database: Database,
    broker: Broker,
    folder: Path,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Run `reprieve serve PROCESS` and kill it at the end, if it is still there."""
    port = free_port()
    log = folder / f"{process}-{port}.log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("REPRIEVE_")},
        "REPRIEVE_DATABASE_URL": database.url("reprieve_ingest"),
        "REPRIEVE_MASTER_KEY": MASTER_KEY_TEXT,
        "REPRIEVE_RAW_DIR": str(folder / "raw"),
        "REPRIEVE_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
        "REPRIEVE_KAFKA_WINDOW_BYTES": str(broker.window_bytes),
        "REPRIEVE_HOST": "127.0.0.1",
        "REPRIEVE_PORT": str(port),
        **ENVIRONMENT,
        **(settings or {}),
    }
    with log.open("wb") as written:
        child = subprocess.Popen(
            [REPRIEVE, "serve", process], env=environment, stdout=written, stderr=written
        )
    running = Process(f"http://127.0.0.1:{port}", child, log)
    try:
        yield running
    finally:
        if child.poll() is None:
            running.kill()


async def until(condition, *, seconds: float = 120.0):
    """Poll until `condition()` gives something true, and give it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := await condition():
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{condition} stayed false for {seconds} seconds")
