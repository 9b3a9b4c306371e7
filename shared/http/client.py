"""
How the command line reaches a running stack: addresses and keys from the environment, else from up.json.

Failures arrive as the errors of shared.errors, with remedies, as if the service had been called directly.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx2
import msgspec

from shared.errors import (
    ConflictError,
    DeniedError,
    InvalidInputError,
    NotFoundError,
    ReprieveError,
    UnauthenticatedError,
    UnavailableError,
)

ServiceName = Literal["ingest", "triage", "tracker"]
SERVICES: tuple[ServiceName, ...] = ("ingest", "triage", "tracker")

DEFAULT_DATA_DIR = Path(".reprieve")
_TIMEOUT = httpx2.Timeout(60.0, connect=5.0)


class _UpFile(msgspec.Struct):
    """What is read of DATA_DIR/up.json; the rest of it is for others."""

    ingest_url: str | None = None
    triage_url: str | None = None
    tracker_url: str | None = None
    organization_id: str | None = None
    submitter_id: str | None = None
    feed: str | None = None
    keys: dict[str, str] = {}
    starting: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack. `key` (REPRIEVE_API_KEY) speaks for every role, `keys` are those of up.json."""

    urls: dict[str, str]
    keys: dict[str, str] = field(default_factory=dict, repr=False)
    key: str | None = field(default=None, repr=False)
    feed: str | None = None
    starting: bool = False

    @classmethod
    def find(cls, data_dir: Path | None = None) -> "Stack":
        """Find addresses and keys. Raises InvalidInputError when neither environment nor file names any."""
        up = _read_up_file((data_dir or DEFAULT_DATA_DIR) / "up.json")
        urls: dict[str, str] = {
            service: url
            for service in SERVICES
            if (url := os.environ.get(f"REPRIEVE_{service.upper()}_URL") or getattr(up, f"{service}_url"))
        }
        if not urls:
            raise InvalidInputError(
                f"No running stack is known in {data_dir or DEFAULT_DATA_DIR}.",
                remedy="Start one with `reprieve up`, or set REPRIEVE_INGEST_URL (TRIAGE, TRACKER) and"
                " REPRIEVE_API_KEY.",
            )
        return cls(
            urls=urls,
            keys=up.keys,
            key=os.environ.get("REPRIEVE_API_KEY") or None,
            feed=up.feed,
            starting=up.starting,
        )

    def client(self, service: ServiceName, role: str) -> httpx2.Client:
        """Open a client that calls `service` with the key of `role`. Close it after use."""
        if service not in self.urls:
            raise InvalidInputError(
                f"The address of {service} is not known.", remedy=f"Set REPRIEVE_{service.upper()}_URL."
            )
        key = self.key or self.keys.get(role)
        if key is None:
            raise InvalidInputError(f"There is no key of the role {role}.", remedy="Set REPRIEVE_API_KEY.")
        return httpx2.Client(
            base_url=self.urls[service],
            headers={"Authorization": f"Bearer {key}"},
            timeout=_TIMEOUT,
            transport=_NamedTransport(service, starting=self.starting),
        )


_STARTING = (
    "`reprieve up` is still starting: wait for its line with `ready`. If none is running, start it again."
)


class _NamedTransport(httpx2.HTTPTransport):
    """Says which service does not answer."""

    def __init__(self, service: ServiceName, *, starting: bool) -> None:
        super().__init__()
        self._service = service
        self._remedy = _STARTING if starting else "Is `reprieve up` (or the process) running?"

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = super().handle_request(request)
        except httpx2.TransportError as error:
            where = f"{request.url.scheme}://{request.url.host}:{request.url.port or ''}".rstrip(":")
            raise UnavailableError(
                f"{self._service} does not answer at {where}.",
                remedy=self._remedy,
            ) from error
        response.stream = _NamedStream(self._service, response.stream)
        return response


class _NamedStream(httpx2.SyncByteStream):
    """Says which service broke off in the middle of an answer: a cut list must never pass for a whole one."""

    def __init__(self, service: ServiceName, stream: Any) -> None:
        self._service, self._stream = service, stream

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except httpx2.TransportError as error:
            raise UnavailableError(
                f"{self._service} broke off in the middle of its answer.",
                remedy="Try again; its log says why.",
            ) from error

    def close(self) -> None:
        self._stream.close()


def raise_for_problem(response: httpx2.Response) -> httpx2.Response:
    """Give the response back when it is a success, else raise the error that its problem tells of."""
    if response.is_success:
        return response
    response.read()
    try:
        told = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.MsgspecError:
        told = _Problem()
    kind = _ERRORS.get(
        response.status_code, UnavailableError if response.is_server_error else InvalidInputError
    )
    message = told.detail or told.title or f"The answer was {response.status_code}."
    named = "; ".join(f"{one.get('field')}: {one.get('problem')}" for one in told.errors)
    error = kind(f"{message} {named}".strip(), remedy=told.remedy)
    seconds = response.headers.get("retry-after", "")
    if isinstance(error, UnavailableError) and seconds.isdecimal():
        error.retry_after_seconds = int(seconds)
    raise error


class _Problem(msgspec.Struct):
    title: str | None = None
    detail: str | None = None
    remedy: str | None = None
    errors: list[dict[str, str]] = []


_ERRORS: dict[int, type[ReprieveError]] = {
    401: UnauthenticatedError,
    403: DeniedError,
    404: NotFoundError,
    408: UnavailableError,
    409: ConflictError,
    429: UnavailableError,
}


def _read_up_file(path: Path) -> _UpFile:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_UpFile)
    except FileNotFoundError:
        return _UpFile()
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidInputError(
            f"{path} cannot be read.", remedy="Stop the stack and start it again with `reprieve up`."
        ) from error
