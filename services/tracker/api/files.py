"""
The files of a case: POST and GET /v1/cases/{case_id}/files, and the content of one.

A file's bytes stream through; nothing is held in memory. Its name comes in a header and not in the URL, which
proxies write down: it may name a patient.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any
from uuid import UUID, uuid4

import structlog
from fastapi import APIRouter, Header, Query, Request, status
from fastapi.responses import Response
from pydantic import AwareDatetime
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import CaseId, Reader, Worker, check_may_open, no_such_case, organization_of
from services.tracker.api.leading import checklist_of
from services.tracker.api.steps import ANSWERS, IfMatch, etag, version_of
from services.tracker.api.taking import check_row, lock_case, take_step
from services.tracker.api.views import MASK, CaseSummary, View, case_summary
from services.tracker.domain.file_kinds import (
    BEGINNING_BYTES,
    KINDS,
    check_beginning,
    check_block,
    clean_name,
    kind_of,
)
from services.tracker.domain.files import AttachedFile, files_there
from services.tracker.domain.steps import FileAttached
from services.tracker.store import files as store
from services.tracker.store.audit import audit
from services.tracker.store.search import find_case
from services.tracker.store.steps import made_of, steps_of_case
from shared import clock
from shared.errors import InvalidInputError, MediaTypeError, ReprieveError, TooLargeError, UnavailableError
from shared.http.auth import scope_of
from shared.http.dispositions import file_name_in
from shared.http.idempotency import Answer, IdempotencyKey, answer_once
from shared.postgres import transaction
from shared.security.keyring import Keyring, ShreddedError
from shared.security.principals import Principal
from shared.storage.sealing import seal_stream
from shared.storage.vault import StoredFile, Vault, new_storage_key

FILES = "/v1/cases/{case_id}/files"
DOCUMENTS_MAX = 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Cabinet:
    """Where files lie, and how many bytes one file, and all files of a case, may have."""

    vault: Vault
    file_bytes_max: int
    case_bytes_max: int


class FileView(View):
    """
    A file as it is known. `name` is masked unless `revealed`, and null once the file is gone.

    `documents` are the papers of the checklist that it is. `removed_at` is when somebody took it away;
    `shredded_at` when its content was destroyed, by that or by the end of the retention.
    """

    file_id: UUID
    name: str | None
    revealed: bool = False
    media_type: str
    size_bytes: int
    sha256: str
    documents: list[str]
    attached_at: AwareDatetime
    attached_by: UUID
    removed_at: AwareDatetime | None
    shredded_at: AwareDatetime | None


class FileList(View):
    data: list[FileView]


class FileTaken(View):
    """The file, and the case as it stands with it."""

    file: FileView
    case: CaseSummary


_BODY = {"schema": {"type": "string", "format": "binary"}}
_DESCRIBED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": dict.fromkeys(KINDS, _BODY),
    }
}


def files_router(engine: AsyncEngine, keyring: Keyring, cabinet: Cabinet | None) -> APIRouter:
    """Make the routes. `keyring` seals names; without a `cabinet` no file is taken or given."""
    router = APIRouter(tags=["files"])

    @router.post(
        FILES,
        operation_id="attach_file",
        status_code=status.HTTP_201_CREATED,
        response_model=FileTaken,
        responses={
            **examples.PROBLEMS,
            200: {"model": FileTaken, "description": "The case has this file already."},
        },
        openapi_extra=_DESCRIBED,
    )
    async def attach_file(
        request: Request,
        principal: Worker,
        case_id: CaseId,
        document: Annotated[
            list[str] | None,
            Query(
                max_length=DOCUMENTS_MAX,
                description="A paper of the case's `documents` that this file is; may be repeated.",
            ),
        ] = None,
        content_disposition: Annotated[
            str | None,
            Header(description='Its name: `attachment; filename="notes.pdf"`, or `filename*` (RFC 6266).'),
        ] = None,
        if_match: IfMatch = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """
        Attach a file: its bytes are the body, its kind stands in `Content-Type`.

        The same bytes again are the same file: 200, and nothing new but papers that it is as well.
        """
        version, documents = version_of(if_match), document or []
        upload = _Upload(engine, keyring, principal, case_id, new_storage_key())
        room = await upload.begin(cabinet, version=version)
        try:
            told = await upload.receive(request, room, name=content_disposition)
            return await answer_once(
                engine,
                request,
                principal,
                partial(upload.attach, told, documents=documents, room=room, version=version),
                table=ANSWERS,
                key=idempotency_key,
                digest=told.digest(request, documents),
            )
        finally:
            await upload.end()

    @router.get(FILES, operation_id="list_files", responses=examples.PROBLEMS)
    async def list_files(
        *,
        principal: Reader,
        case_id: CaseId,
        reveal: Annotated[bool, Query(description="Open the names; the opening is audited.")] = False,
    ) -> FileList:
        """List the files of a case, oldest first: removed ones and those of merged cases too."""
        if reveal:
            check_may_open(principal)
        async with transaction(engine, **scope_of(principal)) as connection:
            case = await find_case(connection, organization_of(principal), case_id)
            if case is None:
                raise no_such_case()
            found, there = await _files_of(connection, case)
            if reveal and any(row["sealed_name"] for row in found):
                await audit(
                    connection, principal, "identifiers_opened", case_id=case_id, detail={"by": "files"}
                )
        names = {row["file_id"]: await _opened(keyring, principal, row) for row in found} if reveal else {}
        return FileList(data=[_view(row, there, name=names.get(row["file_id"])) for row in found])

    return router


@dataclass(frozen=True, slots=True)
class _Received:
    """A body that is sealed and durable, and what its sender calls it, cleaned and sealed."""

    media_type: str
    sha256: str
    stored: StoredFile
    sealed_name: str

    def digest(self, request: Request, documents: list[str]) -> bytes:
        """Name the request for its Idempotency-Key."""
        parts = (
            request.url.path,
            request.headers.get("if-match", ""),
            self.media_type,
            self.sha256,
            *documents,
        )
        return hashlib.sha256("\0".join(parts).encode()).digest()


@dataclass(frozen=True, slots=True)
class _Room:
    """How many bytes may come for one case, and where they go."""

    cabinet: Cabinet
    left_bytes: int

    @property
    def bytes_max(self) -> int:
        return min(self.cabinet.file_bytes_max, self.left_bytes)

    def check(self, size_bytes: int) -> None:
        """Raise TooLargeError for more bytes than the file, or all files of the case, may have."""
        if size_bytes > self.cabinet.file_bytes_max:
            raise TooLargeError(
                f"The file is larger than {self.cabinet.file_bytes_max:,} bytes.",
                remedy="Split it or scan it smaller; the operator may raise REPRIEVE_FILE_BYTES_MAX.",
            )
        if size_bytes > self.left_bytes:
            raise TooLargeError(
                f"With it, the files of this case are larger than {self.cabinet.case_bytes_max:,} bytes.",
                remedy="Remove what is not needed; the operator may raise REPRIEVE_CASE_FILES_BYTES_MAX.",
            )


@dataclass(frozen=True, slots=True)
class _Upload:
    """One file on its way to a case. begin() comes before its bytes, end() after all, whatever happened."""

    engine: AsyncEngine
    keyring: Keyring
    principal: Principal
    case_id: UUID
    storage_key: str

    async def begin(self, cabinet: Cabinet | None, *, version: int | None) -> _Room:
        """See that the case may have files, and note that bytes are about to come."""
        organization_id = organization_of(self.principal)
        async with transaction(self.engine, **scope_of(self.principal)) as connection:
            case = await find_case(connection, organization_id, self.case_id)
            if case is None:
                raise no_such_case()
            check_row(case, version)
            room = _room(cabinet, await _there(connection, case))
            await store.begin_upload(connection, organization_id, self.storage_key)
        return room

    async def receive(self, request: Request, room: _Room, *, name: str | None) -> _Received:
        """Seal the body while it comes. Raises MediaTypeError, TooLargeError, InvalidInputError."""
        media_type = kind_of(request.headers.get("content-type"))
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise MediaTypeError("The body is encoded.", remedy="Send it without Content-Encoding.")
        cleaned = clean_name(file_name_in(name), media_type)
        announced = request.headers.get("content-length", "")
        room.check(int(announced) if announced.isdecimal() else 0)
        sealer = await self.keyring.sealer(organization_of(self.principal), clock.now().date())
        sha256, stored = await seal_stream(
            _checked(request.stream(), media_type, room), room.cabinet.vault, storage_key=self.storage_key
        )
        return _Received(media_type, sha256.hex(), stored, sealer.seal(cleaned.encode()))

    async def attach(
        self,
        told: _Received,
        connection: AsyncConnection,
        *,
        documents: list[str],
        room: _Room,
        version: int | None,
    ) -> Answer:
        """Make the sealed bytes a file of the case, with its step; or find that they are one."""
        key, case = await lock_case(connection, organization_of(self.principal), self.case_id)
        check_row(case, version)
        await _check_documents(connection, case, documents)
        there = await _there(connection, case)
        equal = next((one for one in there.values() if one.sha256 == told.sha256), None)
        if equal is not None and set(documents) <= set(equal.documents):
            return await self._answer(connection, case, equal.file_id, status.HTTP_200_OK)
        if equal is None:
            replace(room, left_bytes=_left(room.cabinet, there)).check(told.stored.size_bytes)
        step = FileAttached(
            kind="file_attached",
            file_id=equal.file_id if equal else uuid4(),
            sha256=told.sha256,
            media_type=equal.media_type if equal else told.media_type,
            size_bytes=told.stored.size_bytes,
            documents=tuple(dict.fromkeys(documents)),
        )
        taken = await take_step(connection, self.principal, self.case_id, step, version=version)
        if equal is None:
            await store.add_file(
                connection, key, taken.made, step, stored=told.stored, sealed_name=told.sealed_name
            )
        return await self._answer(connection, taken.row, step.file_id, status.HTTP_201_CREATED)

    async def end(self) -> None:
        """Let go of bytes that no file is made of. Should this fail, the sweep has them a day later."""
        try:
            await store.give_up(self.engine, organization_of(self.principal), self.storage_key)
        except ReprieveError as error:
            log.warning("upload_not_given_up", error_class=type(error).__name__)

    async def _answer(
        self, connection: AsyncConnection, case: Mapping[str, Any], file_id: UUID, code: int
    ) -> Answer:
        found = await store.files_of_case(connection, claim_key=case["claim_key"], case_id=self.case_id)
        [row] = [one for one in found if one["file_id"] == file_id]
        taken = FileTaken(
            file=_view(row, await _there(connection, case)),
            case=CaseSummary.model_validate(case_summary(case, at=clock.now())),
        )
        return Answer(code, taken.model_dump_json().encode(), {"ETag": etag(case)})


async def read_files(connection: AsyncConnection, case: Mapping[str, Any]) -> list[FileView]:
    """Give the files of a case, a row of tracker.cases, oldest first, their names masked."""
    found, there = await _files_of(connection, case)
    return [_view(row, there) for row in found]


async def _files_of(
    connection: AsyncConnection, case: Mapping[str, Any]
) -> tuple[Sequence[RowMapping], dict[UUID, AttachedFile]]:
    found = await store.files_of_case(connection, claim_key=case["claim_key"], case_id=case["case_id"])
    return found, await _there(connection, case)


async def _there(connection: AsyncConnection, case: Mapping[str, Any]) -> dict[UUID, AttachedFile]:
    found = await steps_of_case(connection, claim_key=case["claim_key"], case_id=case["case_id"])
    return files_there(made_of(one) for one in found if one["body"] != "{}")


def _room(cabinet: Cabinet | None, there: Mapping[UUID, AttachedFile]) -> _Room:
    if cabinet is None:
        raise no_cabinet()
    # Who repeats a file of a full case gets the answer of then: it may come as far as the largest one there.
    return _Room(cabinet, max(_left(cabinet, there), *(one.size_bytes for one in there.values()), 0))


def no_cabinet() -> UnavailableError:
    return UnavailableError(
        "This installation has no place for files.",
        remedy="The operator sets REPRIEVE_FILES_DIR or REPRIEVE_FILES_URL for tracker-api.",
    )


def _left(cabinet: Cabinet, there: Mapping[UUID, AttachedFile]) -> int:
    return cabinet.case_bytes_max - sum(one.size_bytes for one in there.values())


async def _checked(blocks: AsyncIterator[bytes], media_type: str, room: _Room) -> AsyncIterator[bytes]:
    """Pass a body on while it is what it says it is, and no larger than it may be."""
    beginning, total = b"", 0
    async for block in blocks:
        total += len(block)
        room.check(total)
        if len(beginning) < BEGINNING_BYTES:
            beginning += block[:BEGINNING_BYTES]
            if len(beginning) >= BEGINNING_BYTES:
                check_beginning(media_type, beginning)
        check_block(media_type, block)
        yield block
    if not total:
        raise InvalidInputError("The request has no body.", remedy="Send the file's bytes as the body.")
    check_beginning(media_type, beginning)


async def _check_documents(
    connection: AsyncConnection, case: Mapping[str, Any], documents: list[str]
) -> None:
    if documents and set(documents) - set(await checklist_of(connection, case)):
        raise InvalidInputError(
            "A paper that this file should be is not on the case's list.",
            remedy="Name it as `documents` of the case does, or leave it out.",
        )


async def _opened(keyring: Keyring, principal: Principal, row: RowMapping) -> str | None:
    """Open a file's name; one whose month was shredded meanwhile is gone."""
    if row["sealed_name"] is None:
        return None
    try:
        return await keyring.open_text(organization_of(principal), row["sealed_name"])
    except ShreddedError:
        return None


def _view(row: RowMapping, there: Mapping[UUID, AttachedFile], *, name: str | None = None) -> FileView:
    file = there.get(UUID(str(row["file_id"])))
    return FileView.model_validate(
        {
            **row,
            "name": name or (MASK if row["sealed_name"] else None),
            "revealed": name is not None,
            "sha256": bytes(row["sha256"]).hex(),
            "documents": list(file.documents) if file else [],
        }
    )
