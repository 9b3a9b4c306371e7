"""Quarantined claims over HTTP: list them, look at one masked, supply what is unreadable."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ingest.api.quarantine_views import (
    Dismissal,
    QuarantinedDetail,
    QuarantinedPage,
    QuarantinedView,
    Release,
    SegmentView,
)
from services.ingest.domain.claim import ClaimKind
from services.ingest.domain.correcting import Supplied, check_supplied, corrected_claim, wanted_of
from services.ingest.domain.masking import SEGMENTS_MAX, mask_loop
from services.ingest.domain.remittance import SetHeader
from services.ingest.store import quarantine, receipts
from services.ingest.store.audit import Action, audit
from services.ingest.store.quarantine import Filters, State
from services.ingest.store.reconciliation import organizations_of_installation
from services.ingest.store.replays import mark_replay
from shared.errors import ConflictError, NotFoundError
from shared.http.auth import require, scope_of
from shared.http.cursors import decode_cursor, encode_cursor
from shared.postgres import transaction
from shared.security.principals import Principal
from shared.storage.vault import StoredFile, Vault

_Lister = Annotated[Principal, require("viewer", "biller", "supervisor", "auditor", "admin", "operator")]
_Reader = Annotated[Principal, require("viewer", "biller", "supervisor", "auditor", "admin")]
_Releaser = Annotated[Principal, require("supervisor", "admin")]
_Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]


def quarantine_router(engine: AsyncEngine, vault: Vault, *, cursor_key: bytes) -> APIRouter:
    """Make the routes. `cursor_key` signs cursors."""
    router = APIRouter(tags=["quarantine"])

    @router.get("/v1/quarantine", operation_id="list_quarantined")
    async def list_quarantined(
        principal: _Lister,
        *,
        state: Annotated[State | None, Query(description="Only claims in this state.")] = None,
        remittance_id: Annotated[UUID | None, Query(description="Only claims of this remittance.")] = None,
        limit: _Limit = 50,
        cursor: Annotated[str | None, Query(description="As `next_cursor` of the page before.")] = None,
    ) -> QuarantinedPage:
        """List claims that could not be read, newest first: places, findings and sums."""
        before = decode_cursor(cursor, tuple[datetime, UUID], key=cursor_key) if cursor else None
        found = await quarantine.page_of_quarantined(
            engine,
            Filters(state=state, remittance_id=remittance_id),
            organizations=await organizations_of(engine, principal),
            before=before,
            limit=limit + 1,
        )
        page = [QuarantinedView(**row) for row in found[:limit]]
        has_more = len(found) > limit
        last = (page[-1].quarantined_at, page[-1].quarantine_id) if has_more else None
        return QuarantinedPage(
            data=page, has_more=has_more, next_cursor=encode_cursor(last, key=cursor_key) if last else None
        )

    @router.get("/v1/quarantine/{quarantine_id}", operation_id="get_quarantined")
    async def get_quarantined(principal: _Reader, quarantine_id: UUID) -> QuarantinedDetail:
        """Give one claim with its segments, masked; the look is written to the audit log."""
        row = await _claim(engine, principal, quarantine_id)
        stored = await _file(engine, row)
        async with transaction(engine, **scope_of(principal)) as connection:
            await _audit(connection, "quarantine_opened", principal, row)
        loop = await _loop(vault, stored, row)
        return _detail(row, _header(row), loop)

    @router.post(
        "/v1/quarantine/{quarantine_id}/release", operation_id="release_quarantined", status_code=202
    )
    async def release_quarantined(
        principal: _Releaser, quarantine_id: UUID, told: Release
    ) -> QuarantinedDetail:
        """Supply what could not be read; the claim is read with it in a moment. A mistake is mended alike."""
        row = await _claim(engine, principal, quarantine_id)
        stored = await _file(engine, row)
        if row.state == "reread":
            raise ConflictError("A newer reader has read this claim.", remedy="Nothing is to be supplied.")
        loop = await _loop(vault, stored, row)
        header = _header(row)
        supplied = Supplied(**told.model_dump(exclude={"reason"}))
        check_supplied(supplied, loop, header.delimiters)
        _becomes(row, header, loop, supplied)
        async with transaction(
            engine, organizations=[row.organization_id], submitters=[row.submitter_id]
        ) as connection:
            await quarantine.supply(
                connection,
                quarantine_id=quarantine_id,
                supplied=supplied,
                by=principal.principal_id,
                reason=told.reason,
            )
            if not await mark_replay(connection, row.remittance_id, row.submitter_id, row.receipt_id):
                raise file_gone()
            await _audit(connection, "quarantine_supplied", principal, row, {"supplied": supplied.names})
        return _detail(await _claim(engine, principal, quarantine_id), header, loop)

    @router.post("/v1/quarantine/{quarantine_id}/dismiss", operation_id="dismiss_quarantined")
    async def dismiss_quarantined(
        principal: _Releaser, quarantine_id: UUID, told: Dismissal
    ) -> QuarantinedView:
        """Say that nothing is to be done about a claim, and why. It is counted apart, and may be released."""
        row = await _claim(engine, principal, quarantine_id)
        async with transaction(engine, **scope_of(principal)) as connection:
            if not await quarantine.dismiss(
                connection, quarantine_id=quarantine_id, by=principal.principal_id, reason=told.reason
            ):
                raise ConflictError(
                    "The claim was read, or is being read with what was supplied for it.",
                    remedy="Nothing is left to dismiss; its case says what to do.",
                )
            await _audit(connection, "quarantine_dismissed", principal, row)
        return _view(await _claim(engine, principal, quarantine_id))

    return router


async def organizations_of(engine: AsyncEngine, principal: Principal) -> Sequence[UUID]:
    """Give the organizations whose places and sums the caller may see: all of them to the operator."""
    if principal.organization_id is not None:
        return [principal.organization_id]
    return await organizations_of_installation(engine)


async def _claim(engine: AsyncEngine, principal: Principal, quarantine_id: UUID) -> Any:
    """Give a row of the caller's organization."""
    async with transaction(engine, **scope_of(principal)) as connection:
        row = await quarantine.quarantined_claim(connection, quarantine_id)
    if row is None:
        raise NotFoundError(
            "There is no such quarantined claim.", remedy="`GET /v1/quarantine` lists those that you may see."
        )
    return row


async def _file(engine: AsyncEngine, row: Any) -> StoredFile:
    stored = await receipts.stored_file(engine, submitter_id=row.submitter_id, receipt_id=row.receipt_id)
    if stored is None:
        raise file_gone()
    return stored


async def _loop(vault: Vault, stored: StoredFile, row: Any) -> bytes:
    def read() -> bytes:
        with vault.open(stored) as reader:
            return reader.read(row.byte_offset, row.byte_length)

    return await asyncio.to_thread(read)


async def _audit(
    connection: AsyncConnection, action: Action, principal: Principal, row: Any, detail: Any = None
) -> None:
    await audit(
        connection,
        action,
        organization_id=row.organization_id,
        principal_id=principal.principal_id,
        subject_id=row.quarantine_id,
        detail=detail,
    )


def _header(row: Any) -> SetHeader:
    return msgspec.json.decode(row.header, type=SetHeader)


def _view(row: Any) -> QuarantinedView:
    return QuarantinedView(**_shown(row))


def _shown(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row._asdict().items() if name in QuarantinedView.model_fields}


def _detail(row: Any, header: SetHeader, loop: bytes) -> QuarantinedDetail:
    shown = mask_loop(loop, header.delimiters)
    wanted = wanted_of(loop, header.delimiters)
    supplied = msgspec.json.decode(row.supplied, type=Supplied) if row.supplied else None
    return QuarantinedDetail(
        **_shown(row),
        segments=[SegmentView(segment_id=one.segment_id, elements=list(one.elements)) for one in shown],
        segments_cut=len(shown) == SEGMENTS_MAX,
        needed=list(wanted.needed),
        allowed=list(wanted.allowed),
        becomes=_becomes(row, header, loop, supplied) if supplied else None,
    )


def _becomes(row: Any, header: SetHeader, loop: bytes, supplied: Supplied) -> ClaimKind:
    """Tell the kind of the claim with what was supplied. Raises UnreadableError where it stays unreadable."""
    return corrected_claim(header, loop, supplied, position=row.position).kind


def file_gone() -> ConflictError:
    """Make the answer for what needs a raw file that was deleted."""
    return ConflictError(
        "The raw file was deleted: its claims cannot be read any more.",
        remedy="Ask the payer for what is missing: the same bytes, pushed again, are not read again.",
    )
