"""POST /v1/cases/bulk: one step on many cases, each for itself."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Body, Request, status
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import Supervisor
from services.tracker.api.steps import ANSWERS
from services.tracker.api.taking import take_step
from services.tracker.api.views import View
from services.tracker.domain.states import State
from services.tracker.domain.steps import AnyStep
from shared.errors import ConflictError, ReprieveError, UnavailableError
from shared.http.idempotency import Answer, IdempotencyKey, answer_once
from shared.postgres import lock_shards
from shared.security.principals import Principal
from shared.values import shard_of

ITEMS_MAX = 100


class BulkItem(BaseModel):
    """A case, and the version that was looked at: another one is left alone."""

    model_config = ConfigDict(extra="forbid")

    case_id: UUID
    version: int | None = Field(None, ge=1, le=2**31 - 1)


class BulkStep(BaseModel):
    """The same step for all items."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[BulkItem], Field(min_length=1, max_length=ITEMS_MAX)]
    step: AnyStep


class BulkResult(View):
    """
    What became of one item. `status` is what the step alone would have been answered with.

    Of a case that an item before has made the step for it is 409.
    """

    case_id: UUID
    status: int
    version: int | None
    state: State | None
    detail: str | None
    remedy: str | None


class BulkAnswer(View):
    """One result for each item, in the order of the items."""

    data: list[BulkResult]
    done: int
    failed: int


def bulk_router(engine: AsyncEngine) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["steps"])

    @router.post(
        "/v1/cases/bulk",
        operation_id="make_steps_in_bulk",
        response_model=BulkAnswer,
        responses=examples.PROBLEMS,
    )
    async def make_steps_in_bulk(
        request: Request,
        principal: Supervisor,
        asked: Annotated[BulkStep, Body()],
        idempotency_key: IdempotencyKey = None,
    ) -> Any:
        """
        Make one step on up to a hundred cases: assign, tag, close and all others.

        Each item succeeds or fails alone; what fails leaves its case as it was. 200 also when all fail.
        A case that is named again when the step is made takes it once: the further item has 409.
        """

        async def work(connection: AsyncConnection) -> Answer:
            await _lock(connection, [one.case_id for one in asked.items])
            results, done = [], set[UUID]()
            for one in asked.items:
                result = await _take(connection, principal, one, asked.step, again=one.case_id in done)
                results.append(result)
                if result["status"] == status.HTTP_201_CREATED:
                    done.add(one.case_id)
            told = {"data": results, "done": len(done), "failed": len(results) - len(done)}
            return Answer(status.HTTP_200_OK, msgspec.json.encode(told))

        return await answer_once(engine, request, principal, work, table=ANSWERS, key=idempotency_key)

    return router


async def _lock(connection: AsyncConnection, case_ids: list[UUID]) -> None:
    """Take all locks at once, in their order: two bulks that took them singly could wait in a circle."""
    found = await connection.execute(_CLAIM_KEYS, {"case_ids": case_ids})
    await lock_shards(connection, "tracker", {shard_of(UUID(bytes=one.bytes)) for one in found.scalars()})


_CLAIM_KEYS = text("select claim_key from tracker.cases where case_id = any (cast(:case_ids as uuid[]))")


async def _take(
    connection: AsyncConnection, principal: Principal, item: BulkItem, step: AnyStep, *, again: bool
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "case_id": item.case_id,
        "version": None,
        "state": None,
        "detail": None,
        "remedy": None,
    }
    try:
        if again:
            raise ConflictError(
                "An item before this one has made the step for the case.", remedy="Name each case once."
            )
        async with connection.begin_nested():
            taken = await take_step(connection, principal, item.case_id, step, version=item.version)
    except UnavailableError:
        raise
    except ReprieveError as error:
        return result | {"status": error.status, "detail": error.message, "remedy": error.remedy}
    made = {"version": taken.row["version"], "state": taken.row["state"]}
    return result | {"status": status.HTTP_201_CREATED, **made}
