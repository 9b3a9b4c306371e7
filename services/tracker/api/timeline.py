"""
GET /v1/cases/{case_id}/timeline: what happened to a case, oldest first, and where each thing left it.

The states are computed from the entries themselves, so the last one is the state that is stored: what is
shown is what moved the case, and nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import CaseId, Reader, no_such_case, organization_of
from services.tracker.api.facts import FactView
from services.tracker.api.steps import StepView, step_view
from services.tracker.api.views import ObservationView, View, observation_view
from services.tracker.domain.history import KnownFact, changes, late_part, reasons
from services.tracker.domain.observations import DecisionEvent, observe
from services.tracker.domain.replay import Move, Told, moves
from services.tracker.domain.states import ENDED_BY_ITSELF, ClosedReason, State
from services.tracker.store.facts import facts_of
from services.tracker.store.ledger import Entry, decisions_of
from services.tracker.store.search import find_case
from services.tracker.store.steps import made_of, steps_of_case
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

    The first has neither changes nor reasons; but on a further part of a denial, which came later, it says
    what that adds to the case.
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

    `at` is when we learned it: when the remittance was received, the decision recorded, the fact stated, the
    step made. `state` and `closed_reason` are where it left the case: only remittances, decisions and steps
    can move one, and where an entry did not, they are null.
    """

    at: AwareDatetime
    kind: Literal["remittance", "decision", "fact", "step"]
    state: State | None = None
    closed_reason: ClosedReason | None = None
    remittance: ObservationView | None = None
    decision: DecisionMade | None = None
    fact: FactView | None = None
    step: StepView | None = None


class Timeline(View):
    data: list[TimelineEntry]


def timeline_router(engine: AsyncEngine) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["cases"])

    @router.get("/v1/cases/{case_id}/timeline", operation_id="get_case_timeline", responses=examples.PROBLEMS)
    async def get_timeline(principal: Reader, case_id: CaseId) -> Timeline:
        """Give remittances, decisions with what they changed, people's facts and their steps."""
        organization_id = organization_of(principal)
        async with transaction(engine, **scope_of(principal)) as connection:
            row = await find_case(connection, organization_id, case_id)
            if row is None:
                raise no_such_case()
            return Timeline(data=await read_timeline(connection, organization_id, row))

    return router


async def read_timeline(
    connection: AsyncConnection, organization_id: UUID, row: Mapping[str, Any]
) -> list[TimelineEntry]:
    """Give what happened to a case, a row of tracker.cases, oldest first."""
    entries = await decisions_of(connection, organization_id, row["event_ids"])
    facts = await facts_of(connection, organization_id, row["case_id"])
    steps = await steps_of_case(connection, claim_key=row["claim_key"], case_id=row["case_id"])
    found = [*_remittances_and_decisions(entries, _known(facts)), *(_fact(fact) for fact in facts)]
    found += [TimelineEntry(at=one["made_at"], kind="step", step=step_view(one)) for one in steps]
    moves = _moves(entries, steps) if row["closed_reason"] not in ENDED_BY_ITSELF else {}
    return [_moved(entry, moves) for entry in sorted(found, key=lambda entry: entry.at)]


def _moves(entries: Sequence[Entry], steps: Sequence[RowMapping]) -> dict[UUID, Move]:
    """Say where each decision, outcome and step that moved the case left it."""
    told = [Told(entry.recorded_at, _entry_id(entry.event), observe(entry.event)) for entry in entries]
    done = [made_of(one) for one in steps if one["body"] != "{}"]
    return moves(told, done)


def _entry_id(event: DecisionEvent) -> UUID:
    """Name what shows it: a denial moves the case once it is decided, an outcome as it is."""
    return event.decision_id if isinstance(event, DenialTriaged) else event.event_id


def _moved(entry: TimelineEntry, found: Mapping[UUID, Move]) -> TimelineEntry:
    move = None
    if entry.decision is not None:
        move = found.get(entry.decision.decision_id)
    elif entry.remittance is not None and entry.remittance.saw != "denied":
        move = found.get(entry.remittance.event_id)
    elif entry.step is not None:
        move = found.get(entry.step.step_id)
    if move is None:
        return entry
    return entry.model_copy(update={"state": move.state, "closed_reason": move.closed_reason})


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
            parts = [] if before else _parts_before(entry, entries)
            found.append(_decision(event, before, facts, parts=parts, at=entry.recorded_at))
        latest[event.event_id] = event
    return found


def _parts_before(entry: Entry, entries: Iterable[Entry]) -> list[DenialTriaged]:
    """Give the newest decisions on other denials of the same remittance that were recorded earlier."""
    remittance = observe(entry.event).remittance
    parts = {
        one.event.event_id: one.event
        for one in entries
        if one.recorded_at < entry.recorded_at
        and isinstance(one.event, DenialTriaged)
        and one.event.event_id != entry.event.event_id
        and observe(one.event).remittance == remittance
    }
    return list(parts.values())


def _decision(
    event: DenialTriaged,
    before: DecisionEvent | None,
    facts: Mapping[UUID, KnownFact],
    *,
    parts: Sequence[DenialTriaged],
    at: datetime,
) -> TimelineEntry:
    earlier = before if isinstance(before, DenialTriaged) else None
    moved, because = late_part(parts, event)
    if earlier:
        moved, because = changes(earlier, event), reasons(earlier, event, facts)
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
