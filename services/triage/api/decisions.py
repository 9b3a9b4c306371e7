"""GET /v1/decisions/{event_id}: what was decided about an event, as it was sent; sealed stays sealed."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncEngine

from services.triage.store.decisions import decisions_of, has_decided
from shared.contracts.claim_outcome_seen import ClaimOutcomeSeen
from shared.contracts.denial_triaged import DenialTriaged
from shared.errors import ConflictError, NotFoundError
from shared.http.auth import require, scope_of
from shared.http.descriptions import SCHEMA_NAME, json_answer
from shared.postgres import transaction
from shared.security.principals import Principal

_Sent = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        extra_json_schema={
            "anyOf": [
                {"$ref": SCHEMA_NAME.format(name=one.__name__)} for one in (DenialTriaged, ClaimOutcomeSeen)
            ]
        }
    ),
]


_Type = Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["DenialTriaged", "ClaimOutcomeSeen"]})]
_State = Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["open", "settled", "parked"]})]


class DecisionShown(msgspec.Struct, frozen=True, kw_only=True):
    """One decision. `decision` is the message itself, `state` what became of it: open, settled or parked."""

    type: _Type
    event_revision: int
    decision_revision: int
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
    state: _State
    decision: _Sent


class DecisionsShown(msgspec.Struct, frozen=True, kw_only=True):
    """The decisions of an event, the newest first."""

    event_id: UUID
    decisions: list[DecisionShown]


def decisions_router(engine: AsyncEngine) -> APIRouter:
    """Make the route, for the people of an organization."""
    router = APIRouter(tags=["decisions"])

    @router.get(
        "/v1/decisions/{event_id}",
        operation_id="get_decisions",
        responses={200: json_answer(DecisionsShown, DenialTriaged, ClaimOutcomeSeen)},
    )
    async def get_decisions(
        principal: Annotated[Principal, require("viewer", "biller", "supervisor", "auditor", "admin")],
        event_id: UUID,
    ) -> Response:
        """Give the decisions about an event, newest first, as they were sent; sealed stays sealed."""
        scope = scope_of(principal)
        async with transaction(engine, **scope) as connection:
            found = await decisions_of(connection, scope["organizations"], event_id)
            purged = not found and await has_decided(connection, event_id)
        if purged:
            raise ConflictError(
                "What was decided about this event was purged when its retention ended.",
                remedy="Ids and amounts are left: the reconciliation and the case have them.",
            )
        if not found:
            raise NotFoundError(
                "Triage has decided no such event.", remedy="Take the id from a case or a reconciliation."
            )
        shown = [
            DecisionShown(
                type=one.type,
                event_revision=one.event_revision,
                decision_revision=one.decision_revision,
                created_at=one.created_at,
                state=one.state,
                decision=msgspec.Raw(one.payload),
            )
            for one in found
        ]
        body = msgspec.json.encode(DecisionsShown(event_id=event_id, decisions=shown))
        return Response(body, media_type="application/json")

    return router
