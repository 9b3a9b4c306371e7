"""POST /v1/decisions/preview: a decision on any denial, set of policies, facts and day. Nothing is stored."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Annotated, Any
from uuid import UUID, uuid5

import msgspec
from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.triage.api.supposing import PolicyText, over, read_policies, today_of
from services.triage.domain.decide import decide
from services.triage.domain.example_checks import fact_is_readable
from services.triage.domain.histories import NO_OTHERS, Others, others_of
from services.triage.store.decisions import latest_denial
from services.triage.store.facts import facts_of_keys
from services.triage.store.histories import histories_of
from services.triage.store.policy_sets import PolicySets
from shared.calendars import Calendar
from shared.clock import now
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Decision, FactKind
from shared.contracts.fact_recorded import FactRecorded
from shared.errors import InvalidInputError, NotFoundError
from shared.http.auth import require
from shared.http.descriptions import json_answer
from shared.postgres import transaction
from shared.security.principals import Principal

Person = Annotated[Principal, require("viewer", "biller", "supervisor", "auditor", "admin")]

_encode = msgspec.json.Encoder(decimal_format="string").encode


class StatedFact(BaseModel):
    """A fact as if a person had stated it: see FactKind for what each kind takes."""

    model_config = ConfigDict(extra="forbid")

    kind: FactKind
    value: str = Field(min_length=1, max_length=100)


class Preview(BaseModel):
    """
    A denial that is here (`event_id`) or one of your own (`denial`, as in ClaimDenied; ids and the envelope
    may be left out), with policies over those in force, facts beside those stated, on a day (today).
    """

    model_config = ConfigDict(extra="forbid")

    event_id: UUID | None = None
    denial: dict[str, Any] | None = None
    policies: dict[str, PolicyText] | list[PolicyText] = Field(default={}, max_length=100)
    facts: list[StatedFact] = Field(default=[], max_length=100)
    as_of: date | None = None


class Previewed(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it would be; `stored` is the one that stands, null for a denial of one's own."""

    event_id: UUID
    decision: Decision
    stored: Decision | None


def preview_router(engine: AsyncEngine, sets: PolicySets) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["what if"])
    calendar = Calendar()

    @router.post(
        "/v1/decisions/preview", operation_id="preview_decision", responses={200: json_answer(Previewed)}
    )
    async def preview(principal: Person, asked: Preview) -> Response:
        """Decide, and store nothing. `stored` is the decision that stands, for a denial that is here."""
        organization = principal.organization_id or UUID(int=0)
        if (asked.event_id is None) == (asked.denial is None):
            raise InvalidInputError("Ask about one denial.", remedy="Give either `event_id` or `denial`.")
        async with transaction(engine, organizations=[organization]) as connection:
            in_force = await sets.in_force(connection)
            today = asked.as_of or await today_of(connection, organization)
            event, stored, facts, others = await _asked_about(connection, organization, asked, today)
        texts = asked.policies
        named = texts if isinstance(texts, dict) else {str(n): text for n, text in enumerate(texts)}
        supposed = await asyncio.to_thread(read_policies, named)
        told = (*facts, *_facts(event, asked.facts))
        decision = await asyncio.to_thread(  # a denial of one's own may have any number of lines
            decide,
            event,
            told,
            over(in_force.of(organization), supposed),
            calendar,
            today,
            history=others.seen,
            history_partial=others.partial,
        )
        body = Previewed(event_id=event.event_id, decision=decision, stored=stored)
        return Response(_encode(body), media_type="application/json")

    return router


async def _asked_about(
    connection: AsyncConnection, organization: UUID, asked: Preview, today: date
) -> tuple[ClaimDenied, Decision | None, Sequence[FactRecorded], Others]:
    if asked.denial is not None:
        return _denial(asked.denial, organization, today), None, (), NO_OTHERS
    found = None if asked.event_id is None else await latest_denial(connection, organization, asked.event_id)
    if found is None:
        raise NotFoundError("There is no such denial.", remedy="Take the id from a case or a reconciliation.")
    event, stored = found
    facts = await facts_of_keys(connection, {(organization, event.claim_key)})
    histories = await histories_of(connection, [event])
    return event, stored, facts.get((organization, event.event_id), ()), others_of(histories, event)


def _denial(given: Mapping[str, Any], organization: UUID, today: date) -> ClaimDenied:
    """Read a denial; what only tells where it came from may be missing."""
    nobody = UUID(int=0)
    usual = {
        "event_id": uuid5(organization, "preview"),
        "revision": 1,
        "claim_key": nobody,
        "remittance_id": nobody,
        "received_at": datetime.combine(today, time(), UTC),
        "received_on": today,
        "position": 1,
        "payee": {},
        "payer_date_source": "receipt",
        "claim_number": "PREVIEW",
        "claim_status": "1",
    }
    try:
        return msgspec.convert({**usual, **given, "organization_id": organization}, ClaimDenied)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        raise InvalidInputError(
            "The denial is not as ClaimDenied expects it.",
            remedy="shared/contracts/schemas/ClaimDenied.json has its form.",
            errors=[(f"denial{where.strip('`').removeprefix('$')}", what)],
        ) from None


def _facts(event: ClaimDenied, stated: Sequence[StatedFact]) -> list[FactRecorded]:
    """Make facts of what is supposed; they are later than any that were stated."""
    wrong = [
        (f"facts.{number}.value", f"no value of a fact of the kind {one.kind}")
        for number, one in enumerate(stated)
        if not fact_is_readable(one.kind, one.value)
    ]
    if wrong:
        raise InvalidInputError(
            "A fact cannot be read.", remedy="docs/policies.md lists what each takes.", errors=wrong
        )
    nobody = UUID(int=0)
    return [
        FactRecorded(
            organization_id=event.organization_id,
            fact_id=uuid5(event.event_id, f"supposed {number}"),
            claim_key=event.claim_key,
            case_id=nobody,
            event_ids=(event.event_id,),
            kind=one.kind,
            value=one.value,
            recorded_at=now(),
            recorded_by=nobody,
        )
        for number, one in enumerate(stated)
    ]
