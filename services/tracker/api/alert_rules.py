"""/v1/alerts/rules: what is worth an alert, and what a rule would have sent last month."""

import asyncio
from datetime import date, timedelta
from functools import partial
from typing import Annotated, Any
from uuid import UUID, uuid4
from zoneinfo import available_timezones

from fastapi import APIRouter, Body, Path, Request, Response, status
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.alerts.domain.defaults import INSTALLATION
from services.tracker.alerts.domain.rules import KINDS, Only, Rule, Settings, Word
from services.tracker.alerts.previews import go_through, known_past
from services.tracker.alerts.store.settings import RULES_MAX, keep_rule, remove_rule, rules_of
from services.tracker.api.alerts import (
    CHANGED,
    PROBLEMS,
    AlertEditor,
    AlertReader,
    behind_wall,
    wall_of,
)
from services.tracker.api.steps import ANSWERS, IfMatch, version_of
from services.tracker.api.views import View
from services.tracker.store.audit import audit
from shared import clock
from shared.errors import ConflictError, InvalidInputError, NotFoundError, StaleError
from shared.http.auth import scope_of
from shared.http.idempotency import Answer, IdempotencyKey, answer_once
from shared.postgres import transaction
from shared.security.principals import Principal

PREVIEW_DAYS = 30


class NewRule(BaseModel):
    """A rule as people write it. `settings.kind` says which; what is left out has its default."""

    model_config = ConfigDict(extra="forbid")

    name: Word
    settings: Settings
    only: Only = Only()
    enabled: bool = True


class RuleView(NewRule):
    """A rule as it stands. `version` rises with every change: send it as If-Match."""

    rule_id: UUID
    version: int


class RuleList(View):
    data: list[RuleView]


class Preview(View):
    """
    What a rule would have sent in the past days, gone through with today's routes.

    `messages` counts new and changed messages, and is null where the past is not known; `alerts` what they
    would have been about; `by_day` has the messages of each day, `samples` some titles. `cases` were gone
    through, the newest; `truncated`: there are more. `left_out` says what of the past is not gone through.
    """

    days: int
    alerts: int
    messages: int | None
    by_day: dict[date, int]
    samples: list[str]
    cases: int
    truncated: bool
    left_out: str
    said: str


RuleId = Annotated[UUID, Path(description="The rule.")]


def alert_rules_router(engine: AsyncEngine) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["alerts"])

    @router.get("/v1/alerts/rules", operation_id="list_alert_rules")
    async def list_rules(principal: AlertReader) -> RuleList:
        """List the rules; a new organization has the defaults."""
        async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
            rules = await rules_of(connection, wall_of(principal))
        return RuleList(data=[_view(rule) for rule in rules])

    @router.post(
        "/v1/alerts/rules",
        operation_id="create_alert_rule",
        status_code=status.HTTP_201_CREATED,
        response_model=RuleView,
    )
    async def create_rule(
        request: Request,
        principal: AlertEditor,
        new: Annotated[NewRule, Body()],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Add a rule. Preview it first."""
        principal = behind_wall(principal)
        _check(new, wall_of(principal))

        async def work(connection: AsyncConnection) -> Answer:
            there = await rules_of(connection, wall_of(principal))  # the defaults, before one's own first
            if len(there) >= RULES_MAX:
                raise ConflictError(
                    f"There are {RULES_MAX} rules already.", remedy="Remove those that nobody needs."
                )
            rule = Rule(
                rule_id=uuid4(), name=new.name, settings=new.settings, only=new.only, enabled=new.enabled
            )
            await keep_rule(connection, wall_of(principal), rule)
            await audit(connection, principal, "alert_rule_changed", detail=_told(rule))
            return Answer(
                status.HTTP_201_CREATED, _view(rule).model_dump_json().encode(), {"ETag": _etag(rule)}
            )

        return await answer_once(engine, request, principal, work, table=ANSWERS, key=idempotency_key)

    @router.post("/v1/alerts/rules/preview", operation_id="preview_alert_rule")
    async def preview_rule(principal: AlertReader, new: Annotated[NewRule, Body()]) -> Preview:
        """Say what a rule would have sent last month. Nothing is kept, nothing goes out."""
        at, wall = clock.now(), wall_of(principal)
        rule = Rule(rule_id=uuid4(), name=new.name, settings=new.settings, only=new.only)
        async with transaction(engine, **scope_of(behind_wall(principal))) as connection:
            known = await known_past(connection, wall, rule, since=at - timedelta(days=PREVIEW_DAYS), at=at)
        past = await asyncio.to_thread(go_through, known)
        return Preview(
            days=PREVIEW_DAYS,
            alerts=past.alerts,
            messages=past.messages,
            by_day=past.by_day,
            samples=list(past.samples),
            cases=past.cases,
            truncated=past.truncated,
            left_out=past.left_out,
            said=_said(past.messages),
        )

    @router.put(
        "/v1/alerts/rules/{rule_id}",
        operation_id="change_alert_rule",
        response_model=RuleView,
        responses=CHANGED,
    )
    async def change_rule(
        request: Request,
        principal: AlertEditor,
        rule_id: RuleId,
        new: Annotated[NewRule, Body()],
        if_match: IfMatch = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Change a rule. Its open alerts are judged anew at the next look."""
        principal = behind_wall(principal)
        _check(new, wall_of(principal))
        wanted = version_of(if_match)
        work = partial(_change, principal, rule_id, new, wanted)
        return await answer_once(engine, request, principal, work, table=ANSWERS, key=idempotency_key)

    @router.delete(
        "/v1/alerts/rules/{rule_id}",
        operation_id="remove_alert_rule",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=PROBLEMS,
    )
    async def remove(
        request: Request, principal: AlertEditor, rule_id: RuleId, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Remove a rule; its open alerts resolve."""
        principal = behind_wall(principal)

        async def work(connection: AsyncConnection) -> Answer:
            before = await find_rule(connection, wall_of(principal), rule_id)
            await remove_rule(connection, wall_of(principal), rule_id)
            await audit(connection, principal, "alert_rule_removed", detail=_told(before))
            return Answer(status.HTTP_204_NO_CONTENT)

        return await answer_once(engine, request, principal, work, table=ANSWERS, key=idempotency_key)

    return router


async def _change(
    principal: Principal, rule_id: UUID, new: NewRule, wanted: int | None, connection: AsyncConnection
) -> Answer:
    before = await find_rule(connection, wall_of(principal), rule_id)
    rule = Rule(
        rule_id=rule_id,
        name=new.name,
        settings=new.settings,
        only=new.only,
        enabled=new.enabled,
        version=before.version + 1,
    )
    if wanted not in (None, before.version) or not await keep_rule(connection, wall_of(principal), rule):
        raise StaleError("The rule was changed meanwhile.", remedy="Read it again, and send its new ETag.")
    await audit(
        connection,
        principal,
        "alert_rule_changed",
        detail={**_told(rule), "before": before.model_dump(mode="json")},
    )
    return Answer(status.HTTP_200_OK, _view(rule).model_dump_json().encode(), {"ETag": _etag(rule)})


def _check(new: NewRule, wall: UUID) -> None:
    """Keep the pipeline's figures with the operator, cases with organizations, and unknown zones out."""
    kind = new.settings.kind
    allowed = kind in ("channel_failing", "reconciliation_failed") or (KINDS[kind].about == "pipeline") == (
        wall == INSTALLATION
    )
    if not allowed:
        raise InvalidInputError(
            f"A rule of the kind {kind} finds nothing here.",
            remedy="Rules about the pipeline are the operator's, rules about cases an organization's.",
        )
    zone = getattr(new.settings, "zone", None)
    if zone is not None and zone not in available_timezones():
        raise InvalidInputError("The summary's zone is not known.", remedy="Use an IANA name.")


async def find_rule(connection: AsyncConnection, wall: UUID, rule_id: UUID) -> Rule:
    """Give a rule. Raises NotFoundError."""
    for rule in await rules_of(connection, wall):
        if rule.rule_id == rule_id:
            return rule
    raise NotFoundError("There is no such rule.", remedy="`GET /v1/alerts/rules` lists them.")


def _said(messages: int | None) -> str:
    if messages is None:
        return f"What this rule would have sent in the last {PREVIEW_DAYS} days cannot be told."
    sent = f"{messages} message{'' if messages == 1 else 's'}"
    return f"This rule would have sent {sent} in the last {PREVIEW_DAYS} days."


def _told(rule: Rule) -> dict[str, Any]:
    return {"rule_id": str(rule.rule_id), "version": rule.version, "after": rule.model_dump(mode="json")}


def _etag(rule: Rule) -> str:
    return f'"{rule.version}"'


def _view(rule: Rule) -> RuleView:
    return RuleView(
        rule_id=rule.rule_id,
        name=rule.name,
        settings=rule.settings,
        only=rule.only,
        enabled=rule.enabled,
        version=rule.version,
    )
