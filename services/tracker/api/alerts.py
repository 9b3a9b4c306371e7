"""GET /v1/alerts, and who has which: what is open, what was resolved lately, acknowledgments."""

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, status
from fastapi.responses import Response
from pydantic import AwareDatetime, Field
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.alerts.domain.content import Severity
from services.tracker.alerts.domain.defaults import INSTALLATION
from services.tracker.alerts.store.alerts import ACKNOWLEDGED, AlertPlace, acknowledge, list_alerts, mark
from services.tracker.api.steps import ANSWERS
from services.tracker.api.views import Dollars, View
from services.tracker.store.audit import audit
from shared import clock
from shared.errors import NotFoundError
from shared.http.auth import require, scope_of
from shared.http.cursors import decode_cursor, encode_cursor
from shared.http.idempotency import Answer, IdempotencyKey, answer_once
from shared.http.problems import described
from shared.postgres import transaction
from shared.security.principals import Principal

AlertReader = Annotated[Principal, require("viewer", "biller", "supervisor", "auditor", "admin", "operator")]
AlertWorker = Annotated[Principal, require("biller", "supervisor", "admin", "operator")]
AlertEditor = Annotated[Principal, require("supervisor", "admin", "operator")]

RUNBOOKS = "docs/runbooks/"
PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: described("There is no such thing, or none that the caller may see.")
}


CHANGED: dict[int | str, dict[str, Any]] = {
    **PROBLEMS,
    412: described("It is not the version of If-Match any more."),
}


def behind_wall(principal: Principal) -> Principal:
    """Put the operator behind a wall of its own: the alerts of the installation, which has no patients."""
    return principal if principal.organization_id else replace(principal, organization_id=INSTALLATION)


def wall_of(principal: Principal) -> UUID:
    """Give whose alerts the principal sees."""
    return principal.organization_id or INSTALLATION


class AlertView(View):
    """
    An alert. It says nothing about a patient; `case_id` leads to the case where it is about one.

    `tier` is how far it has come, `end_at` the deadline or day that it is about, in the payer's `zone`;
    `label` says what it is about where that is no case. `runbook` is the page that says what to do, and
    `runbook_url` is the link to it, which needs no key.
    """

    alert_id: UUID
    rule_id: UUID
    rule_name: str
    kind: str
    tier: str
    severity: Severity
    case_id: UUID | None
    payer: str | None
    category: str | None
    amount: Dollars | None
    label: str | None
    end_at: AwareDatetime | None
    zone: str | None
    opened_at: AwareDatetime
    acknowledged_at: AwareDatetime | None
    acknowledged_by: UUID | None
    resolved_at: AwareDatetime | None
    resolved_reason: Literal["gone", "escalated", "rule_changed"] | None
    runbook: str = Field(description="The page in docs/runbooks/.")
    runbook_url: str = Field(description="The same page, served without a key.")


class AlertPage(View):
    """A page of alerts, the newest first. `next_cursor` leads to the next one; it is null on the last."""

    data: list[AlertView]
    has_more: bool
    next_cursor: str | None


AlertId = Annotated[UUID, Path(description="The alert.")]


def alerts_router(engine: AsyncEngine, cursor_key: bytes, runbooks_url: str) -> APIRouter:
    """Make the routes. `cursor_key` signs cursors."""
    router = APIRouter(tags=["alerts"])

    @router.get("/v1/alerts", operation_id="list_alerts")
    async def get_alerts(
        *,
        principal: AlertReader,
        state: Annotated[
            Literal["open", "resolved"], Query(description="Open ones, or those that are gone.")
        ] = "open",
        kind: Annotated[list[str] | None, Query(description="Any of these kinds of rules.")] = None,
        severity: Annotated[list[Severity] | None, Query(description="Any of these.")] = None,
        cursor: Annotated[
            str | None, Query(max_length=2048, description="The `next_cursor` of the page before.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200, description="How many at most.")] = 50,
    ) -> AlertPage:
        """List alerts of the organization, or, for an operator, of the installation."""
        after = decode_cursor(cursor, AlertPlace, key=cursor_key) if cursor else None
        wall = wall_of(principal)
        async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
            rows = await list_alerts(
                connection,
                wall,
                resolved=state == "resolved",
                kinds=kind or (),
                severities=severity or (),
                after=after,
                limit=limit + 1,
            )
        page = rows[:limit]
        more = len(rows) > limit
        return AlertPage(
            data=[_view(row, runbooks_url) for row in page],
            has_more=more,
            next_cursor=encode_cursor(
                AlertPlace(page[-1].opened_at, UUID(str(page[-1].alert_id))), key=cursor_key
            )
            if more
            else None,
        )

    @router.post(
        "/v1/alerts/{alert_id}/acknowledgment",
        operation_id="acknowledge_alert",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=PROBLEMS,
    )
    async def acknowledge_alert(
        request: Request, principal: AlertWorker, alert_id: AlertId, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Say that you have it: it is not repeated any more, until it gets worse."""
        walled = behind_wall(principal)
        work = partial(_acknowledge, walled, alert_id, clock.now())
        return await answer_once(engine, request, walled, work, table=ANSWERS, key=idempotency_key)

    @router.delete(
        "/v1/alerts/{alert_id}/acknowledgment",
        operation_id="unacknowledge_alert",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=PROBLEMS,
    )
    async def unacknowledge_alert(
        request: Request, principal: AlertWorker, alert_id: AlertId, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Say that nobody has it."""
        walled = behind_wall(principal)
        work = partial(_acknowledge, walled, alert_id, None)
        return await answer_once(engine, request, walled, work, table=ANSWERS, key=idempotency_key)

    return router


async def _acknowledge(
    principal: Principal, alert_id: UUID, at: datetime | None, connection: AsyncConnection
) -> Answer:
    found = await acknowledge(
        connection,
        wall_of(principal),
        alert_id,
        by=principal.principal_id if at else None,
        at=at,
    )
    if not found:
        raise NotFoundError(
            "There is no such open alert.", remedy="`GET /v1/alerts` lists those that are open."
        )
    await mark(connection, wall_of(principal), ACKNOWLEDGED, clock.now())
    await audit(
        connection,
        principal,
        "alert_acknowledged" if at else "alert_unacknowledged",
        detail={"alert_id": str(alert_id)},
    )
    return Answer(status.HTTP_204_NO_CONTENT)


def _view(row: Any, runbooks_url: str) -> AlertView:
    page = f"{row.kind}.md"
    read = {"runbook": f"{RUNBOOKS}{page}", "runbook_url": f"{runbooks_url}{page}"}
    return AlertView.model_validate({**row._mapping, **read})  # noqa: SLF001
