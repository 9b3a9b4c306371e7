"""GET /v1/cases/{case_id}/timeline: what happened to a case, oldest first."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import Reader, no_such_case, organization_of
from services.tracker.api.cases import CaseId
from services.tracker.api.facts import FactView
from services.tracker.api.views import ObservationView, View, observation_view
from services.tracker.domain.history import Change, KnownFact, changes, reasons
from services.tracker.domain.observations import DecisionEvent
from services.tracker.store.facts import facts_of
from services.tracker.store.ledger import Entry, decisions_of
from services.tracker.store.search import find_case
from shared.contracts.denial_triaged import DenialTriaged
from shared.http.auth import scope_of
from shared.postgres import transaction


class ChangeView(View):
    """A word of the decision that moved. Amounts and instants are written as strings."""

    field: str
    before: str | None
    after: str | None


class ReasonView(View):
    """Why triage decided again: `said` in a sentence, and what it names."""

    kind: Literal["fact", "policy_published", "policy_retired", "reading", "remittance"]
    said: str
    fact_id: UUID | None
    policy_id: str | None
    policy_version: str | None


class DecisionMade(View):
    """
    A decision, how it differs from the one before on the same remittance, and why there is a new one.

    The first has neither changes nor reasons.
    """

    event_id: UUID
    decision_id: UUID
    decision_revision: int
    as_of: date
    category: str
    recommended_action: str
    changes: list[ChangeView]
    because: list[ReasonView]
    fact_ids: list[UUID]


class TimelineEntry(View):
    """
    One thing that happened; the member named by `kind` tells what.

    `at` is when we learned it: when the remittance was received, the decision recorded, the fact stated.
    """

    at: AwareDatetime
    kind: Literal["remittance", "decision", "fact"]
    remittance: ObservationView | None = None
    decision: DecisionMade | None = None
    fact: FactView | None = None


class Timeline(View):
    data: list[TimelineEntry]


def timeline_router(engine: AsyncEngine) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["cases"])

    @router.get("/v1/cases/{case_id}/timeline", operation_id="get_case_timeline", responses=examples.PROBLEMS)
    async def get_timeline(principal: Reader, case_id: CaseId) -> Timeline:
        """Give remittances, decisions with what they changed, and people's facts."""
        organization_id = organization_of(principal)
        async with transaction(engine, **scope_of(principal)) as connection:
            row = await find_case(connection, organization_id, case_id)
            if row is None:
                raise no_such_case()
            entries = await decisions_of(connection, organization_id, row["event_ids"])
            facts = await facts_of(connection, organization_id, case_id)
        found = [*_remittances_and_decisions(entries, _known(facts)), *(_fact(fact) for fact in facts)]
        return Timeline(data=sorted(found, key=lambda entry: entry.at))

    return router


def _known(facts: Iterable[RowMapping]) -> dict[UUID, KnownFact]:
    return {
        UUID(str(row["fact_id"])): KnownFact(row["kind"], row["value"], row["recorded_role"]) for row in facts
    }


def _remittances_and_decisions(entries: list[Entry], facts: Mapping[UUID, KnownFact]) -> list[TimelineEntry]:
    found: list[TimelineEntry] = []
    latest: dict[UUID, DecisionEvent] = {}
    for entry in entries:
        event, before = entry.event, latest.get(entry.event.event_id)
        if before is None or before.revision != event.revision:
            found.append(
                TimelineEntry(at=event.received_at, kind="remittance", remittance=observation_view(event))
            )
        if isinstance(event, DenialTriaged):
            found.append(_decision(event, before, facts, at=entry.recorded_at))
        latest[event.event_id] = event
    return found


def _decision(
    event: DenialTriaged, before: DecisionEvent | None, facts: Mapping[UUID, KnownFact], *, at: datetime
) -> TimelineEntry:
    earlier = before if isinstance(before, DenialTriaged) else None
    moved: list[Change] = changes(earlier, event) if earlier else []
    because = reasons(earlier, event, facts) if earlier else []
    made = DecisionMade(
        event_id=event.event_id,
        decision_id=event.decision_id,
        decision_revision=event.decision_revision,
        as_of=event.as_of,
        category=event.category,
        recommended_action=event.recommended_action,
        changes=[ChangeView(**one._asdict()) for one in moved],
        because=[ReasonView(**one._asdict()) for one in because],
        fact_ids=list(event.fact_ids),
    )
    return TimelineEntry(at=at, kind="decision", decision=made)


def _fact(row: Any) -> TimelineEntry:
    return TimelineEntry(at=row["recorded_at"], kind="fact", fact=FactView.model_validate(dict(row)))
