"""
Which observations are one word said twice: two copies of a remittance that differ somewhere.

ingest marks whichever arrived second with `possible_duplicate_of`: same payment, CLP01, CLP07 and kind,
other content. The parts of a split claim look the same from there. The services tell: of copies one stands,
parts all count. The mark is read for the pair, whichever side carries it, so arrival order cannot matter.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from decimal import Decimal

from services.tracker.domain.observations import Line, Observation

COPIES = "another remittance reports the same claim with other content"
"""The words of triage's decision on the marked one; the other copy may be the one that stands."""


def without_copies(members: Sequence[Observation]) -> tuple[list[Observation], bool]:
    """
    Leave out all but one of each set of copies from ordered observations, and say whether there were any.

    One that was not cut off stands before one that was; then the one with more lines, the higher charge, a
    denial about authorization, the higher denial, the later in order.
    """
    if not any(one.possible_duplicate_of for one in members):
        return list(members), False
    places = {one.event_id: place for place, one in enumerate(members)}
    kept: list[Observation] = []
    for one in sorted(members, key=lambda one: (*_fullness(one), places[one.event_id]), reverse=True):
        if not any(_are_copies(one, other, members) for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda one: places[one.event_id]), len(kept) < len(members)


def _fullness(one: Observation) -> tuple[bool, int, Decimal, bool, Decimal]:
    return not one.truncated, len(one.lines), abs(one.charge_amount), one.auth_related, one.denied_amount


def _are_copies(one: Observation, other: Observation, members: Sequence[Observation]) -> bool:
    return (
        bool(one.possible_duplicate_of or other.possible_duplicate_of)
        and one.remittance == other.remittance
        and one.payer_claim_number == other.payer_claim_number
        and _kind(one) == _kind(other)
        and _services_coincide(one, other)
        and not _taken_back_between(one, other, members)
    )


def _kind(one: Observation) -> str:
    return one.outcome if one.outcome == "reversed" else "denied" if one.is_denial else "adjudicated"


def _services_coincide(one: Observation, other: Observation) -> bool:
    """Without lines on a side the charges must be equal; else all lines of one stand in the other."""
    if not one.lines or not other.lines:
        return one.charge_amount == other.charge_amount
    first, second = (Counter(found) for found in _line_keys(one.lines, other.lines))
    return first <= second or second <= first


def _line_keys(first: Sequence[Line], second: Sequence[Line]) -> tuple[list[Hashable], list[Hashable]]:
    """Name lines by code and charge, and by control number and date if all have them: a copy may be cut."""
    lines = (*first, *second)
    numbered = all(line.control_number for line in lines)
    dated = all(line.service_from for line in lines)

    def key(line: Line) -> Hashable:
        number = line.control_number if numbered else None
        day = line.service_from if dated else None
        return line.code, line.revenue_code, line.charge_amount, number, day

    return [key(line) for line in first], [key(line) for line in second]


def _taken_back_between(one: Observation, other: Observation, members: Sequence[Observation]) -> bool:
    """Tell whether the remittance reverses the one before it gives the other: then that is a new word."""
    low, high = sorted((one.position, other.position))
    return _kind(one) != "reversed" and any(
        reversal.outcome == "reversed"
        and reversal.remittance == one.remittance
        and low < reversal.position < high
        for reversal in members
    )
