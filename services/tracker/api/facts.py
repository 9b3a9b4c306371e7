"""POST /v1/cases/{case_id}/facts: a person adds what the remittance cannot say, and triage decides again."""

from typing import Annotated, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Body, Request, status
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import CaseId, Reader, Worker, no_such_case, organization_of
from services.tracker.api.steps import ANSWERS
from services.tracker.api.views import View
from services.tracker.domain.facts import check_fact
from services.tracker.domain.states import ENDED_BY_ITSELF
from services.tracker.store.audit import audit
from services.tracker.store.facts import facts_of, keep_fact
from services.tracker.store.ledger import denials_among
from services.tracker.store.search import find_case
from shared import clock
from shared.contracts.decision import FactKind
from shared.contracts.fact_recorded import FactRecorded
from shared.errors import ConflictError
from shared.http.auth import scope_of
from shared.http.idempotency import Answer, IdempotencyKey, answer_once
from shared.postgres import lock_shards, transaction
from shared.security.principals import Principal
from shared.values import shard_of


class NewFact(BaseModel):
    """`value` is an ISO date or instant, a month (YYYY-MM), or a word, as its kind asks for."""

    model_config = ConfigDict(extra="forbid")

    kind: FactKind
    value: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00]+$")
    note: str | None = Field(default=None, max_length=2000, pattern=r"^[^\x00]*$")


class FactView(View):
    """A fact. `state`: sent to triage, weighed by a decision, or parked because triage could not read it."""

    fact_id: UUID
    case_id: UUID
    kind: FactKind
    value: str
    note: str | None
    recorded_by: UUID
    recorded_role: str | None
    recorded_at: AwareDatetime
    state: Literal["sent", "weighed", "parked"]


class FactList(View):
    data: list[FactView]


def facts_router(engine: AsyncEngine) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["facts"])

    @router.post(
        "/v1/cases/{case_id}/facts",
        operation_id="record_fact",
        status_code=status.HTTP_201_CREATED,
        response_model=FactView,
        responses=examples.NEW_FACT,
    )
    async def record_fact(
        request: Request,
        principal: Worker,
        case_id: CaseId,
        new: Annotated[NewFact, Body(openapi_examples=examples.FACTS)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """State a fact. A later fact of the same kind replaces it; the case shows the new decision soon."""

        async def work(connection: AsyncConnection) -> Answer:
            fact = await _record(connection, principal, case_id, new)
            return Answer(status.HTTP_201_CREATED, fact.model_dump_json().encode())

        return await answer_once(engine, request, principal, work, table=ANSWERS, key=idempotency_key)

    @router.get("/v1/cases/{case_id}/facts", operation_id="list_facts", responses=examples.PROBLEMS)
    async def list_facts(principal: Reader, case_id: CaseId) -> FactList:
        """List the facts of a case, oldest first."""
        organization_id = organization_of(principal)
        async with transaction(engine, **scope_of(principal)) as connection:
            if await find_case(connection, organization_id, case_id) is None:
                raise no_such_case()
            return FactList(data=await read_facts(connection, organization_id, case_id))

    return router


async def read_facts(connection: AsyncConnection, organization_id: UUID, case_id: UUID) -> list[FactView]:
    """Give the facts of a case, oldest first."""
    facts = await facts_of(connection, organization_id, case_id)
    return [FactView.model_validate(dict(row)) for row in facts]


async def _record(connection: AsyncConnection, principal: Principal, case_id: UUID, new: NewFact) -> FactView:
    value = check_fact(new.kind, new.value)
    organization_id = organization_of(principal)
    row = await find_case(connection, organization_id, case_id)
    if row is None:
        raise no_such_case()
    # A batch of the worker may be moving the case's events at this moment.
    await lock_shards(connection, "tracker", [shard_of(row["claim_key"])])
    row = await find_case(connection, organization_id, case_id)
    if row is None or row["closed_reason"] in ENDED_BY_ITSELF:
        raise ConflictError("This case has ended.", remedy="State the fact on the case in `merged_into`.")
    if row["purged_at"]:
        raise ConflictError(
            "What was said about this case was purged when its retention ended: it cannot be decided again.",
            remedy="Send the payer's newer remittance, if there is one: it opens a case of its own.",
        )
    fact = FactRecorded(
        organization_id=organization_id,
        fact_id=uuid4(),
        claim_key=UUID(str(row["claim_key"])),
        case_id=case_id,
        event_ids=tuple(await denials_among(connection, organization_id, row["event_ids"])),
        kind=new.kind,
        value=value,
        recorded_at=clock.now(),
        recorded_by=UUID(str(principal.principal_id)),
    )
    await keep_fact(connection, fact, role=principal.role, note=new.note)
    told = {"fact_id": str(fact.fact_id), "kind": fact.kind}
    await audit(connection, principal, "fact_recorded", case_id=case_id, detail=told)
    return FactView(
        fact_id=fact.fact_id,
        case_id=case_id,
        kind=fact.kind,
        value=fact.value,
        note=new.note,
        recorded_by=fact.recorded_by,
        recorded_role=principal.role,
        recorded_at=fact.recorded_at,
        state="sent",
    )
