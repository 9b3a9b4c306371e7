"""
POST /v1/simulations and GET /v1/coverage: what stands decided, gone through while the caller reads along.

Both stream one JSON object a line: `begun` with the `total` of decisions, `progress`, and what was found.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from services.triage.api.supposing import PolicyText, over, read_policies, today_of
from services.triage.domain.coverage import Coverage
from services.triage.domain.decide import decide
from services.triage.domain.policies import Policies
from services.triage.domain.what_if import Difference, Summary, difference
from services.triage.store.going_through import Standing, standing_denials
from services.triage.store.organizations import time_zones
from services.triage.store.policy_sets import PolicySets
from services.triage.store.redeciding import count_decisions
from shared.calendars import Calendar
from shared.http.auth import require
from shared.http.ndjson import NdjsonResponse
from shared.postgres import transaction
from shared.security.principals import Principal

Looker = Annotated[Principal, require("viewer", "biller", "supervisor", "auditor", "admin", "operator")]

_encode = msgspec.json.Encoder(decimal_format="string").encode


class Simulation(BaseModel):
    """Policies over those in force, by the names of their files; denials decided on `since` or later."""

    model_config = ConfigDict(extra="forbid")

    policies: dict[str, PolicyText] = Field(max_length=2_000)
    since: date | None = None
    as_of: date | None = None


class Supposed(msgspec.Struct, frozen=True):
    """The policies of an organization now and as supposed, and the day for which both decide."""

    now: Policies
    then: Policies
    day: date

    def compare(self, one: Standing) -> Difference | None:
        """Decide a denial by both."""
        before, after = (
            decide(
                one.event,
                one.facts,
                policies,
                _CALENDAR,
                self.day,
                history=one.others.seen,
                history_partial=one.others.partial,
            )
            for policies in (self.now, self.then)
        )
        return difference(one.event, before, after)


_CALENDAR = Calendar()


def simulating_router(engine: AsyncEngine, sets: PolicySets) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["what if"])

    @router.post("/v1/simulations", operation_id="simulate_policies", response_class=NdjsonResponse)
    async def simulate(principal: Looker, asked: Simulation) -> NdjsonResponse:
        """
        Decide stored denials by other policies, and tell what would change.

        `changed` is one denial (ids, dollars, deadlines, actions; not for the operator), `summary` the end.
        """
        organizations = await _organizations(engine, principal)
        policies = await asyncio.to_thread(read_policies, asked.policies)
        async with transaction(engine, organizations=organizations) as connection:
            in_force = await sets.in_force(connection)
            supposed = {
                one: Supposed(
                    in_force.of(one),
                    over(in_force.of(one), policies),
                    asked.as_of or await today_of(connection, one),
                )
                for one in organizations
            }
        told = _simulated(
            engine, supposed, since=_midnight(asked.since), denials=principal.organization_id is not None
        )
        return NdjsonResponse(told)

    @router.get("/v1/coverage", operation_id="policy_coverage", response_class=NdjsonResponse)
    async def coverage(
        principal: Looker,
        since: Annotated[
            date | None, Query(description="Only denials received on this day or later.")
        ] = None,
    ) -> NdjsonResponse:
        """Tell which payers' rules are known: `payer` for each, the one that denies the most first."""
        organizations = await _organizations(engine, principal)
        async with transaction(engine, organizations=organizations) as connection:
            in_force = await sets.in_force(connection)
        policies = {one: in_force.of(one) for one in organizations}
        return NdjsonResponse(_covered(engine, policies, since=_midnight(since)))

    return router


async def _simulated(
    engine: AsyncEngine, supposed: Mapping[UUID, Supposed], *, since: datetime | None, denials: bool
) -> AsyncIterator[bytes]:
    summary = Summary()
    yield _line({"kind": "begun", "total": await _total(engine, supposed, since)})
    async for passed in standing_denials(engine, supposed, since=since):
        summary.looked += passed.looked
        for one in passed.standing:
            summary.decided += 1
            found = supposed[passed.organization_id].compare(one)
            if found is not None:
                summary.add(found)
                if denials:
                    yield _line({"kind": "changed", **msgspec.structs.asdict(found)})
        yield _line({"kind": "progress", "looked": summary.looked})
    yield _line(summary.told())


async def _covered(
    engine: AsyncEngine, policies: Mapping[UUID, Policies], *, since: datetime | None
) -> AsyncIterator[bytes]:
    added, looked = Coverage(), 0
    yield _line({"kind": "begun", "total": await _total(engine, policies, since)})
    async for passed in standing_denials(engine, policies, since=since):
        looked += passed.looked
        for one in passed.standing:
            added.add(one.event, one.decision, one.facts, policies[passed.organization_id])
        yield _line({"kind": "progress", "looked": looked})
    for payer in added.ranked():
        yield _line({"kind": "payer", **msgspec.structs.asdict(payer)})


def _line(told: Any) -> bytes:
    return _encode(told) + b"\n"


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)


async def _organizations(engine: AsyncEngine, principal: Principal) -> list[UUID]:
    if principal.organization_id is not None:
        return [principal.organization_id]
    async with transaction(engine) as connection:
        return list(await time_zones(connection))


async def _total(engine: AsyncEngine, organizations: Iterable[UUID], since: datetime | None) -> int:
    total = 0
    for organization in organizations:
        async with transaction(engine, organizations=[organization]) as connection:
            total += await count_decisions(connection, organization, since)
    return total
