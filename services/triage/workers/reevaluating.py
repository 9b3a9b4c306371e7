"""
A policy changed: what was decided by the earlier one is decided again.

A re-evaluation goes through an organization's stored decisions in bounded batches, each one transaction that
decides, keeps what came out differently, and writes down how far it came. Killed anywhere, it goes on there.
It needs no word from the tracker on what is open: it leaves alone what the change does not touch, and what no
clock can save any more.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.triage.domain.histories import Others, others_of
from services.triage.domain.policies import Policies
from services.triage.domain.redeciding import may_be_touched, read_decision, still_matters, touches
from services.triage.store.decisions import insert_decisions
from services.triage.store.facts import facts_of_keys
from services.triage.store.histories import histories_of
from services.triage.store.organizations import time_zones
from services.triage.store.policy_sets import INSTALLATION, read_published
from services.triage.store.policy_versions import DISTRIBUTION, content_of
from services.triage.store.redeciding import Page, newest_among, page_of_decisions
from services.triage.store.reevaluations import (
    Reevaluation,
    advance,
    bound,
    due_reevaluations,
    take_reevaluation,
)
from services.triage.workers.deciding import Rules, triage_denial
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Decision, DecisionCause
from shared.contracts.denial_triaged import Triaged
from shared.contracts.fact_recorded import FactRecorded
from shared.errors import UnavailableError
from shared.http.probes import Health
from shared.kafka.backoff import Backoff, sleep_unless
from shared.postgres import lock_shards, transaction
from shared.values import SHARDS

LOOP = "reevaluate"
_IDLE_SECONDS = 1.0
_AT_ONCE = 50

log = structlog.get_logger()


async def reevaluate(engine: AsyncEngine, rules: Rules, *, health: Health, stop: asyncio.Event) -> None:
    """Work on what is due until `stop` is set. Several workers share it: each takes what nobody holds."""
    backoff = Backoff()
    while not stop.is_set():
        health.beat(LOOP)
        try:
            worked = await work_on_due(engine, rules)
        except UnavailableError as error:
            log.warning("reevaluation_waits", loop=LOOP, error_class=type(error.__cause__ or error).__name__)
            await backoff.wait(stop)
            continue
        backoff.reset()
        if not worked:
            await sleep_unless(stop, _IDLE_SECONDS)
    health.retire(LOOP)


async def work_on_due(engine: AsyncEngine, rules: Rules) -> int:
    """Do one batch of each re-evaluation that is due and that nobody else works on; gives how many."""
    async with transaction(engine) as connection:
        due = await due_reevaluations(connection, limit=_AT_ONCE)
    worked = 0
    for organization_id, reevaluation_id in due:
        async with transaction(engine, organizations=[organization_id]) as connection:
            taken = await take_reevaluation(connection, organization_id, reevaluation_id)
            if taken is not None and await _can_do(connection, taken, rules):
                await _batch(connection, taken, rules)
                worked += 1
    return worked


async def _can_do(connection: AsyncConnection, one: Reevaluation, rules: Rules) -> bool:
    """Tell whether this process decides by what changed: a release's files are its own processes' alone."""
    if one.requested_role != DISTRIBUTION.role:
        return True
    content = await content_of(connection, INSTALLATION, one.policy_id, one.number)
    file = read_published(content or b"").file
    return any(policy.file == file for policy in rules.policies.reference.policies)


async def _batch(connection: AsyncConnection, one: Reevaluation, rules: Rules) -> None:
    if one.until_parcel is None:
        # Whoever still decides by the earlier policies holds its shards until it has committed.
        await lock_shards(connection, "triage", range(SHARDS))
        await bound(connection, one)
        return
    page = await page_of_decisions(
        connection, one.organization_id, after=one.after_parcel, until=one.until_parcel
    )
    if page is None:
        await advance(connection, one, after=one.until_parcel, looked=0, changed=0, finished=True)
        log.info(
            "reevaluated",
            organization_id=one.organization_id,
            policy_id=one.policy_id,
            policy_version=one.version,
            denied_claims=one.looked,
            decisions=one.changed,
        )
        return
    await lock_shards(connection, "triage", page.shards)
    made = await _decide_again(connection, one, page, rules)
    await insert_decisions(connection, made)
    await advance(
        connection, one, after=page.last, looked=len(page.denials), changed=len(made), finished=False
    )


async def _decide_again(
    connection: AsyncConnection, one: Reevaluation, page: Page, rules: Rules
) -> list[Triaged]:
    """Decide what the change may touch, and give what it came to where that is something else."""
    organization_id = one.organization_id
    stored = [read_decision(payload) for payload in page.denials]
    wanted = [place for place, decision in enumerate(stored) if may_be_touched(decision)]
    newest = await newest_among(connection, organization_id, [page.denials[place] for place in wanted])
    if not newest:
        return []
    policies = (await rules.policies.in_force(connection)).of(organization_id)
    facts = await facts_of_keys(connection, {(organization_id, event.claim_key) for event in newest.values()})
    histories = await histories_of(connection, newest.values())
    zone = (await time_zones(connection)).get(organization_id, UTC)
    today = one.requested_at.astimezone(zone).date()
    made = []
    for place, event in newest.items():
        about = facts.get((organization_id, event.event_id), ())
        others = others_of(histories, event)
        again = _again(one, stored[wanted[place]], event, about, others, policies, rules, today=today)
        if again is not None:
            made.append(again)
    return made


def _again(
    one: Reevaluation,
    before: Decision,
    event: ClaimDenied,
    facts: Sequence[FactRecorded],
    others: Others,
    policies: Policies,
    rules: Rules,
    *,
    today: date,
) -> Triaged | None:
    """
    Decide one denial again; None where the policy changes nothing about it.

    Compared is what both policies say on the day of the decision that is there: time passes by itself. What
    is told counts from the day of the change. A denial that cannot be decided keeps its decision.
    """
    revision = before.decision_revision + 1
    try:
        then = triage_denial(
            event, facts, policies, rules.calendar, as_of=before.as_of, revision=revision, others=others
        )
        if not touches(one.policy_id, before, then.decision):
            return None
        after = triage_denial(
            event,
            facts,
            policies,
            rules.calendar,
            as_of=max(before.as_of, today),
            revision=revision,
            cause=_cause(one),
            others=others,
        )
    except Exception:
        log.exception("reevaluation_failed", event_id=event.event_id, policy_id=one.policy_id)
        return None
    return after if still_matters(before, after.decision, today) else None


def _cause(one: Reevaluation) -> DecisionCause:
    return DecisionCause(
        kind=one.cause,
        policy_id=one.policy_id,
        policy_version=one.version,
        layer=one.layer,
        number=one.number,
        reason=one.reason,
        role=one.requested_role,
    )
