"""tracker-api as a process: it says what it lacks, answers when it has it, and stops when told."""

import asyncio
import time

import httpx2
import pytest

from services.tracker.app import PROCESSES
from shared.errors import InvalidInputError
from tests.support.ports import free_port
from tests.tracker.site import MASTER_KEY


async def test_the_api_is_ready_with_a_database_and_stops_when_told(database, monkeypatch):
    port = free_port()
    monkeypatch.setenv("REPRIEVE_DATABASE_URL", database.url("reprieve_tracker"))
    monkeypatch.setenv("REPRIEVE_MASTER_KEY", MASTER_KEY)
    monkeypatch.setenv("REPRIEVE_PORT", str(port))
    stop = asyncio.Event()
    running = asyncio.create_task(PROCESSES["tracker-api"](stop))
    answer = await _ready(f"http://127.0.0.1:{port}/readyz")

    stop.set()
    await asyncio.wait_for(running, 60)

    assert answer == {"ready": True, "failing": []}


@pytest.mark.parametrize("process", ["tracker-api", "tracker-worker", "tracker-alerts"])
async def test_missing_settings_are_named_and_no_value_is_shown(process, monkeypatch):
    monkeypatch.delenv("REPRIEVE_DATABASE_URL", raising=False)
    monkeypatch.setenv("REPRIEVE_PORT", "not-a-port")

    with pytest.raises(InvalidInputError, match="REPRIEVE_DATABASE_URL") as refused:
        await PROCESSES[process](asyncio.Event())

    assert "REPRIEVE_PORT" in str(refused.value)
    assert "not-a-port" not in str(refused.value)


async def _ready(url: str) -> dict:
    deadline = time.monotonic() + 60
    async with httpx2.AsyncClient() as client:
        while True:
            try:
                return (await client.get(url)).json()
            except httpx2.TransportError:
                assert time.monotonic() < deadline, "it did not answer in time"
                await asyncio.sleep(0.05)
