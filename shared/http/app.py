"""
The app that every process serves, and its door.

The door stands around everything: it gives each request an id, lets no stranger further than the probes and
the paths that the app opens by name (a route whose author forgot `require` is still not public), answers
crashes, and writes the one canonical log line. /openapi.json is behind it too; there are no documentation
pages.
"""

import asyncio
import re
import time
from collections.abc import Collection
from typing import Any
from uuid import UUID, uuid4

import structlog
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import ReprieveError, UnauthenticatedError
from shared.http.descriptions import lift_components, put_nulls_back
from shared.http.parameters import check_characters, refuse_unknown
from shared.http.probes import OPEN_PATHS, Health, database_check, probes_router
from shared.http.problems import DESCRIBED, add_problem_handlers, not_http, problem, problem_of, too_large
from shared.http.versions import API_VERSION, HEADER, check_version
from shared.observability import metrics
from shared.security.oidc import token_reader
from shared.security.principals import Authenticator, Principal

log = structlog.get_logger()

# FastAPI's own limit answers in plain text, over the door's 401 as well, and would have to be lifted for
# uploads. It holds a body in memory whatever kind the sender says it is, so the limit asks for no kind.
BODY_BYTES_MAX = 8 * 1024 * 1024

BODY_GRACE_SECONDS = 30.0
BODY_BYTES_PER_SECOND = 1024
"""A body may take the grace, and then so much longer as this pace allows; the slowest modem was faster."""

RouteName = tuple[str, str]
"""A method and a path as the route declares it, as in ("POST", "/v1/cases/{case_id}/files")."""


def create_app(
    *,
    title: str,
    version: str,
    engine: AsyncEngine,
    health: Health,
    streaming_routes: Collection[RouteName] = (),
    open_paths: Collection[str] = (),
) -> FastAPI:
    """
    Make an app with keys at the door, problems for every failure, and probes. `engine` knows the keys.

    The environment names the issuer whose tokens are let in as well (shared.security.oidc).

    Bodies are limited to BODY_BYTES_MAX, except on `streaming_routes`: those never hold a body in memory
    and have limits of their own. `open_paths` need no key, as the probes need none.
    """
    app = _Described(
        title=title,
        version=version,
        description=f"{HEADER}: {API_VERSION}. Send it as a header to be refused should it not be served.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(refuse_unknown)],
        responses=DESCRIBED,
    )
    app.state.authenticator = Authenticator(engine, token_reader())
    app.state.health = health
    health.add_check("database", database_check(engine))
    add_problem_handlers(app)
    app.add_middleware(
        Door, streaming_routes=frozenset(streaming_routes), open_paths=OPEN_PATHS.union(open_paths)
    )
    app.include_router(probes_router(health))
    return app


class _Described(FastAPI):
    """An app whose description has whole examples, and the schemas of answers that msgspec encodes."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            put_nulls_back(lift_components(super().openapi()))  # which keeps it
        return super().openapi()


class Door:
    """The outermost middleware. Pure ASGI, so that bodies stream through it in both directions."""

    def __init__(
        self, app: ASGIApp, *, streaming_routes: frozenset[RouteName], open_paths: frozenset[str]
    ) -> None:
        self._app = app
        self._open_paths = open_paths
        self._streaming_routes = [(method, _pattern(path)) for method, path in streaming_routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        streams = any(
            method == scope["method"] and pattern.fullmatch(scope["path"])
            for method, pattern in self._streaming_routes
        )
        visit = _Visit(
            self._app,
            scope,
            receive,
            send,
            body_bytes_max=None if streams else BODY_BYTES_MAX,
            needs_key=scope["path"] not in self._open_paths,
        )
        await visit.run()


def _pattern(path: str) -> re.Pattern[str]:
    """Make a pattern of a declared path: a parameter is anything up to the next slash."""
    parts = re.split(r"(\{\w+\})", path)
    return re.compile("".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts))


class _Visit:
    """One request from its head to its log line."""

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        body_bytes_max: int | None,
        needs_key: bool,
    ) -> None:
        self._app, self._scope, self._receive, self._send = app, scope, receive, send
        self._headers = Headers(scope=scope)
        self._request_id = _request_id(self._headers)
        self._status = 0
        self._request_bytes = 0
        self._response_bytes = 0
        self._body_bytes_max = body_bytes_max
        self._needs_key = needs_key
        self._body_ended = False
        self._begun_at = time.monotonic()
        scope.setdefault("state", {})["request_id"] = self._request_id

    async def run(self) -> None:
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=self._request_id):
            try:
                await self._answer()
            finally:
                self._close(time.perf_counter() - started)

    async def _answer(self) -> None:
        try:
            if {"content-length", "transfer-encoding"} <= set(self._headers.keys()):
                # RFC 9112 6.3: a proxy may believe the one and we the other, and what it takes for the body
                # would be a request here.
                await self._refuse(not_http(400, request_id=self._request_id))
                return
            if self._needs_key:
                self._scope["state"]["principal"] = await self._authenticate()
            check_version(self._headers.get(HEADER))
            check_characters(self._scope)
            if self._exceeds(_announced_bytes(self._headers)):
                await self._refuse(too_large(request_id=self._request_id))
                return
            await self._app(self._scope, self._receive_counting, self._send_marked)
        except ClientDisconnect:
            log.info("client_disconnected")
        except ReprieveError as error:
            await self._refuse(problem_of(error, request_id=self._request_id))
        except Exception:
            log.exception("request_crashed")
            await self._refuse(
                problem(
                    500,
                    "defect",
                    detail="Something went wrong on our side.",
                    remedy="Tell the operator the request_id; the log has the place.",
                    request_id=self._request_id,
                )
            )

    async def _authenticate(self) -> Principal:
        authenticator: Authenticator = self._scope["app"].state.authenticator
        shown = self._headers.getlist("authorization")
        try:
            # Of two, a proxy may have checked the other.
            return await authenticator.authenticate(shown[0] if len(shown) == 1 else None)
        except UnauthenticatedError:
            metrics.AUTHENTICATION_FAILURES.inc()
            raise

    async def _refuse(self, answer: Response) -> None:
        if self._status == 0:
            await answer(self._scope, self._receive, self._send_marked)

    async def _receive_counting(self) -> Message:
        message = await self._receive_in_time()
        self._request_bytes += len(message.get("body", b""))
        self._body_ended = not message.get("more_body", False)
        if self._exceeds(self._request_bytes):
            raise HTTPException(413)  # FastAPI turns any other error at this place into a 400
        return message

    async def _receive_in_time(self) -> Message:
        """Wait for the body while it comes at a walking pace: who dribbles bytes holds files and memory."""
        if self._body_ended:  # what comes now is only that the caller went away
            return await self._receive()
        until = self._begun_at + BODY_GRACE_SECONDS + self._request_bytes / BODY_BYTES_PER_SECOND
        try:
            async with asyncio.timeout(until - time.monotonic()):
                return await self._receive()
        except TimeoutError:
            raise HTTPException(408, headers={"Connection": "close"}) from None

    def _exceeds(self, body_bytes: int) -> bool:
        return self._body_bytes_max is not None and body_bytes > self._body_bytes_max

    async def _send_marked(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            headers[HEADER] = API_VERSION
            headers.setdefault("Cache-Control", "no-store")
            headers.setdefault("X-Content-Type-Options", "nosniff")
        else:
            self._response_bytes += len(message.get("body", b""))
        await self._send(message)

    def _close(self, seconds: float) -> None:
        route = _route_template(self._scope)
        method = self._scope["method"] if self._scope["method"] in _METHODS else "OTHER"
        status = self._status or _NOBODY_WAITED
        metrics.REQUESTS.labels(method, route, str(status)).inc()
        metrics.REQUEST_SECONDS.labels(route).observe(seconds)
        principal: Principal | None = self._scope["state"].get("principal")
        write = log.debug if self._scope["path"] in OPEN_PATHS else log.info
        write(
            "request_served",
            method=method,
            route=route,
            status=status,
            duration_ms=round(seconds * 1000, 1),
            request_bytes=self._request_bytes,
            response_bytes=self._response_bytes,
            principal_id=principal and principal.principal_id,
            role=principal and principal.role,
            organization_id=principal and principal.organization_id,
        )


_NOBODY_WAITED = 499  # the caller went away before an answer began; nginx's number for it
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _request_id(headers: Headers) -> str:
    """Take over the caller's id when it is a UUID: any other text could carry anything into the log."""
    try:
        return str(UUID(headers.get("x-request-id", "")))
    except ValueError:
        return str(uuid4())


def _announced_bytes(headers: Headers) -> int:
    """Give the length that the sender announces; 0 for none, as with chunks, which are counted instead."""
    announced = headers.get("content-length", "")
    return int(announced) if announced.isdecimal() else 0


def _route_template(scope: Scope) -> str:
    """Give the route as it was declared, e.g. /v1/cases/{case_id}: a path itself may name a claim."""
    return getattr(scope.get("route"), "path", None) or "unmatched"
