"""The real door, served as it is: a killed process, a broken connection and a full disk lose and leave nothing."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from services.ingest.simulate import Simulation, simulate
from tests.ingest.processes import Process, serve, until
from tests.ingest.remittances import TestSet, denied, remittance
from tests.ingest.site import Site
from tests.support.database import Database

FILE = remittance(TestSet([denied("A1")]))
SILENT_BROKER_WINDOW = 1 << 20


class NoBroker:
    """The door needs none; its settings name one all the same."""

    bootstrap = "127.0.0.1:1"
    window_bytes = SILENT_BROKER_WINDOW


def raw_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "raw").rglob("*") if path.is_file()]


async def begin_upload(door: Process, site: Site, *, announced: int, sent: bytes) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", int(door.url.rpartition(":")[2]))
    head = (
        f"POST /v1/remittances?feed=main HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.keys['submitter']}\r\n"
        f"Content-Length: {announced}\r\n\r\n"
    )
    writer.write(head.encode() + sent)
    await writer.drain()
    return writer


async def push(door: Process, site: Site, content: bytes) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=60) as client:
        return await client.post(
            f"{door.url}/v1/remittances?feed=main", content=content, headers=site.headers()
        )


async def test_a_killed_door_acknowledged_nothing_and_takes_the_file_again(
    site: Site, database: Database, tmp_path: Path
):
    large = b"".join(simulate(Simulation(claims=3000)))
    with serve("ingest-api", database=database, broker=NoBroker(), folder=tmp_path) as door:
        await door.ready()
        await begin_upload(door, site, announced=len(large), sent=large[: len(large) // 2])
        await asyncio.sleep(0.3)
        door.kill()
    assert await site.rows("select 1 from ingest.receipts") == []

    with serve("ingest-api", database=database, broker=NoBroker(), folder=tmp_path) as door:
        await door.ready()
        answer = await push(door, site, large)

    assert answer.status_code == 202
    assert answer.json()["size_bytes"] == len(large)


async def test_a_broken_upload_leaves_no_file(site: Site, database: Database, tmp_path: Path):
    with serve("ingest-api", database=database, broker=NoBroker(), folder=tmp_path) as door:
        await door.ready()
        writer = await begin_upload(door, site, announced=5_000_000, sent=os.urandom(2_000_000))
        await asyncio.sleep(0.3)
        writer.transport.abort()

        async def is_clean() -> bool:
            return raw_files(tmp_path) == []

        await until(is_clean)
    assert await site.rows("select 1 from ingest.receipts") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes, where this machine lets us have one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_disk_that_fills_up_is_told_and_recovers(
    site: Site, database: Database, small_disk: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tests.ingest.processes.ENVIRONMENT", {"REPRIEVE_FREE_BYTES_MIN": "0"})
    with serve("ingest-api", database=database, broker=NoBroker(), folder=small_disk) as door:
        await door.ready()
        full = await push(door, site, os.urandom(3_000_000))
        assert full.status_code == 507, full.text
        assert raw_files(small_disk) == []
        assert await site.rows("select 1 from ingest.receipts") == []

        assert (await push(door, site, FILE)).status_code == 202
