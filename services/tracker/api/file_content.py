"""GET /v1/cases/{case_id}/files/{file_id}/content: a file as it was attached, opened while it is sent."""

import asyncio
from collections.abc import Iterator
from itertools import chain
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import CaseId, Worker, no_such_case, organization_of
from services.tracker.api.files import FILES, Cabinet, no_cabinet
from services.tracker.domain.file_kinds import KINDS, clean_name
from services.tracker.store.audit import audit
from services.tracker.store.files import find_file
from services.tracker.store.search import find_case
from shared.errors import ConflictError, NotFoundError
from shared.http.auth import scope_of
from shared.http.dispositions import attachment
from shared.http.problems import described
from shared.postgres import transaction
from shared.security.keyring import Keyring, ShreddedError
from shared.storage.vault import StoredFile, Vault

FileId = Annotated[UUID, Path(description="A file of the case.")]


def file_content_router(engine: AsyncEngine, keyring: Keyring, cabinet: Cabinet | None) -> APIRouter:
    """Make the route. `keyring` opens names."""
    router = APIRouter(tags=["files"])

    @router.get(
        f"{FILES}/{{file_id}}/content",
        operation_id="download_file",
        response_class=StreamingResponse,
        responses={
            **examples.PROBLEMS,
            200: {**examples.content(*KINDS), "description": "The bytes of the file."},
            409: described("Somebody removed it, or it was purged with its case."),
        },
    )
    async def download_file(principal: Worker, case_id: CaseId, file_id: FileId) -> StreamingResponse:
        """Give a file's bytes as an attachment; the opening is written to the audit log before."""
        organization_id = organization_of(principal)
        async with transaction(engine, **scope_of(principal)) as connection:
            case = await find_case(connection, organization_id, case_id)
            if case is None:
                raise no_such_case()
            row = await find_file(connection, claim_key=case["claim_key"], case_id=case_id, file_id=file_id)
            if row is None:
                raise NotFoundError("There is no such file.", remedy=f"`GET {FILES}` lists those of a case.")
            if row["wrapped_key"] is None:
                raise ConflictError(
                    "This file was removed." if row["removed_at"] else "This file was purged with its case.",
                    remedy="What is known of it stands in the list of the case's files.",
                )
            if cabinet is None:
                raise no_cabinet()
            await audit(
                connection, principal, "file_opened", case_id=case_id, detail={"file_id": str(file_id)}
            )
        # Opened only after the audit row is committed: nobody reads a file of which nothing is written.
        stored = StoredFile(row["storage_key"], bytes(row["wrapped_key"]), row["size_bytes"])
        first, others = await asyncio.to_thread(_begin, cabinet.vault, stored)
        try:
            name = await keyring.open_text(organization_id, row["sealed_name"])
        except ShreddedError:
            name = clean_name(None, row["media_type"])
        headers = {
            "Content-Disposition": attachment(name),
            "Content-Length": str(row["size_bytes"]),
            "Content-Type": row["media_type"],  # media_type= would add a character set that we do not know
            "Content-Security-Policy": "sandbox",
        }
        return StreamingResponse(chain((first,), others), headers=headers)

    return router


def _begin(vault: Vault, stored: StoredFile) -> tuple[bytes, Iterator[bytes]]:
    """Open a file and its first part, so that one that is damaged is told of before the answer begins."""
    blocks = vault.open(stored).blocks()
    return next(blocks), blocks
