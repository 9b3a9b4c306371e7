"""Receipts, and the lists of remittances and held sets."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.api.feeds import submitter_of
from services.ingest.api.remittance_detail import remittance_detail
from services.ingest.api.views import (
    HeldPage,
    HeldView,
    ReceiptList,
    ReceiptView,
    RemittanceDetail,
    RemittancePage,
    RemittanceView,
    WantedReceipts,
)
from services.ingest.store import receipts, remittances
from shared.errors import DeniedError
from shared.http.auth import require
from shared.http.cursors import decode_cursor, encode_cursor
from shared.postgres import transaction
from shared.security.principals import Principal
from shared.storage.vault import Vault

_SUBMITTERS = text("select submitter_id from ingest.submitters_with_receipts()")

_Submitter = Annotated[Principal, require("submitter")]
_SubmitterOrMember = Annotated[
    Principal, require("submitter", "viewer", "biller", "supervisor", "auditor", "admin")
]
_Member = Annotated[Principal, require("viewer", "biller", "supervisor", "auditor", "admin")]
_HeldReader = Annotated[Principal, require("submitter", "operator")]
_Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]


def remittances_router(engine: AsyncEngine, vault: Vault, *, cursor_key: bytes) -> APIRouter:
    """Make the routes. `cursor_key` signs cursors."""
    router = APIRouter(tags=["remittances"])

    @router.get("/v1/remittances/{receipt_id}", operation_id="get_receipt")
    async def get_receipt(principal: _SubmitterOrMember, receipt_id: UUID) -> ReceiptView | RemittanceDetail:
        """
        Give one receipt of the calling submitter, or one remittance of the caller's organization.

        For people of an organization the id is a `remittance_id`.
        """
        if principal.organization_id is not None:
            ids = {"organization_id": principal.organization_id, "remittance_id": receipt_id}
            return await remittance_detail(engine, vault, **ids)
        found = await receipts.receipt_summary(
            engine, submitter_id=submitter_of(principal), receipt_id=receipt_id
        )
        return ReceiptView(**found)

    @router.post("/v1/remittances/known", operation_id="find_receipts")
    async def find_receipts(principal: _Submitter, wanted: WantedReceipts) -> ReceiptList:
        """Give the caller's receipts of files with these SHA-256; those it never sent are left out."""
        found = await receipts.receipts_of_hashes(
            engine,
            submitter_id=submitter_of(principal),
            hashes=[bytes.fromhex(one) for one in wanted.sha256],
            feed=wanted.feed,
        )
        return ReceiptList(data=[ReceiptView(**one) for one in found])

    @router.get("/v1/remittances", operation_id="list_remittances")
    async def list_remittances(
        principal: _Member,
        limit: _Limit = 50,
        cursor: Annotated[str | None, Query(description="As `next_cursor` of the page before.")] = None,
    ) -> RemittancePage:
        """List the transaction sets of the caller's organization, newest first."""
        if principal.organization_id is None:
            raise DeniedError("Only members of an organization have remittances.")
        before = decode_cursor(cursor, tuple[datetime, UUID], key=cursor_key) if cursor else None
        found = await remittances.page_of_remittances(
            engine, organization_id=principal.organization_id, before=before, limit=limit + 1
        )
        page = [RemittanceView(**row) for row in found[:limit]]
        has_more = len(found) > limit
        last = (page[-1].received_at, page[-1].remittance_id) if has_more else None
        return RemittancePage(
            data=page, has_more=has_more, next_cursor=encode_cursor(last, key=cursor_key) if last else None
        )

    @router.get("/v1/held", operation_id="list_held")
    async def list_held(
        principal: _HeldReader,
        limit: _Limit = 50,
        cursor: Annotated[str | None, Query(description="As `next_cursor` of the page before.")] = None,
    ) -> HeldPage:
        """List transaction sets whose payee nobody registered: identifiers, sizes and sums only."""
        if principal.submitter_id is not None:
            submitters = [principal.submitter_id]
        else:
            async with transaction(engine) as connection:
                submitters = list((await connection.execute(_SUBMITTERS)).scalars())
        after = decode_cursor(cursor, tuple[UUID, int], key=cursor_key) if cursor else None
        found = await remittances.page_of_held(engine, submitters=submitters, after=after, limit=limit + 1)
        page = [HeldView(**row) for row in found[:limit]]
        has_more = len(found) > limit
        last = (page[-1].receipt_id, page[-1].set_ordinal) if has_more else None
        return HeldPage(
            data=page, has_more=has_more, next_cursor=encode_cursor(last, key=cursor_key) if last else None
        )

    return router
