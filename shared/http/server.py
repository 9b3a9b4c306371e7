"""uvicorn inside the process's own loop. Signals belong to shared.observability.process, not to it."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import h11
import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from shared.errors import InvalidInputError
from shared.http.problems import head_too_long, not_http

log = structlog.get_logger()

GRACE_SECONDS = 10
HEAD_SECONDS = 30.0
"""A connection on which no request begins for so long, or is not told to its head's end, is closed."""
HEAD_BYTES_MAX = 16 * 1024
LINGER_SECONDS = 2.0
"""So long, and for so many bytes, what a caller goes on sending after a refusal is taken in and dropped."""

_LINGER_BYTES_MAX = 4 * 1024 * 1024
_BACKLOG = 2048


async def serve(app: ASGIApp, host: str, port: int, stop: asyncio.Event) -> None:
    """
    Serve until `stop` is set, then finish what is running (at most ten seconds).

    Raises InvalidInputError when the address is taken. Port 0 takes a free one; the log tells which.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        http=_Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config)
    log.info("http_listening", host=host, port=listener.getsockname()[1])
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()
        serving.cancel()
        listener.close()


class _Parser(h11.Connection):
    """h11 with the limit kept: its own is for heads that are not whole yet, and a whole one may be larger."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, HEAD_BYTES_MAX)

    def next_event(self) -> Any:
        unread = len(self.trailing_data[0]) if self.their_state is h11.IDLE else 0
        event = super().next_event()
        if isinstance(event, h11.Request) and unread - len(self.trailing_data[0]) > HEAD_BYTES_MAX:
            raise h11.RemoteProtocolError(
                "head too long", error_status_hint=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            )
        return event


class _Connection(H11Protocol):
    """
    One connection, closed when no head of a request arrives for too long: uvicorn would wait for ever.

    What is no HTTP is answered like any other mistake, where an answer can still begin.
    """

    _before: object = None  # the request that was answered at the last look
    _dropped_bytes: int | None = None  # since the refusal, once there is one

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Parser()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look_again = self.loop.call_later(HEAD_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_again.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._dropped_bytes is None:
            super().data_received(data)
            return
        self._dropped_bytes += len(data)
        if self._dropped_bytes > _LINGER_BYTES_MAX:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's own words
        """Answer what h11 could not parse. uvicorn calls this while it handles the parser's error."""
        request_id = str(uuid4())
        hint = getattr(sys.exception(), "error_status_hint", 400)  # 431 for a head that is too long
        log.info("request_malformed", status=hint, request_id=request_id)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            too_long = hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            answer = (
                head_too_long(HEAD_BYTES_MAX, request_id=request_id)
                if too_long
                else not_http(hint, request_id=request_id)
            )
            head = h11.Response(status_code=hint, headers=answer.raw_headers)
            for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self._linger()

    def _linger(self) -> None:
        """End our side and let the caller end its own: bytes that meet a closed door wipe out the answer."""
        self._dropped_bytes = 0
        if self.transport.is_closing():
            return
        latest: RequestResponseCycle | None = self.cycle  # None until the first request
        if latest is not None and not latest.response_complete:  # its body was what cannot be parsed
            latest.disconnected = True
            latest.message_event.set()
        self.transport.write_eof()
        self.flow.resume_reading()
        self._look_again.cancel()
        self._look_again = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _look(self) -> None:
        latest: RequestResponseCycle | None = self.cycle  # None until the first request
        idle = latest is None or latest.response_complete
        if idle and self._before is latest:
            self.transport.close()
            return
        self._before = latest if idle else self._before
        self._look_again = self.loop.call_later(HEAD_SECONDS, self._look)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InvalidInputError(
            f"The address {host}:{port} cannot be used: {error.strerror}.",
            remedy="Stop what uses it, or set REPRIEVE_PORT.",
        ) from error
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener
