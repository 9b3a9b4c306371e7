"""A policy changed: whether that touches a denial, and whether it still matters."""

from datetime import date

import msgspec

from services.triage.domain.next_clock import next_clock
from services.triage.domain.ways import kinds_for
from shared.contracts.decision import Decision

_OF_THE_TELLING = frozenset({"decision_id", "decision_revision", "fact_ids", "cause"})
_WORDS = tuple(name for name in Decision.__struct_fields__ if name not in _OF_THE_TELLING)


def may_be_touched(decided: Decision) -> bool:
    """Tell whether a policy can change this decision at all: where no way is open, none has a time limit."""
    return bool(decided.clocks or kinds_for(decided.category, decided.recommended_action))


def touches(policy_id: str, before: Decision, after: Decision) -> bool:
    """Tell whether this policy is what makes two decisions differ, given the same facts and day."""
    if same_words(before, after):
        return False
    first, second = _policies(before), _policies(after)
    return policy_id in first | second or first != second


def same_words(before: Decision, after: Decision) -> bool:
    """Tell whether two decisions say the same, whatever their revisions."""
    return all(getattr(before, name) == getattr(after, name) for name in _WORDS)


def still_matters(before: Decision, after: Decision, today: date) -> bool:
    """Tell whether a clock that may still run is in either: else there is nothing left to do in time."""
    return any(next_clock(one.clocks, today) is not None for one in (before, after))


def _policies(decided: Decision) -> frozenset[str | None]:
    return frozenset([decided.payer_match, *(clock.policy_id for clock in decided.clocks)])


_decoder = msgspec.json.Decoder(Decision)


def read_decision(payload: bytes) -> Decision:
    """Read the decision out of a stored DenialTriaged; the claim's own facts are passed over."""
    return _decoder.decode(payload)
