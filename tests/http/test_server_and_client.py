"""A server ends when it is told to, after what it is doing; the command line's client explains what went wrong."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from shared.errors import (
    ConflictError,
    DeniedError,
    InvalidInputError,
    NotFoundError,
    ReprieveError,
    UnauthenticatedError,
    UnavailableError,
)
from shared.http.app import create_app
from shared.http.client import Stack, raise_for_problem
from shared.http.probes import Health
from shared.http.problems import add_problem_handlers
from shared.http.server import serve
from shared.postgres import create_engine
from tests.security.support import a_key
from tests.support.database import Database
from tests.support.ports import free_port


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[tuple[str, asyncio.Event]]:
    stop, port = asyncio.Event(), free_port()
    task = asyncio.create_task(serve(app, "127.0.0.1", port, stop))
    try:
        async with asyncio.timeout(40):
            async with httpx2.AsyncClient() as client:
                while True:
                    with suppress(httpx2.TransportError):
                        await client.get(f"http://127.0.0.1:{port}/")
                        break
                    await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{port}", stop
    finally:
        stop.set()
        await task


async def test_a_request_under_way_is_answered_before_the_server_ends():
    app, entered, release = FastAPI(), asyncio.Event(), asyncio.Event()

    @app.get("/slow")
    async def slow() -> str:
        entered.set()
        await release.wait()
        return "done"

    before = signal.getsignal(signal.SIGTERM)
    async with serving(app) as (url, stop), httpx2.AsyncClient() as client:
        answer = asyncio.create_task(client.get(f"{url}/slow"))
        await asyncio.wait_for(entered.wait(), 20)
        stop.set()
        await asyncio.sleep(0)
        release.set()
        assert (await answer).json() == "done"
        assert signal.getsignal(signal.SIGTERM) is before


async def test_bodies_stream_through_without_being_kept():
    app, sizes = FastAPI(), []

    @app.post("/upload")
    async def upload(request: Request) -> int:
        sizes.extend([len(chunk) async for chunk in request.stream()])
        return sum(sizes)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 65536

    async with serving(app) as (url, _), httpx2.AsyncClient() as client:
        answer = await client.post(f"{url}/upload", content=body())
    assert answer.json() == 64 * 65536
    assert max(sizes) < 64 * 65536


async def test_a_taken_port_is_told_with_a_remedy():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InvalidInputError, match="REPRIEVE_PORT"):
            await serve(FastAPI(), "127.0.0.1", taken.getsockname()[1], asyncio.Event())


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("INGEST_URL", "TRIAGE_URL", "TRACKER_URL", "API_KEY"):
        monkeypatch.delenv(f"REPRIEVE_{name}", raising=False)
    return monkeypatch


def up_json(folder: Path, **members: Any) -> Path:
    (folder / "up.json").write_text(json.dumps(members))
    return folder


def test_a_stack_is_found_in_its_file_and_the_environment_wins(tmp_path: Path, clean_environment):
    folder = up_json(
        tmp_path,
        ingest_url="http://127.0.0.1:1",
        tracker_url="http://127.0.0.1:3",
        keys={"biller": "rpv_b"},
        feed="demo",
        processes={"ingest-api": {"pid": 1}},
    )
    stack = Stack.find(folder)
    assert stack.feed == "demo"
    with stack.client("tracker", "biller") as client:
        assert client.headers["authorization"] == "Bearer rpv_b"
        assert str(client.base_url) == "http://127.0.0.1:3"
    clean_environment.setenv("REPRIEVE_TRACKER_URL", "http://127.0.0.1:4")
    clean_environment.setenv("REPRIEVE_API_KEY", "rpv_env")
    with Stack.find(folder).client("tracker", "auditor") as client:
        assert client.headers["authorization"] == "Bearer rpv_env"
        assert str(client.base_url) == "http://127.0.0.1:4"
    assert "rpv_" not in repr(Stack.find(folder))


def test_what_is_missing_is_told_with_a_remedy(tmp_path: Path, clean_environment):
    with pytest.raises(InvalidInputError, match="reprieve up"):
        Stack.find(tmp_path)
    stack = Stack.find(up_json(tmp_path, ingest_url="http://127.0.0.1:1"))
    with pytest.raises(InvalidInputError, match="REPRIEVE_TRIAGE_URL"):
        stack.client("triage", "operator")
    with pytest.raises(InvalidInputError, match="no key of the role operator"):
        stack.client("ingest", "operator")
    (tmp_path / "up.json").write_text("{")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        Stack.find(tmp_path)


def test_a_silent_service_is_named(tmp_path: Path, clean_environment):
    stack = Stack.find(
        up_json(tmp_path, ingest_url=f"http://127.0.0.1:{free_port()}", keys={"operator": "k"})
    )
    with (
        stack.client("ingest", "operator") as client,
        pytest.raises(UnavailableError, match="ingest does not answer"),
    ):
        client.get("/livez")


@pytest.mark.parametrize(
    ("members", "remedy"), [({"starting": True}, "is still starting"), ({}, "Is `reprieve up`")]
)
def test_a_stack_that_is_still_starting_is_told_from_one_that_does_not_run(
    tmp_path: Path, clean_environment, members: dict[str, Any], remedy: str
):
    url = f"http://127.0.0.1:{free_port()}"
    stack = Stack.find(up_json(tmp_path, ingest_url=url, keys={"operator": "k"}, **members))
    with stack.client("ingest", "operator") as client, pytest.raises(UnavailableError) as raised:
        client.get("/livez")
    assert remedy in (raised.value.remedy or "")


async def test_an_answer_that_breaks_off_never_passes_for_a_whole_one(
    database: Database, tmp_path: Path, clean_environment
):
    engine = create_engine(database.url("reprieve_triage"), name="test")
    app = create_app(title="Test", version="1", engine=engine, health=Health())

    @app.get("/rows")
    async def rows() -> StreamingResponse:
        async def stream() -> AsyncIterator[bytes]:
            yield b'{"row": 1}\n'
            raise UnavailableError("The database does not answer.")

        return StreamingResponse(stream())

    def read(folder: Path) -> list[str]:
        with (
            Stack.find(folder).client("triage", "operator") as client,
            client.stream("GET", "/rows") as answer,
        ):
            return list(raise_for_problem(answer).iter_lines())

    async with serving(app) as (url, _):
        folder = up_json(tmp_path, triage_url=url, keys={"operator": await a_key(database, "operator")})
        with pytest.raises(UnavailableError, match="triage broke off"):
            await asyncio.to_thread(read, folder)
    await engine.dispose()


@pytest.mark.parametrize(
    "raised",
    [InvalidInputError, NotFoundError, DeniedError, UnauthenticatedError, ConflictError, UnavailableError],
)
async def test_an_error_crosses_http_and_stays_itself(raised: type[ReprieveError]):
    app = FastAPI()
    add_problem_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise raised("This is wrong.", remedy="Do that.")

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://x") as client:
        answer = await client.get("/")
    with pytest.raises(raised) as caught:
        raise_for_problem(answer)
    assert type(caught.value) is raised
    assert (caught.value.message, caught.value.remedy) == ("This is wrong.", "Do that.")


def test_an_answer_that_is_no_problem_is_still_an_error():
    with pytest.raises(UnavailableError, match="502"):
        raise_for_problem(httpx2.Response(502, text="<html>bad gateway"))
    good = httpx2.Response(200, text="fine")
    assert raise_for_problem(good) is good
