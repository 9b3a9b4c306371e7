"""GET /v1/cases.csv and /v1/cases.xlsx: a whole list as a file, sent while it is read."""

from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.requests import ClientDisconnect

from services.tracker.api import examples
from services.tracker.api.access import Reader, check_may_open, organization_of
from services.tracker.api.filters import DEFAULT_SORT, CaseFilters, Sort, stored_filters
from services.tracker.api.listing import stored_sort
from services.tracker.api.views import case_summary
from services.tracker.domain.spreadsheets import BOM, XLSX_ROWS_MAX, XlsxWriter, csv_lines
from services.tracker.store.audit import audit
from services.tracker.store.filters import Filters
from services.tracker.store.sealed import sealed_patients
from services.tracker.store.search import AMOUNTS, Place, find_cases
from shared import clock
from shared.contracts.person import Person
from shared.http.auth import is_still, scope_of
from shared.postgres import transaction
from shared.security.keyring import Keyring, ShreddedError
from shared.security.principals import Principal

PAGE_ROWS = 500
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
COLUMNS = (
    "case_id",
    "state",
    "closed_reason",
    "category",
    "recommended_action",
    "payer_name",
    "payer_id",
    "claim_number",
    "payer_claim_number",
    "patient_name",
    "member_id",
    "facility",
    "rendering_npi",
    "service_code",
    "service_from",
    "denied_on",
    "charge_amount",
    "denied_amount",
    "amount_at_stake",
    "paid_amount",
    "next_deadline_on",
    "days_left",
    "priority",
    "needs_human",
    "assignee_id",
    "tags",
    "opened_at",
)


class ExportQuery(CaseFilters):
    """The filters of the list."""

    sort: Sort = Field(DEFAULT_SORT, description="As of the list.")
    reveal: bool = Field(False, description="With names and member ids, for roles that may; each is audited.")


class CsvQuery(ExportQuery):
    bom: bool = Field(False, description="Begin with a UTF-8 byte order mark, as Excel wants it.")


def exports_router(engine: AsyncEngine, keyring: Keyring) -> APIRouter:
    """Make the routes. `keyring` opens names."""
    router = APIRouter(tags=["cases"])

    @router.get(
        "/v1/cases.csv",
        operation_id="export_cases_csv",
        response_class=StreamingResponse,
        responses={**examples.PROBLEMS, 200: examples.content("text/csv")},
    )
    async def export_csv(
        request: Request, principal: Reader, asked: Annotated[CsvQuery, Query()]
    ) -> StreamingResponse:
        """Give the whole list as CSV. A text that begins like a formula has an apostrophe in front."""
        pages = await begin(request, principal, asked, "csv")
        return _file(_csv(pages, bom=asked.bom), "text/csv; charset=utf-8", "cases.csv")

    @router.get(
        "/v1/cases.xlsx",
        operation_id="export_cases_xlsx",
        response_class=StreamingResponse,
        responses={**examples.PROBLEMS, 200: examples.content(XLSX)},
    )
    async def export_xlsx(
        request: Request, principal: Reader, asked: Annotated[ExportQuery, Query()]
    ) -> StreamingResponse:
        """Give the whole list as a sheet with a frozen header, up to the rows that a sheet may have."""
        return _file(_xlsx(await begin(request, principal, asked, "xlsx")), XLSX, "cases.xlsx")

    async def begin(
        request: Request, principal: Principal, asked: ExportQuery, form: str
    ) -> AsyncIterator[list[list[Any]]]:
        """Check, write to the audit log, and only then begin to read."""
        if asked.reveal:
            check_may_open(principal)
        async with transaction(engine, **scope_of(principal)) as connection:
            filters = await stored_filters(connection, principal, asked, at=clock.now())
            await audit(
                connection, principal, "cases_exported", detail={"form": form, "revealed": asked.reveal}
            )
        pages = _pages(engine, keyring, principal, filters, sort=stored_sort(asked.sort), reveal=asked.reveal)
        return _while_allowed(pages, request, principal)

    return router


def _file(content: AsyncIterator[bytes], media_type: str, name: str) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(content, media_type=media_type, headers=headers)


async def _csv(pages: AsyncIterator[list[list[Any]]], *, bom: bool) -> AsyncIterator[bytes]:
    yield ((BOM if bom else "") + csv_lines([COLUMNS])).encode()
    async for page in pages:
        yield csv_lines(page).encode()


async def _xlsx(pages: AsyncIterator[list[list[Any]]]) -> AsyncIterator[bytes]:
    writer = XlsxWriter(COLUMNS)
    left = XLSX_ROWS_MAX - 1
    async for page in pages:
        writer.add(page[:left])
        left -= len(page[:left])
        yield writer.taken()
        if not left:
            break
    writer.end()
    yield writer.taken()


async def _while_allowed(
    pages: AsyncIterator[list[list[Any]]], request: Request, principal: Principal
) -> AsyncIterator[list[list[Any]]]:
    """Give pages while the caller may have them; then the answer breaks off, and passes for no whole one."""
    async for page in pages:
        yield page
        if not await is_still(request, principal):
            raise ClientDisconnect  # for us they are gone, and the door treats them so


async def _pages(
    engine: AsyncEngine, keyring: Keyring, principal: Principal, filters: Filters, *, sort: str, reveal: bool
) -> AsyncIterator[list[list[Any]]]:
    """
    Give the rows of the list, page by page.

    Each page is a transaction of its own, so that a slow reader holds neither a snapshot nor a connection.
    """
    after: Place | None = None
    while True:
        async with transaction(engine, **scope_of(principal)) as connection:
            found = await find_cases(
                connection, organization_of(principal), filters, sort=sort, limit=PAGE_ROWS, after=after
            )
            sealed = await _opening(connection, principal, found.cases) if reveal else {}
        names = {case_id: await _opened(keyring, principal, one) for case_id, one in sealed.items()}
        yield [_row(one, names) for one in found.cases]
        after = found.next_place
        if after is None:
            return


async def _opening(
    connection: AsyncConnection, principal: Principal, cases: Sequence[Mapping[str, Any]]
) -> dict[UUID, str]:
    """Give the sealed patients, with each opening in the audit log before anybody reads a name."""
    sealed = await sealed_patients(connection, organization_of(principal), cases)
    for case_id in sealed:
        await audit(connection, principal, "identifiers_opened", case_id=case_id, detail={"by": "export"})
    return sealed


async def _opened(keyring: Keyring, principal: Principal, sealed: str) -> Person | None:
    """Open a patient; one whose month was shredded meanwhile stays masked."""
    try:
        return await keyring.open_person(organization_of(principal), sealed)
    except ShreddedError:
        return None


def _row(case: Mapping[str, Any], names: Mapping[UUID, Person | None]) -> list[Any]:
    shown = case_summary(case, at=clock.now()) | {name: Decimal(case[name]) for name in AMOUNTS}
    person = names.get(case["case_id"])
    masked = shown["patient"]
    shown |= {
        "patient_name": _name(person) if person else masked["name"],
        "member_id": person.member_id if person else masked["member_id"],
        "tags": " ".join(case["tags"]),
        "case_id": str(case["case_id"]),
    }
    return [shown[name] for name in COLUMNS]


def _name(person: Person) -> str:
    return ", ".join(part for part in (person.last, person.first) if part)
