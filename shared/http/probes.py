"""
Is the process alive, is it ready, what does it count.

/livez  200 while every loop that beats did so in time: restarting helps when it fails
/readyz 200 while every check passes: waiting helps when it fails
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from alembic.config import Config
from alembic.script import ScriptDirectory
from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import UnavailableError
from shared.http.auth import require
from shared.http.descriptions import json_answer
from shared.observability import metrics
from shared.postgres import transaction

log = structlog.get_logger()

Check = Callable[[], Awaitable[None]]

WATCHDOG_SECONDS = 60.0
CHECK_TIMEOUT_SECONDS = 3.0
OPEN_PATHS = frozenset({"/livez", "/readyz"})

_REVISION = text("select version_num from public.reprieve_migrations")


class Health:
    """Loops beat, checks are asked. One per process; used from its event loop only."""

    def __init__(self, *, watchdog_seconds: float = WATCHDOG_SECONDS) -> None:
        self._watchdog_seconds = watchdog_seconds
        self._limits: dict[str, float] = {}
        self._beats: dict[str, float] = {}
        self._checks: dict[str, Check] = {}
        self._asking: asyncio.Task[list[str]] | None = None

    def watch(self, name: str, *, seconds: float | None = None) -> None:
        """Expect beats of this loop from now on, at least every `seconds` (by default the watchdog's)."""
        self._limits[name] = seconds or self._watchdog_seconds
        self._beats[name] = time.monotonic()

    def beat(self, name: str) -> None:
        """Say that a loop goes round. The first beat puts it under watch."""
        if name not in self._limits:
            self.watch(name)
        self._beats[name] = time.monotonic()

    def retire(self, name: str) -> None:
        """Say that a loop ended as it should."""
        self._limits.pop(name, None)
        self._beats.pop(name, None)

    def add_check(self, name: str, check: Check) -> None:
        """Ask `check` for readiness: it returns, or raises. Its name is shown to everybody."""
        self._checks[name] = check

    def silent(self) -> dict[str, float]:
        """Give the loops that missed their beat, with their silence in seconds."""
        now = time.monotonic()
        silences = {name: now - beat for name, beat in self._beats.items()}
        for name, silence in silences.items():
            metrics.LOOP_SILENCE_SECONDS.labels(name).set(silence)
        return {name: round(silence, 1) for name, silence in silences.items() if silence > self._limits[name]}

    async def unready(self) -> list[str]:
        """Give the names of the checks that fail. Strangers may ask: who asks meanwhile shares the answer."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> list[str]:
        names = list(self._checks)
        passed = await asyncio.gather(*(self._passes(name) for name in names))
        return [name for name, good in zip(names, passed, strict=True) if not good]

    async def _passes(self, name: str) -> bool:
        try:
            await asyncio.wait_for(self._checks[name](), CHECK_TIMEOUT_SECONDS)
        except Exception as error:
            log.warning("readiness_check_failed", component=name, exc_info=error)
            return False
        return True


def database_check(engine: AsyncEngine) -> Check:
    """Check that the database answers and is migrated at least as far as this code."""
    config = Config()
    config.set_main_option("script_location", "migrations:")
    wanted = ScriptDirectory.from_config(config).get_current_head() or ""

    async def check() -> None:
        async with transaction(engine) as connection:
            found = await connection.scalar(_REVISION)
        # Revisions are numbered. A newer database is fine: that is how a deployment rolls.
        if found is None or str(found) < wanted:
            raise UnavailableError("The database is not migrated.", remedy="Run `reprieve db upgrade`.")

    return check


class Alive(msgspec.Struct, frozen=True):
    """`silent` are the loops that did not beat in time, with the seconds since they did."""

    alive: bool
    silent: dict[str, float]


class Ready(msgspec.Struct, frozen=True):
    """`failing` are the checks that did not pass."""

    ready: bool
    failing: list[str]


def probes_router(health: Health) -> APIRouter:
    """Make the routes that every process has. Metrics need an operator's key."""
    router = APIRouter(tags=["probes"])

    @router.head("/livez", include_in_schema=False)
    @router.get("/livez", operation_id="livez", responses=_answers(Alive, when_not="A loop stands still."))
    async def livez() -> JSONResponse:
        """Tell whether every loop of this process still runs."""
        silent = health.silent()
        return JSONResponse({"alive": not silent, "silent": silent}, 503 if silent else 200)

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", operation_id="readyz", responses=_answers(Ready, when_not="A check fails."))
    async def readyz() -> JSONResponse:
        """Tell whether this process can work: what it needs answers."""
        unready = await health.unready()
        return JSONResponse({"ready": not unready, "failing": unready}, 503 if unready else 200)

    @router.get(
        "/metrics",
        operation_id="metrics",
        dependencies=[require("operator")],
        response_class=PlainTextResponse,
    )
    async def prometheus() -> Response:
        """Give the metrics of this process to Prometheus."""
        health.silent()
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


def _answers(told: type[msgspec.Struct], *, when_not: str) -> dict[int | str, dict[str, Any]]:
    return {200: json_answer(told), 503: {**json_answer(told), "description": when_not}}
