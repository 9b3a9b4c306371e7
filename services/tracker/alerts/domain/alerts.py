"""
The life of an alert: it opens with its reason, escalates tier by tier, and resolves when the reason is gone.

A worse tier is a new alert in the place of the old one, so that whoever acknowledged the old one hears of
it. A milder one (a new decision moved the deadline) changes the alert that is there: nobody needs to hear
that twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid4

from services.tracker.alerts.domain.content import Line, Severity
from services.tracker.alerts.domain.judging import CaseFacts, Finding, Verdict, days_left
from services.tracker.alerts.domain.rules import Rule, rank
from services.tracker.domain.clocks import day_of

ResolvedReason = Literal["gone", "escalated", "rule_changed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """
    `subject` is what it is about: a case's id, a series, a feed, an outbox. One alert of a rule is open for a
    subject at a time. `caught_up_at` marks what was found after an outage: it is told in one message.
    """

    alert_id: UUID
    rule_id: UUID
    rule_version: int
    kind: str
    rule_name: str
    subject: str
    tier: str
    severity: Severity
    case_id: UUID | None = None
    case_version: int | None = None
    payer: str | None = None
    payer_id: str | None = None
    category: str | None = None
    amount: Decimal | None = None
    label: str | None = None
    end_at: datetime | None = None
    zone: str | None = None
    opened_at: datetime
    recheck_at: datetime | None = None
    caught_up_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: UUID | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of an alert: nothing, or `resolved` with a reason, `opened`, `kept` with other figures."""

    resolved: tuple[Alert, ResolvedReason] | None = None
    opened: Alert | None = None
    kept: Alert | None = None


def settle(before: Alert | None, after: Alert | None) -> Change:
    """Compare the open alert of a rule and subject, if any, with what is found now, if anything."""
    if before is None:
        return Change(opened=after)
    if after is None:
        return Change(resolved=(before, "gone"))
    if rank(after.severity) > rank(before.severity) or (
        after.tier != before.tier and after.severity == before.severity
    ):
        return Change(resolved=(before, "escalated"), opened=after)
    kept = replace(
        after,
        alert_id=before.alert_id,
        opened_at=before.opened_at,
        caught_up_at=before.caught_up_at,
        acknowledged_at=before.acknowledged_at,
        acknowledged_by=before.acknowledged_by,
    )
    return Change(kept=kept) if kept != before else Change()


def case_alert(
    rule: Rule, case: CaseFacts, verdict: Verdict, *, at: datetime, caught_up_at: datetime | None = None
) -> Alert | None:
    """Make the alert that a verdict over a case asks for, if it asks for any."""
    if verdict.finding is None:
        return None
    finding: Finding = verdict.finding
    return Alert(
        **_of_rule(rule),
        subject=str(case.case_id),
        tier=finding.tier,
        severity=finding.severity,
        case_id=case.case_id,
        case_version=case.version,
        payer=case.payer_name,
        payer_id=case.payer_id,
        category=case.category,
        amount=case.amount,
        end_at=finding.end_at,
        zone=finding.zone,
        opened_at=at,
        recheck_at=verdict.recheck_at,
        caught_up_at=caught_up_at,
    )


def other_alert(
    rule: Rule,
    subject: str,
    *,
    severity: Severity,
    label: str,
    at: datetime,
    caught_up_at: datetime | None = None,
    about: Mapping[str, Any] | None = None,
) -> Alert:
    """Make an alert that is about no case. `label` is in words of our own; `about` are further fields."""
    return Alert(
        **_of_rule(rule),
        subject=subject,
        tier="on",
        severity=severity,
        label=label,
        opened_at=at,
        caught_up_at=caught_up_at,
        **(about or {}),
    )


def _of_rule(rule: Rule) -> dict[str, Any]:
    return {
        "alert_id": uuid4(),
        "rule_id": rule.rule_id,
        "rule_version": rule.version,
        "kind": rule.settings.kind,
        "rule_name": rule.name,
    }


def line_of(alert: Alert, *, at: datetime, case_link: str | None = None) -> Line:
    """Say of an alert what a channel may show. `case_link` has `{case_id}` where the id goes."""
    ends = alert.end_at is not None and alert.zone is not None
    left = days_left(alert.end_at, alert.zone, at=at) if alert.end_at and alert.zone else None
    return Line(
        case_id=alert.case_id,
        label=alert.label,
        payer=alert.payer,
        category=alert.category,
        amount=alert.amount,
        days_left=None if left is None or left < 0 else left,
        deadline_on=day_of(alert.end_at, zone=alert.zone) if alert.end_at and alert.zone else None,
        zone=alert.zone if ends else None,
        link=case_link.replace("{case_id}", str(alert.case_id)) if case_link and alert.case_id else None,
    )
