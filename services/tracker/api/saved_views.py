"""GET, PUT and DELETE /v1/views: filters and an order under a name, one's own or shared."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Request, status
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import Reader, Worker, organization_of
from services.tracker.api.filters import DEFAULT_SORT, CaseFilters, Sort, Word
from services.tracker.api.steps import ANSWERS
from services.tracker.api.views import View
from services.tracker.store.views import VIEWS_MAX, forget_view, keep_view, views_of
from shared.errors import ConflictError, DeniedError, InvalidInputError, NotFoundError
from shared.http.auth import scope_of
from shared.http.idempotency import Answer, IdempotencyKey, answer_once
from shared.postgres import transaction
from shared.security.principals import Principal


class NewView(BaseModel):
    """What the view lists. Neither a patient nor a claim's number stands in a view."""

    model_config = ConfigDict(extra="forbid")

    name: Word
    shared: bool = Field(False, description="For everybody of the organization; supervisors and admins may.")
    filters: CaseFilters = CaseFilters.model_validate({})
    sort: Sort = DEFAULT_SORT


class SavedView(View):
    """A view. `yours`: kept by the caller."""

    view_id: UUID
    name: str
    shared: bool
    yours: bool
    filters: dict[str, Any]
    sort: Sort
    created_at: AwareDatetime
    updated_at: AwareDatetime


class SavedViews(View):
    data: list[SavedView]


def saved_views_router(engine: AsyncEngine) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["views"])

    @router.get("/v1/views", operation_id="list_views", responses=examples.PROBLEMS)
    async def list_views(principal: Reader) -> SavedViews:
        """List one's own views and those that others share."""
        async with transaction(engine, **scope_of(principal)) as connection:
            found = await views_of(connection, principal.principal_id)
        return SavedViews(data=[_shown(row, principal.principal_id) for row in found])

    @router.put("/v1/views", operation_id="keep_view", response_model=SavedView, responses=examples.PROBLEMS)
    async def keep(
        request: Request, principal: Worker, told: NewView, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Keep a view under its name; the one that the caller has under it already is changed."""
        if told.shared and principal.role not in ("supervisor", "admin"):
            raise DeniedError(
                f"The role {principal.role} may not share views.",
                remedy="Keep it for yourself: `shared` false.",
            )
        if told.filters.claim_number or told.filters.payer_claim_number:
            # What is said about a claim goes when its time has come; nothing would find it here.
            raise InvalidInputError(
                "A view holds no claim's number.", remedy="Leave it out, and search by it."
            )
        members = {
            **told.model_dump(include={"name", "shared", "sort"}),
            "filters": told.filters.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
        }

        async def work(connection: AsyncConnection) -> Answer:
            kept = await keep_view(connection, organization_of(principal), principal.principal_id, members)
            if kept is None:
                raise ConflictError(
                    f"You keep {VIEWS_MAX} views already.", remedy="Delete one that you do not use."
                )
            shown = _shown(kept, principal.principal_id)
            return Answer(status.HTTP_200_OK, shown.model_dump_json().encode())

        return await answer_once(engine, request, principal, work, table=ANSWERS, key=idempotency_key)

    @router.delete(
        "/v1/views/{view_id}",
        operation_id="forget_view",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=examples.PROBLEMS,
    )
    async def forget(
        request: Request,
        principal: Worker,
        view_id: Annotated[UUID, Path(description="The view.")],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Delete one's own view; supervisors and admins delete shared ones too."""
        work = partial(_forget, principal, view_id)
        return await answer_once(engine, request, principal, work, table=ANSWERS, key=idempotency_key)

    return router


async def _forget(principal: Principal, view_id: UUID, connection: AsyncConnection) -> Answer:
    gone = await forget_view(connection, view_id, owner_id=principal.principal_id)
    if not gone and principal.role in ("supervisor", "admin"):
        gone = await forget_view(connection, view_id, owner_id=None)
    if not gone:
        raise NotFoundError("There is no such view of yours.", remedy="`GET /v1/views` lists them.")
    return Answer(status.HTTP_204_NO_CONTENT)


def _shown(row: Any, me: UUID) -> SavedView:
    return SavedView.model_validate(
        {**row, "filters": msgspec.json.decode(row["filters"]), "yours": row["owner_id"] == me}
    )
