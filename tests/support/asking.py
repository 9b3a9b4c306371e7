"""Paths of the API as the store is asked for them: what stands in docs/api.md, looked at without HTTP."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.api.filters import stored_filters
from services.tracker.api.listing import ListQuery, stored_sort
from services.tracker.api.questions import QUESTIONS
from services.tracker.domain.worklist import BANDS
from services.tracker.store.search import are_few, page_query, parts
from services.tracker.store.worklist import QueuePlace, band_query
from shared.security.principals import Principal
from tests.support.many_cases import LARGEST, SOMEBODY

ME = Principal(principal_id=SOMEBODY, name="somebody", role="biller", organization_id=LARGEST)
PATHS = tuple(
    one.path.format(
        in_a_week=datetime.now(UTC).date() + timedelta(days=7), payer="Payer 7", facility="1000000007"
    )
    for one in QUESTIONS
)
"""The questions, of values that many_cases has."""

Query = tuple[str, dict[str, Any]]


def query_of(path: str) -> ListQuery:
    """Read the part of a path behind the question mark."""
    given = parse_qs(urlsplit(path).query)
    return ListQuery.model_validate(
        {name: values if name in ("state", "category") else values[0] for name, values in given.items()}
    )


async def queries_of(connection: AsyncConnection, path: str, *, me: Principal = ME) -> Sequence[Query]:
    """Give every query that may be needed for the first page of a path."""
    at = datetime.now(UTC)
    if path.startswith("/v1/worklist"):
        mine = UUID(str(me.principal_id))
        return [band_query(band, me=mine, after=QueuePlace(at, band)) for band in range(len(BANDS))]
    asked = query_of(path)
    sort = stored_sort(asked.sort)
    filters = await stored_filters(connection, me, asked, at=at)
    few = await are_few(connection, LARGEST, filters, sort=sort)
    return [
        page_query(filters, sort=sort, few=few, part=one) for one in parts(filters, sort=sort, after=None)
    ]
