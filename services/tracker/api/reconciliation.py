"""GET /v1/reconciliation/ledger: ids and sums of everything in the ledger, one JSON object a line."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from pydantic import AfterValidator, AwareDatetime
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.store.reconciliation import ledger_lines
from shared.http.auth import require
from shared.http.ndjson import NdjsonResponse
from shared.http.parameters import representable
from shared.postgres import transaction
from shared.security.principals import Principal

_encode_lines = msgspec.json.Encoder(decimal_format="string").encode_lines


def reconciliation_router(engine: AsyncEngine) -> APIRouter:
    """Make the route. The operator sees every organization, anybody else their own."""
    router = APIRouter(tags=["reconciliation"])

    @router.get("/v1/reconciliation/ledger", operation_id="reconcile_ledger", response_class=NdjsonResponse)
    async def ledger(
        principal: Annotated[Principal, require("operator", "supervisor", "auditor", "admin")],
        since: Annotated[
            AwareDatetime | date | None,
            AfterValidator(representable),
            Query(description="A day (UTC) or an instant."),
        ] = None,
    ) -> NdjsonResponse:
        """Stream what was recorded at `since` or later, ordered by organization, event and revision."""
        organizations = await _organizations(engine, principal)
        start = (
            since if since is None or isinstance(since, datetime) else datetime.combine(since, time.min, UTC)
        )

        async def lines() -> AsyncIterator[bytes]:
            async for page in ledger_lines(engine, organizations, since=start):
                yield _encode_lines(page)

        return NdjsonResponse(lines())

    return router


async def _organizations(engine: AsyncEngine, principal: Principal) -> list[UUID]:
    if principal.organization_id is not None:
        return [UUID(str(principal.organization_id))]
    async with transaction(engine) as connection:
        found = await connection.execute(
            text("select organization_id from access.organizations_of_installation()")
        )
        return [UUID(str(one)) for one in found.scalars()]
