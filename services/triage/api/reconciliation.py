"""GET /v1/reconciliation/decisions: ids, sums and states of everything decided, one JSON object a line."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from pydantic import AfterValidator
from sqlalchemy.ext.asyncio import AsyncEngine

from services.triage.store.organizations import time_zones
from services.triage.store.reconciliation import decision_lines
from shared.http.auth import require
from shared.http.ndjson import NdjsonResponse
from shared.http.parameters import representable
from shared.postgres import transaction
from shared.security.principals import Principal

_encode_lines = msgspec.json.Encoder(decimal_format="string").encode_lines


def reconciliation_router(engine: AsyncEngine) -> APIRouter:
    """Make the route. The operator sees every organization, anybody else their own."""
    router = APIRouter(tags=["reconciliation"])

    @router.get(
        "/v1/reconciliation/decisions", operation_id="reconcile_decisions", response_class=NdjsonResponse
    )
    async def decisions(
        principal: Annotated[Principal, require("operator", "supervisor", "auditor", "admin")],
        since: Annotated[
            datetime | None,
            AfterValidator(representable),
            Query(description="A date or an instant, UTC unless told."),
        ] = None,
    ) -> NdjsonResponse:
        """Stream what was first seen at `since` or later, ordered by organization, event and revision."""
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        organizations = await _organizations(engine, principal)

        async def lines() -> AsyncIterator[bytes]:
            async for page in decision_lines(engine, organizations, since=since):
                yield _encode_lines(page)

        return NdjsonResponse(lines())

    return router


async def _organizations(engine: AsyncEngine, principal: Principal) -> list[UUID]:
    if principal.organization_id is not None:
        return [principal.organization_id]
    async with transaction(engine) as connection:
        return list(await time_zones(connection))
