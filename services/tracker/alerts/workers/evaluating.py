"""
One look at an organization: its rules over its cases, its patterns, its digests, and what goes out.

The first look goes through every rule's range. Those after it read what changed since and what time alone
brought into a range; where nothing did, a look is two small questions. What a look has to know of the one
before is kept in memory only: whatever kills the process, or fails a look, the next one goes through all
again, and what was written twice is one row. What was found after a gap is marked, and told in one message.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.alerts.domain.alerts import Alert, settle
from services.tracker.alerts.domain.digests import digest_due
from services.tracker.alerts.domain.pipeline import Fact
from services.tracker.alerts.domain.rules import DenialJump, MorningDigest, Pipeline, Rule
from services.tracker.alerts.store import alerts as store
from services.tracker.alerts.store.pulse import Pulse, pulse_of
from services.tracker.alerts.store.settings import chosen_by, rules_of
from services.tracker.alerts.workers.case_rules import go_through_all, go_through_changes
from services.tracker.alerts.workers.digesting import digest_mark, send_digest
from services.tracker.alerts.workers.figures import OF_OUR_OWN, above_limits, figures_for
from services.tracker.alerts.workers.looking import Found, Look, Seen, apart, only_one
from services.tracker.alerts.workers.patterns import jumps_due, jumps_mark, look_for_jumps
from services.tracker.alerts.workers.telling import tell
from shared.observability import metrics
from shared.postgres import transaction

GAP = timedelta(minutes=10)
"""Longer without a look is an outage: what is found then is told in one message."""
_LOOK = "look"
_MARKED_EVERY = timedelta(minutes=1)

Memory = dict[UUID, Seen]
"""By organization, what the look before left."""


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
    facts: Sequence[Fact] | None = (),
    case_link: str | None = None,
    memory: Memory | None = None,
) -> Outcome:
    """
    Look at an organization once. Harmless to repeat.

    `facts` are those of the pipeline; while they are None, nothing is known of it and nothing changes.
    """
    began = monotonic()
    memory = {} if memory is None else memory
    seen = memory.pop(organization_id, None)  # a look that fails is not remembered
    look, pulse, seen = await _begin(engine, organization_id, seen, at=at, case_link=case_link)
    found = Found(seen.pending if seen else {})
    if seen is None:
        found.resolved += await _resolve_others(engine, look)
        await go_through_all(engine, look, found)
    else:
        fed = seen.pulse.fed, pulse.fed
        async with apart(look, found, "changes"):
            await go_through_changes(engine, look, found, since=seen.look.at, fed=fed)
        if found.failed:  # by which rule shows when each is applied by itself
            await go_through_all(engine, look, found)
    digests = 0
    for rule in look.rules:
        async with apart(look, found, rule.settings.kind):
            digests += await _apply_other_rule(engine, look, rule, found, facts=facts, pulse=pulse, seen=seen)
    same = seen is not None and _listeners(seen.pulse) == _listeners(pulse)
    messages, telling = await tell(engine, look, found, before=seen.telling if seen and same else None)
    if _is_old(pulse.marks.get(_LOOK), at, _MARKED_EVERY):
        async with transaction(engine, organizations=[organization_id]) as connection:
            await store.mark(connection, organization_id, _LOOK, at)
    if not found.failed:
        memory[organization_id] = Seen(look, pulse, facts, found.pending, telling)
    _count(found, monotonic() - began)
    return Outcome(len(found.opened), found.resolved, messages + digests)


async def _begin(
    engine: AsyncEngine, organization_id: UUID, seen: Seen | None, *, at: datetime, case_link: str | None
) -> tuple[Look, Pulse, Seen | None]:
    """Feel the pulse; when rules, routes or the calendar changed, what was seen counts no more."""
    async with transaction(engine, organizations=[organization_id]) as connection:
        pulse = await pulse_of(connection, organization_id, at=at)
        if seen is None or (seen.pulse.rules, seen.pulse.routing) != (pulse.rules, pulse.routing):
            seen = None
            rules = [rule for rule in await rules_of(connection, organization_id) if rule.enabled]
            chosen = await chosen_by(connection, organization_id)
            pulse = await pulse_of(connection, organization_id, at=at)  # new rules are in it
        else:
            rules, chosen = list(seen.look.rules), seen.look.chosen
    looked_at = pulse.marks.get(_LOOK)
    look = Look(
        organization_id=organization_id,
        at=at,
        rules=rules,
        chosen=chosen,
        caught_up_at=at if _is_old(looked_at, at, GAP) else None,
        case_link=case_link,
    )
    return look, pulse, seen


def _is_old(marked_at: datetime | None, at: datetime, age: timedelta) -> bool:
    return marked_at is None or at - marked_at > age


def _listeners(pulse: Pulse) -> tuple[object, ...]:
    """Give what decides who hears of something, beside the routes."""
    return pulse.channels, pulse.silences, pulse.marks.get(store.ACKNOWLEDGED)


async def _resolve_others(engine: AsyncEngine, look: Look) -> int:
    async with transaction(engine, organizations=[look.organization_id]) as connection:
        await only_one(connection, look.organization_id)
        return await store.resolve_all_but(
            connection, look.organization_id, [rule.rule_id for rule in look.rules], at=look.at
        )


async def _apply_other_rule(
    engine: AsyncEngine,
    look: Look,
    rule: Rule,
    found: Found,
    *,
    facts: Sequence[Fact] | None,
    pulse: Pulse,
    seen: Seen | None,
) -> int:
    """Apply a rule that is about no case, when its time has come; gives how many digests were written."""
    settings = rule.settings
    if isinstance(settings, MorningDigest):
        told_at = pulse.marks.get(digest_mark(rule))
        if digest_due(settings, told_at=told_at, at=look.at, calendar=look.calendar):
            async with transaction(engine, organizations=[look.organization_id]) as connection:
                await only_one(connection, look.organization_id)
                return await send_digest(connection, look, rule, told_at=told_at)
    elif isinstance(settings, DenialJump):
        if jumps_due(pulse.marks.get(jumps_mark(rule)), at=look.at, calendar=look.calendar):
            async with transaction(engine, organizations=[look.organization_id]) as connection:
                await only_one(connection, look.organization_id)
                jumps = await look_for_jumps(connection, look, rule)
                await _settle_all(connection, look, rule, jumps, found)
    elif isinstance(settings, Pipeline) and (facts is not None or settings.kind in OF_OUR_OWN):
        figures = figures_for(look, settings, facts, pulse)
        if seen is None or figures != figures_for(seen.look, settings, seen.facts, seen.pulse):
            async with transaction(engine, organizations=[look.organization_id]) as connection:
                await only_one(connection, look.organization_id)
                above = await above_limits(connection, look, rule, facts, pulse)
                await _settle_all(connection, look, rule, above, found)
    return 0


async def _settle_all(
    connection: AsyncConnection, look: Look, rule: Rule, alerts: Sequence[Alert], found: Found
) -> None:
    """Compare all that a rule finds with all that is open of it."""
    before = await store.open_of_rule(connection, look.organization_id, rule.rule_id)
    after = {alert.subject: alert for alert in alerts}
    changes = [settle(before.get(one), after.get(one)) for one in sorted({*before, *after})]
    await store.apply(connection, look.organization_id, changes, at=look.at)
    found.add(changes)


def _count(found: Found, seconds: float) -> None:
    metrics.ALERT_LOOK_SECONDS.observe(seconds)
    metrics.ALERTS_JUDGED.inc(found.judged)
    for alert in found.opened:
        metrics.ALERTS_OPENED.labels(alert.kind, alert.severity).inc()
    metrics.ALERTS_RESOLVED.inc(found.resolved)
