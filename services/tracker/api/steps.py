"""POST /v1/cases/{case_id}/steps: the one door for what people do about a case."""

import re
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Body, Header, Request, status
from fastapi.responses import Response
from pydantic import AwareDatetime, RootModel
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import CaseId, Reader, Worker, no_such_case, organization_of
from services.tracker.api.taking import Taken, take_step
from services.tracker.api.views import CaseSummary, View, case_summary
from services.tracker.domain.allowed import allowed_steps
from services.tracker.domain.states import StepKind
from services.tracker.domain.steps import AnyStep
from services.tracker.store.search import find_case
from services.tracker.store.steps import steps_of_case
from shared import clock
from shared.errors import InvalidInputError
from shared.http.auth import scope_of
from shared.http.idempotency import Answer, IdempotencyKey, answer_once
from shared.postgres import transaction

ANSWERS = "tracker.idempotency"
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match", description='The version that you looked at, as in the ETag: `"3"`.', max_length=40
    ),
]


class NewStep(RootModel[AnyStep]):
    """A step; `kind` tells which."""


class StepView(View):
    """
    A step as it was made. `told` has its own fields: those of the request, what was left out filled in.

    It is empty once the case was purged. `case_id` is the case on which it was made, which may have become a
    part of another since.
    """

    step_id: UUID
    case_id: UUID
    number: int
    kind: StepKind
    made_at: AwareDatetime
    made_by: UUID
    made_role: str
    told: dict[str, Any]


class StepTaken(View):
    """The step, and the case as it stands after it."""

    step: StepView
    case: CaseSummary
    allowed_steps: list[StepKind]


class StepList(View):
    data: list[StepView]


def steps_router(engine: AsyncEngine) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["steps"])

    @router.post(
        "/v1/cases/{case_id}/steps",
        operation_id="make_step",
        status_code=status.HTTP_201_CREATED,
        response_model=StepTaken,
        responses=examples.NEW_STEP,
    )
    async def make_step(
        request: Request,
        principal: Worker,
        case_id: CaseId,
        new: Annotated[NewStep, Body(openapi_examples=examples.STEPS)],
        if_match: IfMatch = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Say what was done about a case: it moves by docs/lifecycle.md, or 409 says what is allowed."""
        version = version_of(if_match)

        async def work(connection: AsyncConnection) -> Answer:
            taken = await take_step(connection, principal, case_id, new.root, version=version)
            return Answer(
                status.HTTP_201_CREATED,
                step_taken(taken).model_dump_json().encode(),
                {"ETag": etag(taken.row)},
            )

        return await answer_once(engine, request, principal, work, table=ANSWERS, key=idempotency_key)

    @router.get("/v1/cases/{case_id}/steps", operation_id="list_steps", responses=examples.PROBLEMS)
    async def list_steps(principal: Reader, case_id: CaseId) -> StepList:
        """List the steps of a case, oldest first, with those of cases that turned out to be parts of it."""
        async with transaction(engine, **scope_of(principal)) as connection:
            row = await find_case(connection, organization_of(principal), case_id)
            if row is None:
                raise no_such_case()
            return StepList(data=await read_steps(connection, row))

    return router


async def read_steps(connection: AsyncConnection, row: Mapping[str, Any]) -> list[StepView]:
    """Give the steps of a case, a row of tracker.cases, oldest first."""
    found = await steps_of_case(connection, claim_key=row["claim_key"], case_id=row["case_id"])
    return [step_view(one) for one in found]


def version_of(if_match: str | None) -> int | None:
    """Read an If-Match header. Raises InvalidInputError for what is no version."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise InvalidInputError(
            "The If-Match header is no version of a case.",
            remedy='Send the ETag that the case came with, such as "3" with its quotes.',
        )
    return int(found[1])


_ETAG = re.compile(r'(?:W/)?"(\d{1,9})"')


def etag(row: Mapping[str, Any]) -> str:
    """Name the version of a case for If-Match."""
    return f'"{row["version"]}"'


def step_taken(taken: Taken) -> StepTaken:
    made = taken.made
    return StepTaken(
        step=StepView(
            step_id=made.step_id,
            case_id=made.case_id,
            number=made.number,
            kind=made.step.kind,
            made_at=made.made_at,
            made_by=made.made_by,
            made_role=made.made_role,
            told=_told(made.step.model_dump(mode="json", exclude_none=True)),
        ),
        case=CaseSummary.model_validate(case_summary(taken.row, at=clock.now())),
        allowed_steps=list(allowed_steps(taken.case.state, taken.case.requests)),
    )


def step_view(row: Any) -> StepView:
    """Show a row of tracker.steps with its kind."""
    return StepView.model_validate({**row, "told": _told(_read(row["body"]))})


def _read(body: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(body)
    return found


def _told(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "kind"}
