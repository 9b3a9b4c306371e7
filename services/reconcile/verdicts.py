"""
What the comparison says of one event. Sets are compared first; states only explain what is absent.

    agrees      ingest, triage and the ledger hold it with the same dollars
    in_flight   absent at a step, younger than two minutes, on its way
    staged      read by ingest, and not yet released: its file is still being read, or waits
    overdue     absent at a step, on its way for longer: it is sent again with back-off
    parked      absent at a step, laid aside with a reason until somebody replays it
    missing     absent at a step, although its producer was told that it arrived: `--repair` sends it again
    disagrees   two steps hold it with different dollars
    unknown     triage or the ledger hold what ingest does not
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal
from uuid import UUID

from services.reconcile.joining import Joined
from services.reconcile.lines import DecisionLine, EventLine

Verdict = Literal["agrees", "in_flight", "staged", "overdue", "parked", "missing", "disagrees", "unknown"]
Service = Literal["ingest", "triage", "tracker"]

REPAIRED: tuple[Verdict, ...] = ("missing", "overdue")
"""What `--repair` sends again. What is parked waits for `reprieve dlq replay`: its cause must go first."""

IN_FLIGHT_MAX = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Message:
    """A message that its producer can send again."""

    producer: Service
    organization_id: UUID
    message_id: UUID
    revision: int


@dataclass(frozen=True, slots=True)
class Finding:
    """`step` is the service where the event is absent or differs; `message` is what would bring it there."""

    verdict: Verdict
    step: Service
    organization_id: UUID
    event_id: UUID
    revision: int
    remittance_id: UUID | None
    charge_amount: Decimal
    denied_amount: Decimal
    why: str
    message: Message | None = None


def judge(joined: Joined, *, at: datetime) -> Finding | None:  # noqa: PLR0911  one line per verdict
    """Compare one event over the steps; None when all agree. `at` is now, to tell the age of what is late."""
    event, decision, ledger = joined.event, joined.decision, joined.ledger
    if event is None:
        return _finding(joined, "unknown", "ingest", "ingest has no such event")
    if decision is None:
        return _absent(joined, "triage", event, at=at)
    if decision.amounts != event.amounts:
        return _finding(joined, "disagrees", "triage", _difference(event.amounts, decision.amounts))
    if ledger is None or ledger.decision_revision < decision.latest_decision_revision:
        return _absent(joined, "tracker", decision, at=at)
    if ledger.amounts != event.amounts:
        return _finding(joined, "disagrees", "tracker", _difference(event.amounts, ledger.amounts))
    if ledger.decision_revision > decision.latest_decision_revision:
        return _finding(joined, "disagrees", "tracker", "the ledger holds a decision that triage does not")
    return None


def _absent(joined: Joined, step: Service, last: EventLine | DecisionLine, *, at: datetime) -> Finding:
    """Explain by the state of the last step that has the event why the next one does not."""
    if isinstance(last, EventLine):
        since, message = (
            last.created_at,
            Message("ingest", last.organization_id, last.event_id, last.revision),
        )
    else:
        since = last.decided_at
        message = Message(
            "triage", last.organization_id, last.latest_decision_id, last.latest_decision_revision
        )
    if last.state == "staged":  # nobody sends it before its transaction set is closed, `--repair` neither
        return _finding(joined, "staged", step, "its transaction set is not closed")
    if last.state == "parked":
        return _finding(joined, "parked", step, last.parked_reason or "no reason given", message)
    if last.state == "settled":
        return _finding(joined, "missing", step, f"{message.producer} was told that it arrived", message)
    if since is None or at - since <= IN_FLIGHT_MAX:
        return _finding(joined, "in_flight", step, "on its way", message)
    return _finding(joined, "overdue", step, f"on its way since {since:%Y-%m-%d %H:%M:%S %Z}", message)


def _finding(
    joined: Joined, verdict: Verdict, step: Service, why: str, message: Message | None = None
) -> Finding:
    known = joined.event or joined.decision or joined.ledger
    if known is None:
        raise AssertionError("a join yields what at least one stream holds")
    return Finding(
        verdict=verdict,
        step=step,
        organization_id=joined.key[0],
        event_id=joined.key[1],
        revision=joined.key[2],
        remittance_id=joined.event.remittance_id if joined.event else None,
        charge_amount=known.charge_amount,
        denied_amount=known.denied_amount,
        why=why,
        message=message,
    )


def _difference(expected: tuple[Decimal, Decimal], found: tuple[Decimal, Decimal]) -> str:
    return f"charged {found[0]} instead of {expected[0]}, denied {found[1]} instead of {expected[1]}"
