"""GET /v1/cases and GET /v1/cases/{case_id}."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.api import examples
from services.tracker.api.access import Reader, check_may_open, no_such_case, organization_of
from services.tracker.api.views import (
    MASK,
    CaseDetail,
    CasePage,
    CaseSummary,
    PersonView,
    case_summary,
    decision_view,
    observation_view,
)
from services.tracker.domain.lifecycle import State, stand
from services.tracker.domain.observations import DecisionEvent, in_order, observe
from services.tracker.store.audit import audit
from services.tracker.store.ledger import decisions_of
from services.tracker.store.search import Filters, Place, find_case, find_cases
from shared import clock
from shared.contracts.claim import SealedPerson
from shared.contracts.decision import Category
from shared.contracts.denial_triaged import DenialTriaged
from shared.contracts.person import Person
from shared.errors import InvalidInputError
from shared.http.auth import scope_of
from shared.http.cursors import decode_cursor, encode_cursor
from shared.observability import metrics
from shared.postgres import transaction
from shared.security.keyring import Keyring

Sort = Literal["priority", "-priority", "deadline", "-deadline", "amount", "-amount", "opened", "-opened"]
CaseId = Annotated[UUID, Path(description="The case.")]
Text = Annotated[str | None, Query(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]


def cases_router(engine: AsyncEngine, keyring: Keyring, cursor_key: bytes) -> APIRouter:
    """Make the routes. `keyring` opens identifiers, `cursor_key` signs cursors."""
    router = APIRouter(tags=["cases"])

    @router.get("/v1/cases", operation_id="list_cases", responses=examples.CASE_PAGE)
    async def list_cases(
        *,
        principal: Reader,
        state: Annotated[list[State] | None, Query(description="Any of these states.")] = None,
        category: Annotated[list[Category] | None, Query(description="Any of these categories.")] = None,
        payer: Annotated[Text, Query(description="A payer's id or name, whole.")] = None,
        auth_related: bool | None = None,
        deadline_before: Annotated[
            AwareDatetime | date | None,
            Query(description="Next deadline before this instant, or before this day where the payer is."),
        ] = None,
        amount_at_least: Annotated[
            Decimal | None, Query(ge=0, max_digits=18, decimal_places=2, description="Dollars at stake.")
        ] = None,
        claim_number: Annotated[Text, Query(description="CLP01, in any case of letters.")] = None,
        needs_human: bool | None = None,
        include_test: Annotated[bool, Query(description="Also cases of test files (ISA15=T).")] = False,
        sort: Annotated[Sort, Query(description="A minus puts the largest first.")] = "-priority",
        cursor: Annotated[str | None, Query(max_length=2048)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> CasePage:
        """List cases, with names and member ids masked."""
        after = decode_cursor(cursor, Place, key=cursor_key) if cursor else None
        if after is not None and after.sort != sort:
            raise InvalidInputError(
                f"The cursor belongs to a list sorted by {after.sort}.",
                remedy="Start again without a cursor.",
            )
        filters = Filters(
            states=state or (),
            categories=category or (),
            payer=payer and payer.strip(),
            auth_related=auth_related,
            deadline_before=deadline_before if isinstance(deadline_before, datetime) else None,
            deadline_before_day=None if isinstance(deadline_before, datetime) else deadline_before,
            amount_at_least=amount_at_least,
            claim_number=claim_number and claim_number.strip(),
            needs_human=needs_human,
            include_test=include_test,
        )
        async with transaction(engine, **scope_of(principal)) as connection:
            found = await find_cases(
                connection, organization_of(principal), filters, sort=sort, limit=limit, after=after
            )
        at = clock.now()
        return CasePage(
            data=[CaseSummary.model_validate(case_summary(row, at=at)) for row in found.cases],
            has_more=found.next_place is not None,
            next_cursor=found.next_place and encode_cursor(found.next_place, key=cursor_key),
        )

    @router.get("/v1/cases/{case_id}", operation_id="get_case", responses=examples.CASE_DETAIL)
    async def get_case(
        *,
        principal: Reader,
        case_id: CaseId,
        reveal: Annotated[
            bool, Query(description="Open names and member ids; the opening is audited.")
        ] = False,
    ) -> CaseDetail:
        """Give a case with its decision, its clocks as they stand now, and what each remittance said."""
        if reveal:
            check_may_open(principal)
        async with transaction(engine, **scope_of(principal)) as connection:
            row, decisions = await _case_with_decisions(connection, organization_of(principal), case_id)
            lead = _lead(row, decisions)
            if reveal:
                await audit(connection, principal, "identifiers_opened", case_id=case_id)
        # Opened only after the audit row is committed: nobody reads a name of which nothing is written.
        persons = {
            name: await _person(keyring, lead, name, reveal=reveal)
            for name in ("patient", "subscriber", "corrected_patient")
        }
        return _detail(row, decisions, lead, persons)

    return router


async def _case_with_decisions(
    connection: AsyncConnection, organization_id: UUID, case_id: UUID
) -> tuple[Mapping[str, Any], Sequence[DecisionEvent]]:
    row = await find_case(connection, organization_id, case_id)
    if row is None:
        raise no_such_case()
    return row, [one.event for one in await decisions_of(connection, organization_id, row["event_ids"])]


def _lead(row: Mapping[str, Any], decisions: Sequence[DecisionEvent]) -> DenialTriaged | None:
    wanted = row["current_event_id"], row["current_revision"], row["current_decision_revision"]
    for event in decisions:
        if isinstance(event, DenialTriaged) and _version(event) == wanted:
            return event
    return None


def _detail(
    row: Mapping[str, Any],
    decisions: Sequence[DecisionEvent],
    lead: DenialTriaged | None,
    persons: Mapping[str, PersonView | None],
) -> CaseDetail:
    at = clock.now()
    by_version = {_version(event): event for event in decisions}
    newest = in_order(map(observe, decisions))
    standing = stand(newest)
    current = [by_version[_version(one)] for one in standing.denials] if standing else []
    return CaseDetail.model_validate(
        {
            **case_summary(row, at=at),
            **persons,
            "patient": persons["patient"] or PersonView(name=None, member_id=None),
            "decision": lead and decision_view(lead, at=at),
            "further_decisions": [
                decision_view(event, at=at)
                for event in current
                if isinstance(event, DenialTriaged) and event is not lead
            ],
            "observations": [observation_view(by_version[_version(one)]) for one in newest],
        }
    )


def _version(one: Any) -> tuple[UUID, int, int]:
    return one.event_id, one.revision, one.decision_revision


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
