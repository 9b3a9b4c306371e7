"""What a newer decision changed, in words that a biller reads."""

from decimal import Decimal
from typing import Any, NamedTuple

from services.tracker.domain.amounts import in_cents
from shared.contracts.decision import Clock
from shared.contracts.denial_triaged import DenialTriaged

_FIELDS = (
    "auth_related",
    "category",
    "route",
    "recommended_action",
    "amount_at_stake",
    "urgency_class",
    "responsible_party",
    "payer_match",
    "channel",
    "priority",
    "confidence",
    "needs_human",
)


class Change(NamedTuple):
    """A field that moved. A clock is `clocks.<kind>`, or `clocks.<kind>.<policy>` where two share a kind."""

    field: str
    before: str | None
    after: str | None


def changes(before: DenialTriaged, after: DenialTriaged) -> list[Change]:
    """List what differs between two decisions of one event."""
    old = {name: _written(getattr(before, name)) for name in _FIELDS} | _clocks(before)
    new = {name: _written(getattr(after, name)) for name in _FIELDS} | _clocks(after)
    return [
        Change(name, old.get(name), new.get(name))
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def _clocks(decision: DenialTriaged) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for clock in decision.clocks:
        name = f"clocks.{clock.kind}"
        found[name if name not in found else f"{name}.{clock.policy_id}"] = _end(clock)
    return found


def _end(clock: Clock) -> str:
    if clock.permitted is False:
        return "not permitted"
    if clock.deadline_at is not None:
        return clock.deadline_at.isoformat() + ("" if clock.permitted else " if permitted")
    earliest, latest = (one.isoformat() if one else "unknown" for one in (clock.earliest, clock.latest))
    return f"between {earliest} and {latest}"


def _written(value: Any) -> str | None:
    if isinstance(value, Decimal):
        return in_cents(value)
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
