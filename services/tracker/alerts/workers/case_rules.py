"""The rules about cases: their ranges at the first look, and then only what changed or became due."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.alerts.domain.alerts import Alert, Change, case_alert, settle
from services.tracker.alerts.domain.judging import CaseFacts, concerns, judge
from services.tracker.alerts.domain.rules import CaseSettings, Rule
from services.tracker.alerts.store import alerts as store
from services.tracker.alerts.store import candidates as cases
from services.tracker.alerts.store.ripening import ripe_cases, unswept_cases, worth_judging
from services.tracker.alerts.workers.looking import Found, Look, apart, only_one
from services.tracker.store.feed import case_ids_between
from shared.postgres import transaction

PAGE = 1000


async def go_through_all(engine: AsyncEngine, look: Look, found: Found) -> None:
    """Judge every open alert that may have changed, and every case in the range of a rule."""
    rules = of_cases(look)
    if not rules:
        return
    async with transaction(engine, organizations=[look.organization_id]) as connection:
        unswept = await unswept_cases(connection, look.organization_id, at=look.at)
    for rule in rules:
        async with apart(look, found, rule.settings.kind):
            await _look_again(engine, look, rule, found)
            await _look_for_more(engine, look, rule, found)
            await _judge(engine, look, [rule], unswept, found)


async def go_through_changes(
    engine: AsyncEngine, look: Look, found: Found, *, since: datetime, fed: tuple[int, int]
) -> None:
    """Judge what changed between two entries of the feed, and what time alone brought since an instant."""
    rules = of_cases(look)
    if not rules:
        return
    async with transaction(engine, organizations=[look.organization_id]) as connection:
        asked = await ripe_cases(
            connection, look.organization_id, rules, since=since, at=look.at, calendar=look.calendar
        )
        if fed[0] < fed[1]:
            asked |= await case_ids_between(connection, look.organization_id, after=fed[0], until=fed[1])
    due = {case_id for case_id, at in found.pending.items() if at <= look.at}
    asked |= due
    for case_id in due:
        del found.pending[case_id]
    await _judge(engine, look, rules, asked, found)


def of_cases(look: Look) -> list[Rule]:
    """Give the rules about cases."""
    return [rule for rule in look.rules if isinstance(rule.settings, CaseSettings)]


async def _judge(
    engine: AsyncEngine, look: Look, rules: Sequence[Rule], case_ids: Iterable[UUID], found: Found
) -> None:
    """Judge these cases by every rule."""
    asked = sorted(case_ids)
    for start in range(0, len(asked), PAGE):
        page = asked[start : start + PAGE]
        async with transaction(engine, organizations=[look.organization_id]) as connection:
            await only_one(connection, look.organization_id)
            worth = await worth_judging(
                connection, look.organization_id, rules, page, at=look.at, calendar=look.calendar
            )
            if not worth:
                continue
            before = await store.open_of_cases(
                connection, look.organization_id, [case.case_id for case in worth]
            )
            changes = [
                settle(before.get((rule.rule_id, str(case.case_id))), _alert_for(look, rule, case, found))
                for case in worth
                for rule in rules
            ]
            await store.apply(connection, look.organization_id, changes, at=look.at)
        found.add(changes)


async def _look_again(engine: AsyncEngine, look: Look, rule: Rule, found: Found) -> None:
    """Judge anew the open alerts whose case, rule or time says so."""
    while True:
        async with transaction(engine, organizations=[look.organization_id]) as connection:
            await only_one(connection, look.organization_id)
            changed = await cases.changed_cases(
                connection, look.organization_id, rule, at=look.at, limit=PAGE
            )
            before = await store.alerts_by_id(
                connection, look.organization_id, [alert_id for alert_id, _ in changed]
            )
            changes = [
                settle(before[alert_id], _alert_for(look, rule, case, found)) for alert_id, case in changed
            ]
            await store.apply(connection, look.organization_id, changes, at=look.at)
        found.add(changes)
        if len(changed) < PAGE:
            return


async def _look_for_more(engine: AsyncEngine, look: Look, rule: Rule, found: Found) -> None:
    """Look at the cases in the rule's range that it has no alert for."""
    after = None
    while True:
        async with transaction(engine, organizations=[look.organization_id]) as connection:
            await only_one(connection, look.organization_id)
            worth, after = await cases.candidates(
                connection,
                look.organization_id,
                rule,
                at=look.at,
                calendar=look.calendar,
                after=after,
                limit=PAGE,
            )
            changes: list[Change] = [settle(None, _alert_for(look, rule, case, found)) for case in worth]
            await store.apply(connection, look.organization_id, changes, at=look.at)
        found.add(changes)
        if after is None:
            return


def _alert_for(look: Look, rule: Rule, case: CaseFacts, found: Found) -> Alert | None:
    """Judge a case by a rule. When nothing is found, it is noted when there may be."""
    assert isinstance(rule.settings, CaseSettings)  # noqa: S101  the callers ask for these kinds
    found.judged += 1
    if not concerns(rule.only, case):
        return None
    verdict = judge(rule.settings, case, at=look.at, calendar=look.calendar)
    if verdict.finding is None and verdict.recheck_at is not None:
        known = found.pending.get(case.case_id)
        found.pending[case.case_id] = min(known, verdict.recheck_at) if known else verdict.recheck_at
    return case_alert(rule, case, verdict, at=look.at, caught_up_at=look.caught_up_at)
