"""
Destinations that answer on this machine, and their illnesses. Each remembers every request that it was sent.

An illness is what the next answer is, in order; then all is well again. It is real HTTP over a real socket.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

HANG, DRIP, RESET = "hang", "drip", "reset"


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeServer:
    """`answer` is what a healthy server says; `illnesses` are Answers or HANG, DRIP, RESET."""

    answer: Callable[[Request], Answer] = lambda _request: Answer()
    illnesses: list[Answer | str] = field(default_factory=list)
    always: Answer | str | None = None
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def start(self, tls: ssl.SSLContext | None = None) -> "FakeServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.scheme = "https" if tls else "http"
        return self

    async def stop(self) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(asyncio.current_task())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            request = Request(head[0].split(" ")[1], headers, body)
            self.requests.append(request)
            await self._answer(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._open.discard(asyncio.current_task())

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        ill = self.illnesses.pop(0) if self.illnesses else self.always
        if ill == HANG:
            await asyncio.sleep(60)
        elif ill == RESET:
            writer.transport.abort()
        elif ill == DRIP:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            while True:
                writer.write(b".")
                await writer.drain()
                await asyncio.sleep(0.05)
        else:
            given = ill or self.answer(request)
            lines = [f"HTTP/1.1 {given.status} X", f"content-length: {len(given.body)}", "connection: close"]
            lines += [f"{name}: {value}" for name, value in given.headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode() + given.body)
            await writer.drain()
