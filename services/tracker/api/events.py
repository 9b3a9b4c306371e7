"""GET /v1/events, to catch up with what happened to cases, and GET /v1/events/stream, to see it happen."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import AfterValidator, AwareDatetime
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import Reader, organization_of
from services.tracker.api.views import View
from services.tracker.store.feed import Place, Told, last_place, shown, told_after
from shared.errors import UnavailableError
from shared.http.auth import is_still, scope_of
from shared.http.cursors import decode_cursor, encode_cursor
from shared.http.parameters import representable
from shared.postgres import transaction
from shared.security.principals import Principal

LOOK_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
STREAMS_MAX = 200
STREAMS_OF_ONE_MAX = 10
"""Streams that one process keeps open, in all and of one caller; more are told to come again."""
_EVENTS_AT_ONCE = 100  # all that a stream holds in memory: it reads on when its reader has taken them


class EventView(View):
    """A case event. `data` is the payload of the topic case-events; its `case_event_id` names it for ever."""

    type: Literal["CaseOpened", "CaseChanged", "CaseClosed"]
    data: dict[str, Any]


class EventPage(View):
    """Events in the order in which they happened. `next_cursor` leads on, also from the last page, later."""

    data: list[EventView]
    has_more: bool
    next_cursor: str


def events_router(engine: AsyncEngine, cursor_key: bytes) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["events"])
    streams: Counter[UUID] = Counter()

    @router.get(
        "/v1/events", operation_id="list_events", responses=examples.EVENT_PAGE, response_model=EventPage
    )
    async def list_events(
        *,
        principal: Reader,
        since: Annotated[
            AwareDatetime | None,
            AfterValidator(representable),
            Query(description="Without a cursor: begin with what was recorded since."),
        ] = None,
        cursor: Annotated[str | None, Query(max_length=2048, description="`next_cursor` of then.")] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="How many at most.")] = 100,
    ) -> Response:
        """Give what happened to cases, oldest first, each event once and none left out, for ninety days."""
        organization_id = organization_of(principal)
        async with transaction(engine, **scope_of(principal)) as connection:
            place = decode_cursor(cursor, Place, key=cursor_key) if cursor else Place()
            if cursor is None and since is not None:
                place = await last_place(connection, organization_id, before=since)
            told = await told_after(connection, organization_id, place, limit=limit + 1)
        page = {
            "data": [shown(one) for one in told[:limit]],
            "has_more": len(told) > limit,
            "next_cursor": encode_cursor(told[:limit][-1].place if told else place, key=cursor_key),
        }
        return Response(msgspec.json.encode(page), media_type="application/json")

    @router.get(
        "/v1/events/stream",
        operation_id="stream_events",
        responses={
            **examples.PROBLEMS,
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        },
        response_class=StreamingResponse,
    )
    async def stream_events(
        *,
        request: Request,
        principal: Reader,
        last_event_id: Annotated[str | None, Header(max_length=2048)] = None,
    ) -> StreamingResponse:
        """Send events as they happen (text/event-stream), from now on, or from behind `Last-Event-ID`."""
        organization_id = organization_of(principal)
        if _full(streams, principal.principal_id):
            raise UnavailableError("Too many streams are open.", remedy="Poll /v1/events meanwhile.")
        async with transaction(engine, **scope_of(principal)) as connection:
            place = (
                decode_cursor(last_event_id, Place, key=cursor_key)
                if last_event_id
                else await last_place(connection, organization_id)
            )
        told = _sent(engine, request, principal, place=place, cursor_key=cursor_key)
        return StreamingResponse(
            _counted(told, streams, principal.principal_id), media_type="text/event-stream"
        )

    return router


async def _counted(
    told: AsyncIterator[bytes], streams: Counter[UUID], principal_id: UUID
) -> AsyncIterator[bytes]:
    if _full(streams, principal_id):  # many asked at once, and all saw room
        return
    streams[principal_id] += 1
    try:
        async for line in told:
            yield line
    finally:
        streams[principal_id] -= 1


def _full(streams: Counter[UUID], principal_id: UUID) -> bool:
    return streams.total() >= STREAMS_MAX or streams[principal_id] >= STREAMS_OF_ONE_MAX


async def _sent(
    engine: AsyncEngine, request: Request, principal: Principal, *, place: Place, cursor_key: bytes
) -> AsyncIterator[bytes]:
    yield b"retry: 3000\n\n"
    heard_at = time.monotonic()
    while await is_still(request, principal):
        async with transaction(engine, **scope_of(principal)) as connection:
            told = await told_after(connection, organization_of(principal), place, limit=_EVENTS_AT_ONCE)
        for one in told:
            yield _line(one, cursor_key)
            place = one.place
        if told:
            heard_at = time.monotonic()
        elif time.monotonic() - heard_at >= HEARTBEAT_SECONDS:
            yield b": still here\n\n"
            heard_at = time.monotonic()
        if len(told) < _EVENTS_AT_ONCE:
            await asyncio.sleep(LOOK_SECONDS)


def _line(told: Told, cursor_key: bytes) -> bytes:
    place = encode_cursor(told.place, key=cursor_key)
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (place.encode(), told.type.encode(), told.payload)
