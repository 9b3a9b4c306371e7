"""Who dribbles, stands still, lies about a length or sends endless headers holds nothing up for long."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from fastapi import FastAPI, Request

from shared.http import app as app_module
from shared.http import server as server_module
from shared.http.app import create_app
from shared.http.probes import Health
from shared.postgres import create_engine
from tests.http.test_server_and_client import serving
from tests.security.support import a_key
from tests.support.database import Database


class Slow:
    """A server that takes bodies, and the key to it."""

    def __init__(self, port: int, key: str) -> None:
        self.port, self.key = port, key
        self.bodies: list[int] = []

    async def open(self, head: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(head)
        return reader, writer

    def head(self, *lines: str) -> bytes:
        return "\r\n".join(
            ["POST /take HTTP/1.1", "Host: x", f"Authorization: Bearer {self.key}", *lines, "", ""]
        ).encode()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server wait so shortly that a test can wait for the end of it."""
    monkeypatch.setattr(app_module, "BODY_GRACE_SECONDS", 0.5)
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.5)


@pytest.fixture
async def slow(database: Database) -> AsyncIterator[Slow]:
    engine = create_engine(database.url("reprieve_triage"), name="test")
    app = create_app(
        title="Test", version="1", engine=engine, health=Health(), streaming_routes=[("POST", "/take")]
    )
    found = Slow(0, await a_key(database, "operator"))

    @app.post("/take")
    async def take(request: Request) -> int:
        found.bodies.append(sum([len(block) async for block in request.stream()]))
        return found.bodies[-1]

    async with serving(app) as (url, _):
        found.port = int(url.rpartition(":")[2])
        yield found
    await engine.dispose()


async def answer(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), 20)


async def test_a_body_that_stands_still_is_given_up_with_408(impatient: None, slow: Slow):
    reader, writer = await slow.open(slow.head("Content-Length: 1000") + b"begun")

    told = await answer(reader)

    assert told.startswith(b"HTTP/1.1 408 ")
    assert b"urn:reprieve:problem:request-timeout" in told
    assert slow.bodies == []
    writer.close()


async def test_a_body_that_dribbles_is_given_up_as_well(impatient: None, slow: Slow):
    reader, writer = await slow.open(slow.head("Content-Length: 1000"))

    async def dribble() -> None:
        for _ in range(1000):  # the whole body would take fifty seconds
            writer.write(b"x")
            await asyncio.sleep(0.05)

    dribbling = asyncio.create_task(dribble())
    told = b""
    with suppress(ConnectionResetError):  # a byte that meets the closed door may wipe out what was said there
        told = await answer(reader)
    assert told.startswith(b"HTTP/1.1 408 ") or not told
    assert slow.bodies == []
    dribbling.cancel()


async def test_a_body_that_comes_at_a_walking_pace_is_taken(impatient: None, slow: Slow):
    reader, writer = await slow.open(slow.head("Content-Length: 40000", "Connection: close"))
    for _ in range(4):
        writer.write(b"x" * 10_000)
        await asyncio.sleep(0.3)

    assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
    assert slow.bodies == [40_000]


@pytest.mark.parametrize("order", [1, -1])
async def test_a_length_beside_chunks_is_refused_before_any_of_the_body(slow: Slow, order: int):
    told_twice = ["Content-Length: 4", "Transfer-Encoding: chunked"][::order]
    reader, writer = await slow.open(slow.head(*told_twice) + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n")

    told = await answer(reader)  # to the end: the connection is closed

    assert told.startswith(b"HTTP/1.1 400 ")
    assert b"urn:reprieve:problem:malformed-request" in told
    assert told.count(b"HTTP/1.1") == 1 + told.count(b"that HTTP/1.1 allows")
    assert slow.bodies == []
    writer.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/9\r\n\r\n", 400),
        (b"\x16\x03\x01 TLS by mistake\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ],
)
async def test_what_the_server_cannot_parse_is_answered_by_a_problem_with_an_id(request_: bytes, status: int):
    async with serving(FastAPI()) as (url, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(request_)
        head, _, body = (await answer(reader)).partition(b"\r\n\r\n")
        writer.close()

    assert head.startswith(b"HTTP/1.1 %d " % status)
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert headers[b"content-type"] == b"application/problem+json"
    told = json.loads(body)
    assert (told["type"], told["status"]) == ("urn:reprieve:problem:malformed-request", status)
    assert told["request_id"].encode() == headers[b"x-request-id"]


@pytest.mark.parametrize(
    ("size", "end", "status"),
    [
        (16_384, b"\r\n\r\n", 404),
        (16_385, b"\r\n\r\n", 431),
        (70_000, b"\r\n\r\n", 431),
        (60_000, b"", 431),
    ],
)
async def test_a_head_above_16_kib_is_refused_however_it_arrives(size: int, end: bytes, status: int):
    start = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: "
    head = start + b"x" * (size - len(start) - len(end)) + end
    async with serving(FastAPI()) as (url, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(head + b"GET /pipelined HTTP/1.1\r\nHost: x\r\n\r\n" * bool(end and status == 431))
        told = await answer(reader)
        writer.close()

    assert told.startswith(b"HTTP/1.1 %d " % status)
    assert told.count(b"HTTP/1.1 ") == 1
    if status == 431:
        problem = json.loads(told.partition(b"\r\n\r\n")[2])
        assert (problem["type"], problem["title"]) == ("urn:reprieve:problem:head-too-long", "Head too long")
        assert "16 KiB" in problem["detail"]


async def test_a_long_body_and_pipelined_requests_count_to_no_head(slow: Slow):
    body = b"x" * 40_000
    reader, writer = await slow.open(
        slow.head("Content-Length: 40000")
        + body
        + slow.head("Content-Length: 40000", "Connection: close")
        + body
    )

    assert (await answer(reader)).count(b"HTTP/1.1 200 ") == 2
    assert slow.bodies == [40_000, 40_000]
    writer.close()


@pytest.mark.parametrize("head", [b"", b"POST /take HTTP/1.1\r\nX-Long: "])
async def test_a_connection_without_a_whole_head_is_closed(impatient: None, slow: Slow, head: bytes):
    reader, writer = await slow.open(head)

    async def dribble() -> None:
        while head:
            writer.write(b"x")
            await asyncio.sleep(0.05)

    dribbling = asyncio.create_task(dribble())
    told = b""
    with suppress(ConnectionResetError):  # bytes still under way when it closes turn the end into a reset
        told = await answer(reader)
    assert told == b""
    assert reader.at_eof() or reader.exception()
    dribbling.cancel()


async def test_who_sends_a_huge_head_reads_why_it_is_refused(slow: Slow):
    reader, writer = await slow.open(slow.head("X-Huge: " + "x" * 200_000))

    told = await answer(reader)

    assert told.startswith(b"HTTP/1.1 431 ")
    assert told.endswith(b"}")
    assert slow.bodies == []
    writer.close()


async def test_endless_headers_are_listened_to_for_a_while_only(slow: Slow, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "LINGER_SECONDS", 0.3)
    reader, writer = await slow.open(b"GET / HTTP/1.1\r\nX-Huge: " + b"x" * 20_000)

    assert (await answer(reader)).startswith(b"HTTP/1.1 431 ")
    began = time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() < began + 40:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)
    assert time.monotonic() < began + 20
    assert slow.bodies == []


async def test_a_body_shorter_than_it_says_is_no_body(slow: Slow):
    _, writer = await slow.open(slow.head("Content-Length: 1000") + b"x" * 999)
    await writer.drain()
    writer.close()
    await asyncio.sleep(0.3)

    assert slow.bodies == []


async def test_what_follows_a_body_is_no_part_of_it(slow: Slow):
    reader, _ = await slow.open(slow.head("Content-Length: 10", "Connection: close") + b"x" * 1000)

    assert (await answer(reader)).startswith(b"HTTP/1.1 200 ")
    assert slow.bodies == [10]


async def test_two_lengths_are_refused(slow: Slow):
    for lines in (
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: -5",),
        ("Content-Length: 5x",),
    ):
        reader, _ = await slow.open(slow.head(*lines) + b"xxxxxx")
        assert (await answer(reader)).startswith(b"HTTP/1.1 400 "), lines
    assert slow.bodies == []
