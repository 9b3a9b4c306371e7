"""
The order of one person's queue, and why each case stands where it does.

1. By when somebody has to act: the first of the case's next deadline, the end of the payer's question, and
   the day of the follow-up, in bands: a day, three, seven, fourteen, thirty, later or no date.
2. In a band one's own cases come before those that nobody has.
3. Then by priority, the highest first, which weighs the amount; by the case's id where all is equal.

Bands, because a deadline in six days is not more pressing than one in five, and $40,000 are than $400.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from services.tracker.domain.amounts import in_cents
from services.tracker.domain.clocks import days_between


class Band(NamedTuple):
    """Cases on which somebody has to act before `until`, counted from now; None has no end."""

    name: str
    until: timedelta | None


BANDS = (
    Band("a_day", timedelta(days=1)),
    Band("three_days", timedelta(days=3)),
    Band("a_week", timedelta(days=7)),
    Band("a_fortnight", timedelta(days=14)),
    Band("a_month", timedelta(days=30)),
    Band("later", None),
)


ReasonCode = Literal[
    "information_requested",
    "deadline",
    "follow_up",
    "paid_too_little",
    "taken_back",
    "yours",
    "unassigned",
    "priority",
    "amount",
    "needs_human",
]


class Reason(NamedTuple):
    """Why a case stands here: a code for programs, words for people."""

    code: ReasonCode
    words: str


def reasons(case: Mapping[str, Any], *, me: UUID, at: datetime) -> Iterator[Reason]:
    """Say why, the strongest first. `case` has the columns of tracker.cases, and days_left."""
    asked: datetime | None = case["information_due_at"]
    if asked is not None:
        days = days_between(at, asked, zone=case["next_deadline_zone"] or "UTC")
        words = (
            f"the payer waits for information, {_days(days)}"
            if asked > at
            else "the payer's question ran out"
        )
        yield Reason("information_requested", words)
    if case["days_left"] is not None:
        yield Reason("deadline", f"deadline {_days(case['days_left'])}")
    follow_up: date | None = case["follow_up_on"]
    if follow_up is not None:
        days = (follow_up - at.date()).days
        yield Reason(
            "follow_up", f"follow-up {_days(days)}" if days >= 0 else f"follow-up overdue since {follow_up}"
        )
    if case["state"] in _TO_BE_JUDGED:
        yield _TO_BE_JUDGED[case["state"]]
    yield Reason("yours", "yours") if case["assignee_id"] == me else Reason("unassigned", "nobody has it")
    yield Reason("priority", f"priority {case['priority']}")
    yield Reason("amount", f"${in_cents(case['amount_at_stake'])} at stake")
    if case["needs_human"]:
        yield Reason("needs_human", "a person has to judge it")


_TO_BE_JUDGED = {
    "paid": Reason("paid_too_little", "so little was paid that a person has to say whether it is a recovery"),
    "reversed": Reason("taken_back", "the payer took it back, and nothing was adjudicated since"),
}


def _days(days: int) -> str:
    return "today" if days == 0 else "tomorrow" if days == 1 else f"in {days} days"
