"""Acknowledgments over HTTP: X12, or JSON with the codes' meanings."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.acknowledgments.explaining import explained
from services.ingest.acknowledgments.verdicts import FileVerdict
from services.ingest.api.acknowledgment_views import (
    AcknowledgmentFileShown,
    AcknowledgmentShown,
    InterchangeAcknowledged,
)
from services.ingest.api.feeds import submitter_of
from services.ingest.store.acknowledgments import AcknowledgmentFile, acknowledgment_state
from shared.errors import ConflictError, InvalidInputError, NotFoundError
from shared.http.auth import require
from shared.http.descriptions import json_answer
from shared.http.problems import described
from shared.security.principals import Principal

X12 = "application/edi-x12"

_RETRY_AFTER_SECONDS = 5
_Submitter = Annotated[Principal, require("submitter")]
_AS_JSON = json_answer(AcknowledgmentShown)
_encode = msgspec.json.Encoder(enc_hook=str).encode


def acknowledgments_router(engine: AsyncEngine) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["remittances"])

    @router.get(
        "/v1/remittances/{receipt_id}/acknowledgment",
        operation_id="get_acknowledgment",
        response_class=Response,
        responses={
            200: {
                **_AS_JSON,
                "description": "TA1, 999 or 997 interchanges one behind the other, or what they say as JSON.",
                "content": {
                    X12: {"schema": {"type": "string", "format": "binary"}},
                    **_AS_JSON["content"],
                },
            },
            202: {"description": "It is not made yet; Retry-After says when to ask again."},
            406: described("`Accept` names neither of the two."),
            204: {"description": "The file owes no acknowledgment: it holds none but acknowledgments."},
        },
    )
    async def get_acknowledgment(
        principal: _Submitter, receipt_id: UUID, accept: Annotated[str, Header()] = "*/*"
    ) -> Response:
        """Give the acknowledgment of one file of the calling submitter, as X12 if `Accept` names that."""
        as_x12 = _wants_x12(accept)
        state, files = await acknowledgment_state(
            engine, submitter_id=submitter_of(principal), receipt_id=receipt_id
        )
        if state["state"] == "due":
            return Response(status_code=202, headers={"Retry-After": str(_RETRY_AFTER_SECONDS)})
        if state["state"] == "declined":
            raise NotFoundError(
                "This file has no acknowledgment: its feed wanted none, or it is too old.",
                remedy="Set the feed's acknowledgment to negative or all: files sent from then on have one.",
            )
        if state["state"] == "failed":
            raise ConflictError(
                "The acknowledgment was given up: the validator failed on this file again and again.",
                remedy="The receipt says what was read of the file.",
            )
        if as_x12:
            return (
                Response(b"".join(one.content for one in files), media_type=X12)
                if files
                else Response(status_code=204)
            )
        return Response(_encode(_summary(receipt_id, state, files)), media_type="application/json")

    return router


class NotAcceptableError(InvalidInputError):
    """The caller takes no kind of answer that there is."""

    status = 406
    slug = "not-acceptable"


def _wants_x12(accept: str) -> bool:
    """Choose between the two kinds: X12 where it is named, JSON for whoever takes that or anything."""
    kinds = {kind.partition(";")[0].strip().lower() for kind in accept.split(",")}
    if X12 not in kinds and kinds.isdisjoint({"", "*/*", "application/*", "application/json"}):
        raise NotAcceptableError(
            "An acknowledgment is X12 or JSON, and Accept names neither.",
            remedy=f"Ask with Accept: {X12} or Accept: application/json.",
        )
    return X12 in kinds


def _summary(receipt_id: UUID, state: dict[str, Any], files: list[AcknowledgmentFile]) -> AcknowledgmentShown:
    verdict = msgspec.convert(state["verdict"], FileVerdict)
    interchanges = [explained(one) for one in verdict.interchanges]
    return AcknowledgmentShown(
        receipt_id=receipt_id,
        made_at=state["made_at"],
        preference=state["preference"],
        sets=state["sets"],
        sets_checked=state["sets_checked"],
        cut_short=state["cut_short"],
        interchanges=msgspec.convert(interchanges, list[InterchangeAcknowledged]),
        files=[
            AcknowledgmentFileShown(
                name=one.name,
                kind=one.kind,
                code=one.code,
                control_number=one.control_number,
                acknowledges=one.acknowledges,
                delivered_at=one.delivered_at,
            )
            for one in files
        ],
    )
