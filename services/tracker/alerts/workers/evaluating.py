"""
One look at an organization: its rules over its cases, its patterns, its digests, and what goes out.

Everything is found anew from what stands in the tables, so a restart has nothing to make up for but time.
What was found after a gap is marked, and told in one message.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.alerts.domain.alerts import Alert, case_alert, other_alert, settle
from services.tracker.alerts.domain.calendar import Calendar
from services.tracker.alerts.domain.defaults import INSTALLATION
from services.tracker.alerts.domain.groups import dedup_key, dispatch
from services.tracker.alerts.domain.judging import CaseFacts, concerns, judge
from services.tracker.alerts.domain.messages import content_of
from services.tracker.alerts.domain.pipeline import Fact, stands
from services.tracker.alerts.domain.rules import (
    CaseSettings,
    DenialJump,
    MorningDigest,
    Pipeline,
    Rule,
)
from services.tracker.alerts.store import alerts as store
from services.tracker.alerts.store import candidates as cases
from services.tracker.alerts.store.settings import chosen_by, rules_of, silence_of, silences_of
from services.tracker.alerts.workers.digesting import send_digest
from services.tracker.alerts.workers.patterns import look_for_jumps
from shared.errors import UnavailableError
from shared.observability import metrics
from shared.postgres import lock_shards, transaction

log = structlog.get_logger()

PAGE = 1000
GAP = timedelta(minutes=10)
"""Longer without a look is an outage: what is found then is told in one message."""
_LOOK = "look"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Where and when a look is. `case_link` has `{case_id}` in it."""

    organization_id: UUID
    at: datetime
    calendar: Calendar
    caught_up_at: datetime | None
    case_link: str | None = None


class Outcome(NamedTuple):
    """What a look did."""

    opened: int
    resolved: int
    messages: int


async def look_at(
    engine: AsyncEngine,
    organization_id: UUID,
    *,
    at: datetime,
    facts: Sequence[Fact] = (),
    case_link: str | None = None,
) -> Outcome:
    """Look at an organization once; `facts` are those of the pipeline. Harmless to repeat."""
    async with transaction(engine, organizations=[organization_id]) as connection:
        await _only_one(connection, organization_id)
        rules = [rule for rule in await rules_of(connection, organization_id) if rule.enabled]
        chosen = await chosen_by(connection, organization_id)
        before = await store.marked_at(connection, organization_id, _LOOK)
        resolved = await store.resolve_all_but(
            connection, organization_id, [rule.rule_id for rule in rules], at=at
        )
    look = Look(
        organization_id=organization_id,
        at=at,
        calendar=chosen.calendar,
        caught_up_at=at if before is None or at - before > GAP else None,
        case_link=case_link,
    )
    opened = 0
    for rule in rules:
        changes = await _try_rule(engine, look, rule, facts)
        opened += changes.opened
        resolved += changes.resolved
    messages = await _tell(engine, look)
    return Outcome(opened, resolved, messages)


async def _only_one(connection: AsyncConnection, organization_id: UUID) -> None:
    """Make two evaluators, should there be two for a moment, take turns."""
    await lock_shards(connection, "tracker alerts", [organization_id.int % 2**31])


async def _try_rule(engine: AsyncEngine, look: Look, rule: Rule, facts: Sequence[Fact]) -> Outcome:
    """Apply a rule. One that cannot be applied keeps no other from being, of whatever organization."""
    try:
        return await _apply_rule(engine, look, rule, facts)
    except UnavailableError:
        raise
    except Exception:
        log.exception("alert_rule_failed", organization_id=look.organization_id, kind=rule.settings.kind)
        metrics.ALERT_LOOKS_FAILED.inc()
        return Outcome(0, 0, 0)


async def _apply_rule(engine: AsyncEngine, look: Look, rule: Rule, facts: Sequence[Fact]) -> Outcome:
    settings = rule.settings
    if isinstance(settings, CaseSettings):
        again = await _look_again(engine, look, rule)
        more = await _look_for_more(engine, look, rule)
        return Outcome(again.opened + more.opened, again.resolved, 0)
    async with transaction(engine, organizations=[look.organization_id]) as connection:
        await _only_one(connection, look.organization_id)
        if isinstance(settings, MorningDigest):
            sent = await send_digest(
                connection,
                look.organization_id,
                rule,
                at=look.at,
                calendar=look.calendar,
                case_link=look.case_link,
            )
            return Outcome(0, 0, sent)
        if isinstance(settings, DenialJump):
            found = await look_for_jumps(
                connection, look.organization_id, rule, at=look.at, calendar=look.calendar
            )
            if found is None:
                return Outcome(0, 0, 0)
        else:
            found = await _pipeline(connection, look, rule, facts)
        return await _settle_all(connection, look, rule, found)


async def _pipeline(
    connection: AsyncConnection, look: Look, rule: Rule, facts: Sequence[Fact]
) -> list[Alert]:
    settings = rule.settings
    assert isinstance(settings, Pipeline)  # noqa: S101  the other kinds were handled
    if settings.kind == "channel_failing":
        facts = [
            Fact(settings.kind, str(row.channel_id), f"{row.kind} channel, {row.state}", 1)
            for row in await store.failing_channels(connection, look.organization_id)
        ]
    elif settings.kind == "reconciliation_failed":
        failed_at = await store.marked_at(connection, look.organization_id, store.RECONCILIATION)
        facts = [] if failed_at is None else [_failed_reconciliation(failed_at)]
    elif look.organization_id != INSTALLATION:
        facts = ()  # the installation's figures are the operator's
    before = await store.open_of_rule(connection, look.organization_id, rule.rule_id)
    return [
        other_alert(
            rule,
            fact.subject,
            severity=settings.severity,
            label=fact.label,
            at=look.at,
            caught_up_at=look.caught_up_at,
        )
        for fact in facts
        if stands(settings, fact, at=look.at, stood=fact.subject in before)
    ]


def _failed_reconciliation(failed_at: datetime) -> Fact:
    said = f"the run of {failed_at:%Y-%m-%d %H:%M} UTC found something missing"
    return Fact("reconciliation_failed", "reconciliation", said, 1)


async def _settle_all(connection: AsyncConnection, look: Look, rule: Rule, found: Sequence[Alert]) -> Outcome:
    """Compare all that a rule finds with all that is open of it."""
    before = await store.open_of_rule(connection, look.organization_id, rule.rule_id)
    after = {alert.subject: alert for alert in found}
    changes = [settle(before.get(one), after.get(one)) for one in sorted({*before, *after})]
    opened = await store.apply(connection, look.organization_id, changes, at=look.at)
    return Outcome(opened, sum(change.resolved is not None for change in changes), 0)


async def _look_again(engine: AsyncEngine, look: Look, rule: Rule) -> Outcome:
    """Judge anew the open alerts whose case, rule or time says so."""
    opened = resolved = 0
    while True:
        async with transaction(engine, organizations=[look.organization_id]) as connection:
            await _only_one(connection, look.organization_id)
            changed = await cases.changed_cases(
                connection, look.organization_id, rule, at=look.at, limit=PAGE
            )
            before = await store.alerts_by_id(
                connection, look.organization_id, [alert_id for alert_id, _ in changed]
            )
            changes = [settle(before[alert_id], _found(look, rule, case)) for alert_id, case in changed]
            opened += await store.apply(connection, look.organization_id, changes, at=look.at)
            resolved += sum(change.resolved is not None for change in changes)
        if len(changed) < PAGE:
            return Outcome(opened, resolved, 0)


async def _look_for_more(engine: AsyncEngine, look: Look, rule: Rule) -> Outcome:
    """Look at the cases in the rule's range that it has no alert for."""
    opened, after = 0, None
    while True:
        async with transaction(engine, organizations=[look.organization_id]) as connection:
            await _only_one(connection, look.organization_id)
            found, after = await cases.candidates(
                connection,
                look.organization_id,
                rule,
                at=look.at,
                calendar=look.calendar,
                after=after,
                limit=PAGE,
            )
            changes = [settle(None, _found(look, rule, case)) for case in found]
            opened += await store.apply(connection, look.organization_id, changes, at=look.at)
        if after is None:
            return Outcome(opened, 0, 0)


def _found(look: Look, rule: Rule, case: CaseFacts) -> Alert | None:
    assert isinstance(rule.settings, CaseSettings)  # noqa: S101  the callers ask for these kinds
    if not concerns(rule.only, case):
        return None
    verdict = judge(rule.settings, case, at=look.at, calendar=look.calendar)
    return case_alert(rule, case, verdict, at=look.at, caught_up_at=look.caught_up_at)


async def _tell(engine: AsyncEngine, look: Look) -> int:
    """Write what goes out, and what every group was told, in one transaction; gives the messages' number."""
    async with transaction(engine, organizations=[look.organization_id]) as connection:
        await _only_one(connection, look.organization_id)
        chosen = await chosen_by(connection, look.organization_id)
        rows = await silences_of(connection, look.organization_id, ending_after=look.at)
        found = dispatch(
            await store.open_alerts(connection, look.organization_id),
            await store.groups_of(connection, look.organization_id),
            routing=chosen.routing,
            targets=await store.active_targets(connection, look.organization_id),
            silences=[silence_of(row) for row in rows],
            calendar=chosen.calendar,
            at=look.at,
        )
        await store.keep_groups(connection, look.organization_id, found.groups, found.ended)
        for message in found.messages:
            await store.write_notification(
                connection,
                look.organization_id,
                channel_id=message.group.channel_id,
                group_key=message.group.group_key,
                dedup_key=dedup_key(look.organization_id, message.group),
                kind=message.kind,
                severity=message.group.severity,
                content=content_of(message, at=look.at, case_link=look.case_link),
            )
        await store.mark(connection, look.organization_id, _LOOK, look.at)
    return len(found.messages)
