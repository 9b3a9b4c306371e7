"""What a message says: a title in our own words, the most pressing lines, the sums over all."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from services.tracker.alerts.domain import wording
from services.tracker.alerts.domain.alerts import Alert, line_of
from services.tracker.alerts.domain.content import Content, Line, Totals
from services.tracker.alerts.domain.groups import CATCH_UP, Message
from services.tracker.alerts.domain.judging import days_left
from services.tracker.alerts.domain.rules import KINDS, PIPELINE_KINDS, rank

LINES_MAX = 50
"""More than any channel shows; the totals count all."""


def content_of(message: Message, *, at: datetime, case_link: str | None = None) -> Content:
    """Write a message. `case_link` is an address with `{case_id}` in it."""
    group = message.group
    alerts = sorted(message.alerts, key=_urgency)
    amounts = [alert.amount for alert in alerts if alert.amount is not None]
    amount = sum(amounts, Decimal(0)) if amounts else None
    lines = _lines(alerts[:LINES_MAX], at=at, case_link=case_link)
    return Content(
        title=_title(message, count=len(alerts), amount=amount, at=at),
        rule="Caught up after an interruption" if group.kind == CATCH_UP else group.rule_name,
        lines=tuple(lines),
        totals=Totals(count=len(alerts), amount=amount),
        runbook=group.kind,
        link=lines[0].link if len(lines) == 1 else None,
        acknowledged=bool(alerts) and all(alert.acknowledged_at for alert in alerts),
    )


def _lines(alerts: Sequence[Alert], *, at: datetime, case_link: str | None) -> list[Line]:
    return [line_of(alert, at=at, case_link=case_link) for alert in alerts]


def _urgency(alert: Alert) -> tuple[int, float, Decimal]:
    ends = alert.end_at.timestamp() if alert.end_at else float("inf")
    return -rank(alert.severity), ends, -(alert.amount or Decimal(0))


def _title(message: Message, *, count: int, amount: Decimal | None, at: datetime) -> str:
    one, many = _NAMES[message.group.kind]
    if message.kind == "resolved":
        return many  # channels say that it is resolved
    if count == 1 and message.group.kind in PIPELINE_KINDS and message.alerts[0].label:
        return message.alerts[0].label
    at_stake = f", ${amount:,.2f} at stake" if amount is not None else ""
    new = f" ({message.new} new)" if message.kind == "update" and message.new else ""
    return f"{count:,} {one if count == 1 else many}{new}{_nearest(message, at=at)}{at_stake}"


def _nearest(message: Message, *, at: datetime) -> str:
    """Say how long the nearest of the ends is away, where that is what the message is about."""
    if message.group.kind not in _ABOUT_TIME:
        return ""
    left = [
        days_left(alert.end_at, alert.zone, at=at) for alert in message.alerts if alert.end_at and alert.zone
    ]
    if not left or min(left) < 0:
        return ""
    said = wording.days_left(min(left))
    return f", {said}" if len(message.alerts) == 1 else f", the first {said}"


_ABOUT_TIME = frozenset({"clock", "information_request", "unowned"})


_NAMES = {name: (kind.one, kind.many) for name, kind in KINDS.items()} | {
    CATCH_UP: ("alert after an interruption", "alerts after an interruption")
}
