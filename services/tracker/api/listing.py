"""GET /v1/cases and POST /v1/cases/search."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import Reader, check_may_open, organization_of
from services.tracker.api.filters import (
    DEFAULT_SORT,
    CaseFilters,
    PersonFilters,
    Sort,
    stored_filters,
)
from services.tracker.api.questions import questions_table
from services.tracker.api.views import CasePage, CaseSummary, derived_members
from services.tracker.domain.amounts import in_cents
from services.tracker.store.audit import audit
from services.tracker.store.search import AMOUNTS, LISTED, Found, Place, find_cases
from shared import clock
from shared.errors import InvalidInputError
from shared.http.auth import scope_of
from shared.http.cursors import decode_cursor, encode_cursor
from shared.http.quick_route import QuickRoute
from shared.postgres import Driver, reading, transaction
from shared.security.keyring import Keyring
from shared.security.principals import Principal
from shared.security.sealing import Sealer

Cursor = Annotated[str | None, Field(max_length=2048, description="`next_cursor` of the page before.")]
Limit = Annotated[int, Field(ge=1, le=200, description="How many at most.")]


class ListQuery(CaseFilters):
    """Filters, order and page."""

    sort: Sort = Field(
        DEFAULT_SORT, description="A minus puts the largest first; age counts from the opening."
    )
    cursor: Cursor = None
    limit: Limit = 50


class SearchQuery(PersonFilters):
    """The same in a body, and the patient."""

    sort: Sort = DEFAULT_SORT
    cursor: Cursor = None
    limit: Limit = 50


def listing_router(engine: AsyncEngine, keyring: Keyring, cursor_key: bytes) -> APIRouter:
    """Make the routes. `keyring` makes blind indexes, `cursor_key` signs cursors."""
    router = APIRouter(tags=["cases"], route_class=QuickRoute)

    @router.get(
        "/v1/cases",
        operation_id="list_cases",
        description=f"List cases, with names and member ids masked. People work from:\n\n{questions_table()}",
        responses=examples.CASE_PAGE,
        response_model=CasePage,
    )
    async def list_cases(principal: Reader, asked: Annotated[ListQuery, Query()]) -> Response:
        async with reading(engine, **scope_of(principal)) as connection:
            return await _page(connection, principal, asked, cursor_key=cursor_key)

    @router.post(
        "/v1/cases/search", operation_id="search_cases", responses=examples.CASE_PAGE, response_model=CasePage
    )
    async def search_cases(principal: Reader, asked: SearchQuery) -> Response:
        """
        List cases as GET does, also by the patient, for roles that may open names.

        A look for a person is written to the audit log: who found somebody knows that they are a patient.
        """
        sealer = None
        if asked.names_somebody:
            check_may_open(principal)
            sealer = await keyring.sealer(organization_of(principal), clock.now().date())
            async with transaction(engine, **scope_of(principal)) as connection:
                await audit(connection, principal, "patient_searched", detail={"by": _named(asked)})
        async with reading(engine, **scope_of(principal)) as connection:
            return await _page(connection, principal, asked, cursor_key=cursor_key, sealer=sealer)

    return router


def _named(asked: PersonFilters) -> list[str]:
    names = ("member_id", "patient_last_name", "patient_first_name")
    return [name for name in names if getattr(asked, name) is not None]


async def _page(
    connection: Driver,
    principal: Principal,
    asked: ListQuery | SearchQuery,
    *,
    cursor_key: bytes,
    sealer: Sealer | None = None,
) -> Response:
    sort = stored_sort(asked.sort)
    after = decode_cursor(asked.cursor, Place, key=cursor_key) if asked.cursor else None
    if after is not None and after.sort != sort:
        raise InvalidInputError(
            "The cursor belongs to a list in another order.", remedy="Start again without a cursor."
        )
    at = clock.now()
    filters = await stored_filters(connection, principal, asked, at=at, sealer=sealer)
    found = await find_cases(
        connection, organization_of(principal), filters, sort=sort, limit=asked.limit, after=after
    )
    return page_answer(found, cursor_key=cursor_key, at=at)


def stored_sort(sort: Sort) -> str:
    """Name the sort as the store does: the oldest were opened first."""
    return {"age": "-opened", "-age": "opened"}.get(sort, sort)


def page_answer(found: Found, *, cursor_key: bytes, at: datetime) -> Response:
    """
    Write a page as JSON.

    Not by the model, which tells the same to whoever reads the description: it would take ten times as long.
    """
    page = {
        "data": [shown_case(row, at=at) for row in found.cases],
        "has_more": found.next_place is not None,
        "next_cursor": found.next_place and encode_cursor(found.next_place, key=cursor_key),
    }
    return Response(_encode(page), media_type="application/json")


def shown_case(row: Mapping[str, Any], *, at: datetime) -> dict[str, Any]:
    """Give the members of a CaseSummary in their order, ready to be encoded."""
    shown = dict(zip(_MEMBERS, _stored(row), strict=True))
    for name in AMOUNTS:
        shown[name] = _in_cents(shown[name])
    shown |= derived_members(row, at=at)
    return shown


_MEMBERS = tuple(CaseSummary.model_fields)
# A member that is derived gets its place from any column, and its value afterwards.
_stored = itemgetter(*(LISTED.index(name) if name in LISTED else 0 for name in _MEMBERS))


@lru_cache(maxsize=4096)  # most of a page's amounts are zero, or the same as another
def _in_cents(written: str) -> str:
    return in_cents(Decimal(written))


def plainly(value: Any) -> Any:
    """Write what the JSON encoder does not know."""
    return str(value)  # ids are asyncpg's


_encode = msgspec.json.Encoder(enc_hook=plainly).encode
