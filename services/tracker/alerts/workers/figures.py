"""The rules about the pipeline: which figures each looks at, and which of these are above its limit."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.alerts import Alert, other_alert
from services.tracker.alerts.domain.defaults import INSTALLATION
from services.tracker.alerts.domain.pipeline import Fact, stands
from services.tracker.alerts.domain.rules import Pipeline, Rule
from services.tracker.alerts.store import alerts as store
from services.tracker.alerts.store.pulse import Pulse
from services.tracker.alerts.workers.looking import Look

OF_OUR_OWN = ("channel_failing", "reconciliation_failed")
"""Kinds that need no other process's metrics."""


def figures_for(look: Look, settings: Pipeline, facts: Sequence[Fact] | None, pulse: Pulse) -> object:
    """Give what a rule looks at: while that is the same, so is what it finds."""
    match settings.kind:
        case _ if settings.for_seconds:
            return look.at  # time alone may change what it finds
        case "channel_failing":
            return pulse.channels
        case "reconciliation_failed":
            return pulse.marks.get(store.RECONCILIATION)
        case kind:
            return facts and [fact for fact in facts if fact.kind == kind]


async def above_limits(
    connection: AsyncConnection, look: Look, rule: Rule, facts: Sequence[Fact] | None, pulse: Pulse
) -> list[Alert]:
    """Give an alert for each figure that is above what the rule allows."""
    settings = rule.settings
    assert isinstance(settings, Pipeline)  # noqa: S101  the caller asks for this kind
    if settings.kind == "channel_failing":
        facts = await _failing_channels(connection, look)
    elif settings.kind == "reconciliation_failed":
        failed_at = pulse.marks.get(store.RECONCILIATION)
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
        for fact in facts or ()
        if stands(settings, fact, at=look.at, stood=fact.subject in before)
    ]


async def _failing_channels(connection: AsyncConnection, look: Look) -> list[Fact]:
    return [
        Fact(
            "channel_failing",
            str(row.channel_id),
            f"channel “{row.name}” ({row.kind})"
            f" {'is disabled' if row.state == 'disabled' else f'fails since {row.failing_since:%H:%M} UTC'}",
            1,
            ((row.failing_since or row.changed_at, 1),),
        )
        for row in await store.failing_channels(connection, look.organization_id)
    ]


def _failed_reconciliation(failed_at: datetime) -> Fact:
    said = f"the run of {failed_at:%Y-%m-%d %H:%M} UTC found something missing"
    return Fact("reconciliation_failed", "reconciliation", said, 1, ((failed_at, 1),))
