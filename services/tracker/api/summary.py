"""GET /v1/summary: the whole of an organization's cases on one line."""

from datetime import date

from fastapi import APIRouter
from pydantic import AwareDatetime
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import Reader, organization_of
from services.tracker.api.views import Dollars, View
from services.tracker.domain.clocks import day_of, days_between
from services.tracker.store.search import summarize
from shared import clock
from shared.http.auth import scope_of
from shared.postgres import transaction


class Summary(View):
    """
    Counts and US dollars over all cases, test files left out.

    A clock is open while the last instant that it may have is ahead; one without any date is not counted.
    `open_clock_amount` is what is at stake in cases about authorization with a clock open, and the next
    deadline is theirs: the same figures as those of `reprieve explain`. `paid_amount` is what payers paid
    after the denial; `open_cases` are in a live state, worked on or not. What closed cases as recovered is
    told apart: paid by payers, and left to patients.
    """

    denials: int
    auth_related: int
    open_cases: int
    recovered_cases: int
    needs_human: int
    denied_amount: Dollars
    open_clock_cases: int
    open_clock_amount: Dollars
    paid_amount: Dollars
    recovered_payer_amount: Dollars
    recovered_patient_amount: Dollars
    next_deadline_at: AwareDatetime | None
    next_deadline_on: date | None
    next_deadline_zone: str | None
    next_deadline_days_left: int | None


def summary_router(engine: AsyncEngine) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["cases"])

    @router.get("/v1/summary", operation_id="get_summary", responses=examples.PROBLEMS)
    async def get_summary(principal: Reader) -> Summary:
        """Say how much is denied, and how much of it can still be saved."""
        async with transaction(engine, **scope_of(principal)) as connection:
            row = await summarize(connection, organization_of(principal))
        deadline, zone = row["next_deadline_at"], row["next_deadline_zone"] or "UTC"
        return Summary(
            **row,
            next_deadline_on=deadline and day_of(deadline, zone=zone),
            next_deadline_days_left=deadline and days_between(clock.now(), deadline, zone=zone),
        )

    return router
