"""What a message says: a title in our own words, the most pressing lines, the sums over all."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from services.tracker.alerts.domain.alerts import Alert, line_of
from services.tracker.alerts.domain.content import Content, Line, Totals
from services.tracker.alerts.domain.groups import CATCH_UP, Message
from services.tracker.alerts.domain.rules import KINDS, rank

LINES_MAX = 50
"""More than any channel shows; the totals count all."""


def content_of(message: Message, *, at: datetime, case_link: str | None = None) -> Content:
    """Write a message. `case_link` is an address with `{case_id}` in it."""
    group = message.group
    alerts = sorted(message.alerts, key=_urgency)
    amounts = [alert.amount for alert in alerts if alert.amount is not None]
    amount = sum(amounts, Decimal(0)) if amounts else None
    return Content(
        title=_title(message, count=len(alerts), amount=amount),
        rule="Caught up after an interruption" if group.kind == CATCH_UP else group.rule_name,
        lines=tuple(_lines(alerts[:LINES_MAX], at=at, case_link=case_link)),
        totals=Totals(count=len(alerts), amount=amount),
        runbook=group.kind,
        acknowledged=bool(alerts) and all(alert.acknowledged_at for alert in alerts),
    )


def _lines(alerts: Sequence[Alert], *, at: datetime, case_link: str | None) -> list[Line]:
    return [line_of(alert, at=at, case_link=case_link) for alert in alerts]


def _urgency(alert: Alert) -> tuple[int, float, Decimal]:
    ends = alert.end_at.timestamp() if alert.end_at else float("inf")
    return -rank(alert.severity), ends, -(alert.amount or Decimal(0))


def _title(message: Message, *, count: int, amount: Decimal | None) -> str:
    one, many = _NAMES[message.group.kind]
    if message.kind == "resolved":
        return many  # channels say that it is resolved
    at_stake = f", ${amount:,.2f} at stake" if amount is not None else ""
    new = f" ({message.new} new)" if message.kind == "update" and message.new else ""
    return f"{count:,} {one if count == 1 else many}{new}{at_stake}"


_NAMES = {name: (kind.one, kind.many) for name, kind in KINDS.items()} | {
    CATCH_UP: ("alert after an interruption", "alerts after an interruption")
}
