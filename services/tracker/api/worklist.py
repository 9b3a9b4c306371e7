"""GET /v1/worklist: what this person should do next, in order, and why in that order."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import Worker, organization_of
from services.tracker.api.listing import Limit, plainly, shown_case
from services.tracker.api.views import CaseSummary, View
from services.tracker.domain.worklist import BANDS, ReasonCode, reasons
from services.tracker.store.worklist import QueuePlace, queue
from shared import clock
from shared.http.auth import scope_of
from shared.http.cursors import decode_cursor, encode_cursor
from shared.http.quick_route import QuickRoute
from shared.postgres import reading


class QueueQuery(BaseModel):
    """A page of the queue."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(None, max_length=2048, description="`next_cursor` of then.")
    limit: Limit = 50


class PlaceReason(View):
    """Why a case stands where it does: for programs, and in words."""

    code: ReasonCode
    words: str


class QueuedCase(View):
    """A case of the queue. `within`: somebody has to act in that time; `act_by` is the instant, if any."""

    within: Literal["a_day", "three_days", "a_week", "a_fortnight", "a_month", "later"]
    act_by: AwareDatetime | None
    reasons: list[PlaceReason] = Field(description="The strongest first.")
    case: CaseSummary


class Worklist(View):
    """A page of the queue."""

    data: list[QueuedCase]
    has_more: bool
    next_cursor: str | None


def worklist_router(engine: AsyncEngine, cursor_key: bytes) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["cases"], route_class=QuickRoute)

    @router.get(
        "/v1/worklist", operation_id="get_worklist", responses=examples.PROBLEMS, response_model=Worklist
    )
    async def get_worklist(principal: Worker, asked: Annotated[QueueQuery, Query()]) -> Response:
        """
        Give one's own cases and those that nobody has, as one queue.

        First by when somebody has to act (the first of deadline, payer's question, follow-up), in bands; then
        one's own before nobody's; then by priority. The pages of one queue keep the instant of the first.
        """
        me = UUID(str(principal.principal_id))
        place = QueuePlace(clock.now(), 0)
        if asked.cursor:
            place = decode_cursor(asked.cursor, QueuePlace, key=cursor_key)
        async with reading(engine, **scope_of(principal)) as connection:
            found = await queue(connection, organization_of(principal), me=me, place=place, limit=asked.limit)
        page = {
            "data": [_queued(row, band=band, me=me, at=place.at) for band, row in found.cases],
            "has_more": found.next_place is not None,
            "next_cursor": found.next_place and encode_cursor(found.next_place, key=cursor_key),
        }
        return Response(msgspec.json.encode(page, enc_hook=plainly), media_type="application/json")

    return router


def _queued(row: Mapping[str, Any], *, band: int, me: UUID, at: datetime) -> dict[str, Any]:
    case = shown_case(row, at=at)
    seen = {**case, "amount_at_stake": Decimal(row["amount_at_stake"])}
    return {
        "within": BANDS[band].name,
        "act_by": row["act_by"],
        "reasons": [{"code": code, "words": words} for code, words in reasons(seen, me=me, at=at)],
        "case": case,
    }
