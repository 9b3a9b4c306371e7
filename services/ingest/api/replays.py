"""Reading again over HTTP: the worker reads the raw files with the present reader."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.api.quarantine import file_gone, organizations_of
from services.ingest.api.quarantine_views import ReplayAsked, ReplayWanted
from services.ingest.store.replays import Selection, ask_replays
from shared.errors import NotFoundError
from shared.http.auth import require
from shared.security.principals import Principal

_Replayer = Annotated[Principal, require("supervisor", "admin", "operator")]


def replays_router(engine: AsyncEngine) -> APIRouter:
    """Make the routes. An operator may ask for every organization, others for their own."""
    router = APIRouter(tags=["quarantine"])

    @router.post("/v1/remittances/{remittance_id}/replay", operation_id="replay_remittance", status_code=202)
    async def replay_remittance(principal: _Replayer, remittance_id: UUID) -> ReplayAsked:
        """Have one remittance read again."""
        return await replay(principal, Selection(remittance_id=remittance_id))

    @router.post("/v1/replays", operation_id="replay_remittances", status_code=202)
    async def replay_remittances(principal: _Replayer, wanted: ReplayWanted) -> ReplayAsked:
        """Have remittances read again; what reads otherwise becomes a higher revision of the same event."""
        return await replay(principal, Selection(**wanted.model_dump()))

    async def replay(principal: Principal, selection: Selection) -> ReplayAsked:
        organizations = await organizations_of(engine, principal)
        asked = await ask_replays(engine, selection, organizations=organizations, by=principal.principal_id)
        if asked.unreadable and not asked.asked:
            raise file_gone()
        if (selection.remittance_id or selection.receipt_id) and not asked.asked:
            raise NotFoundError(
                "There is no such remittance that was read to its end.",
                remedy="`GET /v1/remittances` lists those that you may see.",
            )
        return ReplayAsked(asked=asked.asked, unreadable=asked.unreadable)

    return router
