"""What would go out now, without sending it; and what a run of the reconciliation found."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, status
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.alerts.domain.content import Content, Severity
from services.tracker.alerts.domain.groups import first_messages
from services.tracker.alerts.domain.messages import content_of
from services.tracker.alerts.domain.rules import MorningDigest
from services.tracker.alerts.domain.wording import describe
from services.tracker.alerts.store.alerts import (
    RECONCILIATION,
    active_targets,
    forget_mark,
    mark,
    marked_at,
    open_alerts,
)
from services.tracker.alerts.store.settings import chosen_by, silence_of, silences_of
from services.tracker.alerts.summaries import write_digest
from services.tracker.api.alert_rules import RuleId, find_rule
from services.tracker.api.alerts import (
    PROBLEMS,
    RUNBOOKS,
    AlertEditor,
    AlertReader,
    behind_wall,
    wall_of,
)
from services.tracker.api.views import Dollars, View
from services.tracker.store.audit import audit
from shared import clock
from shared.errors import InvalidInputError
from shared.http.auth import scope_of
from shared.postgres import transaction


class MessageView(View):
    """A message as a channel would tell it, in plain lines; `channel_id` is null for a digest."""

    channel_id: UUID | None
    severity: Severity
    title: str
    rule: str
    lines: list[str]
    count: int
    amount: Dollars | None
    runbook: str
    runbook_url: str


class MessageList(View):
    data: list[MessageView]


class ReconciliationRun(BaseModel):
    """What `reprieve reconcile` found."""

    model_config = ConfigDict(extra="forbid")

    agrees: bool = Field(description="Nothing is missing and nothing differs.")


def alert_previews_router(engine: AsyncEngine, runbooks_url: str) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["alerts"])

    @router.get("/v1/alerts/preview", operation_id="preview_alerts")
    async def preview_alerts(principal: AlertReader) -> MessageList:
        """Show what would go out now if nothing had been told yet: one message for each group and channel."""
        wall, at = wall_of(principal), clock.now()
        async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
            chosen = await chosen_by(connection, wall)
            rows = await silences_of(connection, wall, ending_after=at)
            messages = first_messages(
                await open_alerts(connection, wall),
                routing=chosen.routing,
                targets=await active_targets(connection, wall),
                silences=[silence_of(row) for row in rows],
                at=at,
            )
        return MessageList(
            data=[
                _view(
                    content_of(message, at=at),
                    severity=message.group.severity,
                    channel_id=message.group.channel_id,
                    runbooks_url=runbooks_url,
                )
                for message in messages
            ]
        )

    @router.get("/v1/alerts/rules/{rule_id}/digest", operation_id="preview_digest", responses=PROBLEMS)
    async def preview_digest(principal: AlertReader, rule_id: RuleId) -> MessageView:
        """Write the morning summary of a rule as it is now. Nothing goes out."""
        wall = wall_of(principal)
        async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
            rule = await find_rule(connection, wall, rule_id)
            if not isinstance(rule.settings, MorningDigest):
                raise InvalidInputError(
                    "This rule writes no summary.", remedy="Name a rule of the kind morning_digest."
                )
            chosen = await chosen_by(connection, wall)
            content = await write_digest(
                connection,
                wall,
                rule,
                told_at=None,
                at=clock.now(),
                calendar=chosen.calendar,
                case_link=None,
            )
        return _view(content, severity="info", channel_id=None, runbooks_url=runbooks_url)

    @router.put(
        "/v1/alerts/reconciliation",
        operation_id="tell_reconciliation",
        status_code=status.HTTP_204_NO_CONTENT,
    )
    async def tell_reconciliation(principal: AlertEditor, run: Annotated[ReconciliationRun, Body()]) -> None:
        """Tell what a run of the reconciliation found; rules of the kind reconciliation_failed look at it."""
        wall, walled = wall_of(principal), behind_wall(principal)
        async with transaction(engine, **scope_of(walled)) as connection:
            failed_at = await marked_at(connection, wall, RECONCILIATION)
            if not run.agrees:
                await mark(connection, wall, RECONCILIATION, clock.now())
            elif failed_at is not None:
                await forget_mark(connection, wall, RECONCILIATION)
            if run.agrees == (failed_at is not None):
                await audit(
                    connection, walled, "reconciliation_agreed" if run.agrees else "reconciliation_failed"
                )

    return router


def _view(content: Content, *, severity: Severity, channel_id: UUID | None, runbooks_url: str) -> MessageView:
    return MessageView(
        channel_id=channel_id,
        severity=severity,
        title=content.title,
        rule=content.rule,
        lines=[describe(line) for line in content.lines],
        count=content.totals.count,
        amount=content.totals.amount,
        runbook=f"{RUNBOOKS}{content.runbook}.md",
        runbook_url=f"{runbooks_url}{content.runbook}.md",
    )
