"""The reconciliation's answers: ids and sums as NDJSON, streamed. Never a claim's content."""

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store import reconciliation
from shared.http.auth import require
from shared.http.ndjson import NdjsonResponse
from shared.security.principals import Principal

_LINES_AT_ONCE = 500

_Reader = Annotated[Principal, require("operator", "supervisor", "auditor", "admin")]
_Operator = Annotated[Principal, require("operator")]
_Since = Annotated[date | None, Query(description="Received on that day (UTC) or later.")]
_Remittance = Annotated[UUID | None, Query(description="This remittance only.")]


def reconciliation_router(engine: AsyncEngine) -> APIRouter:
    """Make the routes. An operator sees every organization's sums, others their own."""
    router = APIRouter(tags=["reconciliation"])

    @router.get(
        "/v1/reconciliation/remittances", operation_id="reconcile_remittances", response_class=NdjsonResponse
    )
    async def remittances(
        principal: _Reader, since: _Since = None, remittance_id: _Remittance = None
    ) -> NdjsonResponse:
        """Per remittance: claims read = evented + no event + duplicates + quarantined + dismissed."""
        found = reconciliation.remittance_sums(
            engine, organizations=await scope(principal), since=since, remittance_id=remittance_id
        )
        return _ndjson(found)

    @router.get("/v1/reconciliation/events", operation_id="reconcile_events", response_class=NdjsonResponse)
    async def events(
        principal: _Reader, since: _Since = None, remittance_id: _Remittance = None
    ) -> NdjsonResponse:
        """Every event, ordered by organization, event and revision."""
        found = reconciliation.event_states(
            engine, organizations=await scope(principal), since=since, remittance_id=remittance_id
        )
        return _ndjson(found)

    @router.get(
        "/v1/reconciliation/receipts", operation_id="reconcile_receipts", response_class=NdjsonResponse
    )
    async def receipts(_principal: _Operator, since: _Since = None) -> NdjsonResponse:
        """Files not finished: waiting, in work, given up as a defect, or with held sets and their sums."""
        return _ndjson(reconciliation.unfinished_receipts(engine, since=since))

    async def scope(principal: Principal) -> Sequence[UUID]:
        if principal.organization_id is not None:
            return [principal.organization_id]
        return await reconciliation.organizations_of_installation(engine)

    return router


def _ndjson(found: AsyncIterator[Any]) -> NdjsonResponse:
    async def lines() -> AsyncIterator[bytes]:
        gathered: list[bytes] = []
        async for row in found:
            gathered.append(_encode(row._asdict()) + b"\n")
            if len(gathered) == _LINES_AT_ONCE:
                yield b"".join(gathered)
                gathered.clear()
        yield b"".join(gathered)

    return NdjsonResponse(lines())


_encode = msgspec.json.Encoder(decimal_format="string", enc_hook=str).encode
