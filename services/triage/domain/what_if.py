"""What another set of policies would change: two decisions of one denial on one day, and their sum."""

from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from msgspec import Struct

from services.triage.domain.next_clock import end_ahead, next_clock
from services.triage.domain.redeciding import may_be_touched, same_words
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Decision

Move = Literal["same", "earlier", "later", "appeared", "vanished"]


class ClockMoved(Struct, frozen=True, kw_only=True):
    """A time limit that ends at another instant: the soonest of its kind, by its early bound."""

    kind: str
    move: Move
    before: datetime | None
    after: datetime | None


class Difference(Struct, frozen=True, kw_only=True):
    """
    One denial that would be decided differently.

    Deadlines are those to plan for next, None where none is open. `deadline` says how it moves; `clocks` are
    all that move, open or not. `amount` is at stake now, in US dollars.
    """

    event_id: UUID
    claim_key: UUID
    payer: str | None
    amount: Decimal
    deadline: Move
    deadline_before: datetime | None
    deadline_after: datetime | None
    clocks: tuple[ClockMoved, ...]
    action_before: str
    action_after: str
    category_before: str
    category_after: str
    policy_before: str | None
    policy_after: str | None


def difference(event: ClaimDenied, before: Decision, after: Decision) -> Difference | None:
    """
    Compare two decisions of one denial that were made for the same day; None where they say the same.

    Nor is there one where no way hangs on a policy, whoever's it is: a publication leaves that denial alone.
    """
    if not may_be_touched(before) or same_words(before, after):
        return None
    first, second = _deadline(before), _deadline(after)
    return Difference(
        event_id=event.event_id,
        claim_key=event.claim_key,
        payer=event.payer.name,
        amount=before.amount_at_stake,
        deadline=_move(first, second),
        deadline_before=first,
        deadline_after=second,
        clocks=_moved(before, after),
        action_before=before.recommended_action,
        action_after=after.recommended_action,
        category_before=before.category,
        category_after=after.category,
        policy_before=before.payer_match,
        policy_after=after.payer_match,
    )


def _deadline(decision: Decision) -> datetime | None:
    as_of: date = decision.as_of
    clock = next_clock(decision.clocks, as_of)
    return None if clock is None else end_ahead(clock, as_of)


def _moved(before: Decision, after: Decision) -> tuple[ClockMoved, ...]:
    first, second = _ends(before), _ends(after)
    return tuple(
        ClockMoved(kind=kind, move=_move(old, new), before=old, after=new)
        for kind in dict.fromkeys([*first, *second])
        if (old := first.get(kind)) != (new := second.get(kind))
    )


def _ends(decision: Decision) -> dict[str, datetime]:
    """Give the soonest end of each kind of clock that is not forbidden and has one."""
    found: dict[str, datetime] = {}
    for clock in decision.clocks:
        end = clock.deadline_at or clock.earliest or clock.latest
        if end is not None and clock.permitted is not False:
            found[clock.kind] = min(end, found.get(clock.kind, end))
    return found


def _move(before: datetime | None, after: datetime | None) -> Move:
    if before == after:
        return "same"
    if before is None:
        return "appeared"
    if after is None:
        return "vanished"
    return "earlier" if after < before else "later"


class Sum(Struct):
    """Denials, and the dollars at stake in them."""

    denials: int = 0
    amount: Decimal = Decimal(0)

    def add(self, amount: Decimal) -> None:
        self.denials += 1
        self.amount += amount


class Summary:
    """What a simulation comes to. Claims are claim keys: what becomes a case, as a rule."""

    def __init__(self) -> None:
        self.looked = self.decided = 0
        self.changed = Sum()
        self._claims: set[UUID] = set()
        self._deadlines: dict[str, Sum] = defaultdict(Sum)
        self._clocks: dict[tuple[str, str], Sum] = defaultdict(Sum)
        self._actions: dict[tuple[str, str], Sum] = defaultdict(Sum)
        self._categories: dict[tuple[str, str], Sum] = defaultdict(Sum)
        self._policies: dict[tuple[str | None, str | None], Sum] = defaultdict(Sum)

    def add(self, found: Difference) -> None:
        self.changed.add(found.amount)
        self._claims.add(found.claim_key)
        self._deadlines[found.deadline].add(found.amount)
        self._policies[found.policy_before, found.policy_after].add(found.amount)
        for clock in found.clocks:
            self._clocks[clock.kind, clock.move].add(found.amount)
        if found.action_before != found.action_after:
            self._actions[found.action_before, found.action_after].add(found.amount)
        if found.category_before != found.category_after:
            self._categories[found.category_before, found.category_after].add(found.amount)

    def told(self) -> dict[str, object]:
        """Give it for JSON."""
        return {
            "kind": "summary",
            "looked": self.looked,
            "denials": self.decided,
            "changed": self.changed,
            "claims": len(self._claims),
            "deadlines": dict(self._deadlines),
            "clocks": [
                {"kind": kind, "move": move, "denials": one.denials, "amount": one.amount}
                for (kind, move), one in self._clocks.items()
            ],
            "actions": _pairs(self._actions),
            "categories": _pairs(self._categories),
            "policies": _pairs(self._policies),
        }


def _pairs(sums: dict[tuple[str, str], Sum] | dict[tuple[str | None, str | None], Sum]) -> list[object]:
    ranked = sorted(sums.items(), key=lambda item: item[1].amount, reverse=True)
    return [
        {"before": before, "after": after, "denials": found.denials, "amount": found.amount}
        for (before, after), found in ranked
    ]
