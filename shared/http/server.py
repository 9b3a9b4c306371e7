"""uvicorn inside the process's own loop. Signals belong to shared.observability.process, not to it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from starlette.types import ASGIApp

from shared.errors import InvalidInputError

log = structlog.get_logger()

GRACE_SECONDS = 10
_BACKLOG = 2048


async def serve(app: ASGIApp, host: str, port: int, stop: asyncio.Event) -> None:
    """
    Serve until `stop` is set, then finish what is running (at most ten seconds).

    Raises InvalidInputError when the address is taken. Port 0 takes a free one; the log tells which.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
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
