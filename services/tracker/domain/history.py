"""What a newer decision changed, and why there is one, in words that a biller reads."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from uuid import UUID

from services.tracker.domain.amounts import in_cents
from services.tracker.domain.copies import without_copies
from services.tracker.domain.observations import ZERO, in_order, observe
from shared.contracts.decision import Clock, ToldBefore
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
    """
    A field that moved. A clock is `clocks.<kind>`, or `clocks.<kind>.<policy>` where two share a kind.

    Beside it stands `….rule`: the policy and its version that the time limit comes from.
    """

    field: str
    before: str | None
    after: str | None


class Reason(NamedTuple):
    """Why triage decided again. `said` is the sentence; what it names stands beside it."""

    kind: Literal["fact", "policy_published", "policy_retired", "reading", "remittance"]
    said: str
    fact_id: UUID | None = None
    policy_id: str | None = None
    policy_version: str | None = None


class KnownFact(NamedTuple):
    """A fact as somebody stated it; `role` None: before roles were kept."""

    kind: str
    value: str
    role: str | None


def reasons(before: DenialTriaged, after: DenialTriaged, facts: Mapping[UUID, KnownFact]) -> list[Reason]:
    """
    Say why there is a newer decision of an event: new facts, a policy, a better reading, other remittances.

    `facts` are the case's. A decision that no such thing explains has no reasons.
    """
    found = [_by_fact(one, facts.get(one)) for one in after.fact_ids if one not in before.fact_ids]
    found += _by_policy(after)
    found += _by_remittance(before.told_before, after.told_before)
    if after.revision != before.revision:
        found.append(Reason("reading", "the remittance was read again"))
    return found


def _by_fact(fact_id: UUID, fact: KnownFact | None) -> Reason:
    if fact is None:
        return Reason("fact", "somebody stated a fact about another case of this claim", fact_id)
    who = f"by the {fact.role}" if fact.role else "by a person"
    return Reason("fact", f"{fact.kind.replace('_', ' ')} {fact.value}, stated {who}", fact_id)


def _by_policy(after: DenialTriaged) -> Iterator[Reason]:
    cause = after.cause
    if cause is None:
        return
    whose = "the operator" if cause.layer == "installation" else f"the {cause.role}"
    if cause.role == "distribution":
        whose = "a release of Reprieve"
    done = "published" if cause.kind == "policy_published" else "taken out of force"
    yield Reason(
        cause.kind,
        f"policy {cause.policy_id} version {cause.policy_version} {done} by {whose}: {cause.reason}",
        policy_id=cause.policy_id,
        policy_version=cause.policy_version,
    )


def _by_remittance(before: ToldBefore | None, after: ToldBefore | None) -> Iterator[Reason]:
    if before == after:
        return
    if after is None:
        said = "no earlier remittance tells this denial any more"
    elif after.first_on is None:
        said = f"it takes back what the remittance of {after.paid_on} paid: clocks start anew"
    elif after.sure:
        said = f"an earlier denial of {after.first_on} governs the clocks"
    else:
        said = f"an earlier denial of {after.first_on}, perhaps of the same claim, bounds the clocks"
    yield Reason("remittance", said)


def late_part(before: Sequence[DenialTriaged], part: DenialTriaged) -> tuple[list[Change], list[Reason]]:
    """
    Say what a denial adds to those `before` it in the same remittance, where it came later than they did.

    Nothing, where it is a copy of one of them.
    """
    views = [observe(one) for one in (*before, part)]
    if not before or len(without_copies(in_order(views))[0]) < len(views):
        return [], []
    *known, added = views
    moved = []
    for name in ("denied_amount", "amount_at_stake"):
        amount = sum((getattr(one, name) for one in known), ZERO)
        moved.append(Change(name, in_cents(amount), in_cents(amount + getattr(added, name))))
    said = f"a further part of the denial of {part.payer_date}, which came later: the work on it goes on"
    return moved, [Reason("remittance", said)]


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
        name = name if name not in found else f"{name}.{clock.policy_id}"
        found[name] = _end(clock)
        found[f"{name}.rule"] = f"{clock.policy_id} {clock.policy_version}"
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
