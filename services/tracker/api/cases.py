"""GET /v1/cases/{case_id}."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import CaseId, Reader, check_may_open, no_such_case, organization_of
from services.tracker.api.expanding import CaseExpanded, Expandable, expanded
from services.tracker.api.leading import lead_of, version_of_event
from services.tracker.api.views import (
    MASK,
    PersonView,
    RequestView,
    case_summary,
    completeness,
    decision_view,
    document_views,
    observation_view,
)
from services.tracker.domain.allowed import allowed_steps
from services.tracker.domain.files import AttachedFile, files_there
from services.tracker.domain.lifecycle import stand
from services.tracker.domain.observations import DecisionEvent, in_order, observe
from services.tracker.domain.requests import Request
from services.tracker.domain.states import ENDED_BY_ITSELF, StepKind
from services.tracker.store.audit import audit
from services.tracker.store.ledger import decisions_of
from services.tracker.store.search import find_case
from services.tracker.store.steps import made_of, steps_of_case
from shared import clock
from shared.contracts.claim import SealedPerson
from shared.contracts.denial_triaged import DenialTriaged
from shared.contracts.person import Person
from shared.http.auth import scope_of
from shared.observability import metrics
from shared.postgres import transaction
from shared.security.keyring import Keyring


def cases_router(engine: AsyncEngine, keyring: Keyring) -> APIRouter:
    """Make the route. `keyring` opens identifiers."""
    router = APIRouter(tags=["cases"])
    # A step that is made between two looks must not stand in what is expanded and not in the case.
    of_one_moment = engine.execution_options(isolation_level="REPEATABLE READ")

    @router.get("/v1/cases/{case_id}", operation_id="get_case", responses=examples.CASE_DETAIL)
    async def get_case(
        *,
        response: Response,
        principal: Reader,
        case_id: CaseId,
        reveal: Annotated[
            bool, Query(description="Open names and member ids; the opening is audited.")
        ] = False,
        expand: Annotated[
            list[Expandable] | None, Query(description="What to give along; may be repeated.")
        ] = None,
    ) -> CaseExpanded:
        """Give a case with its decision, its clocks as they stand now, and what each remittance said."""
        if reveal:
            check_may_open(principal)
        async with transaction(of_one_moment, **scope_of(principal)) as connection:
            row, decisions = await _case_with_decisions(connection, organization_of(principal), case_id)
            lead = lead_of(row, decisions)
            files = await _files(connection, row)
            along = await expanded(connection, row, set(expand or ()))
        if reveal:
            async with transaction(engine, **scope_of(principal)) as connection:
                await audit(connection, principal, "identifiers_opened", case_id=case_id)
        # Opened only after the audit row is committed: nobody reads a name of which nothing is written.
        persons = {
            name: await _person(keyring, lead, name, reveal=reveal)
            for name in ("patient", "subscriber", "corrected_patient")
        }
        response.headers["ETag"] = f'"{row["version"]}"'
        return CaseExpanded.model_validate({**_detail(row, decisions, lead, persons, files), **along})

    return router


async def _files(connection: AsyncConnection, row: Mapping[str, Any]) -> list[AttachedFile]:
    if not row["steps_count"] or row["purged_at"]:
        return []
    steps = await steps_of_case(connection, claim_key=row["claim_key"], case_id=row["case_id"])
    return list(files_there(map(made_of, steps)).values())


async def _case_with_decisions(
    connection: AsyncConnection, organization_id: UUID, case_id: UUID
) -> tuple[Mapping[str, Any], Sequence[DecisionEvent]]:
    row = await find_case(connection, organization_id, case_id)
    if row is None:
        raise no_such_case()
    return row, [one.event for one in await decisions_of(connection, organization_id, row["event_ids"])]


def steps_allowed(row: Mapping[str, Any]) -> list[StepKind]:
    """Name the steps that a case of tracker.cases takes now."""
    if row["purged_at"] or row["closed_reason"] in ENDED_BY_ITSELF:
        return []
    return list(allowed_steps(row["state"], msgspec.convert(row["requests"], list[Request], strict=False)))


def _detail(
    row: Mapping[str, Any],
    decisions: Sequence[DecisionEvent],
    lead: DenialTriaged | None,
    persons: Mapping[str, PersonView | None],
    files: Iterable[AttachedFile],
) -> dict[str, Any]:
    at = clock.now()
    by_version = {version_of_event(event): event for event in decisions}
    newest = in_order(map(observe, decisions))
    standing = stand(newest)
    current = [by_version[version_of_event(one)] for one in standing.denials] if standing else []
    documents = document_views(lead, row["documents_checked"], files)
    return {
        **case_summary(row, at=at),
        **persons,
        "allowed_steps": steps_allowed(row),
        "requests": [RequestView.model_validate(one) for one in row["requests"]],
        "documents": documents,
        "documents_complete": completeness(documents),
        "patient": persons["patient"] or PersonView(name=None, member_id=None),
        "decision": lead and decision_view(lead, at=at),
        "further_decisions": [
            decision_view(event, at=at)
            for event in current
            if isinstance(event, DenialTriaged) and event is not lead
        ],
        "observations": [observation_view(by_version[version_of_event(one)]) for one in newest],
    }


async def _person(
    keyring: Keyring, event: DenialTriaged | None, name: str, *, reveal: bool
) -> PersonView | None:
    sealed: SealedPerson | None = getattr(event, name, None)
    if event is None or sealed is None:
        return None
    if not reveal or sealed.sealed is None:
        return PersonView(
            name=MASK if sealed.sealed or sealed.name_index else None,
            member_id=MASK if sealed.member_id_index else None,
        )
    person = await keyring.open_person(event.organization_id, sealed.sealed)
    metrics.PERSONS_OPENED.inc()
    return PersonView(name=_full_name(person), member_id=person.member_id, revealed=True)


def _full_name(person: Person) -> str | None:
    given = " ".join(part for part in (person.first, person.middle, person.suffix) if part)
    return ", ".join(part for part in (person.last, given) if part) or None
