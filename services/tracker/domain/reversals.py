"""
Which adjudication each reversal takes back (TR3 1.10.2.8: all amounts negated, RFI 1147).

A reversal does not name what it reverses, so amounts, dates and CLP07 tell. A partial reversal matches
nothing: it is left for a person, because treating it as a whole one would hide an open denial.
"""

from collections.abc import Sequence
from uuid import UUID

from services.tracker.domain.observations import Observation


def match_reversals(members: Sequence[Observation]) -> tuple[dict[UUID, Observation], list[Observation]]:
    """Give the reversal of each adjudication taken back, by event id, and those that match nothing."""
    taken_back: dict[UUID, Observation] = {}
    stray: list[Observation] = []
    places = {one.event_id: place for place, one in enumerate(members)}
    for reversal in (one for one in members if one.outcome == "reversed"):
        candidates = [
            one
            for one in members
            if one.outcome != "reversed"
            and one.event_id not in taken_back
            and _could_take_back(reversal, one, came_before=places[one.event_id] < places[reversal.event_id])
        ]
        if candidates:
            chosen = max(candidates, key=lambda one: (*_likeness(reversal, one), places[one.event_id]))
            taken_back[chosen.event_id] = reversal
        else:
            stray.append(reversal)
    return taken_back, stray


def _could_take_back(reversal: Observation, one: Observation, *, came_before: bool) -> bool:
    if abs(one.charge_amount) != abs(reversal.charge_amount) or one.payer_date > reversal.payer_date:
        return False
    if one.payer_date < reversal.payer_date:
        return True
    # What follows a reversal in the same remittance is the correction (RFI 791), not the original.
    return _paid_alike(reversal, one) and (came_before or one.remittance != reversal.remittance)


def _likeness(reversal: Observation, one: Observation) -> tuple[bool, bool, bool]:
    return (
        _paid_alike(reversal, one),
        one.remittance != reversal.remittance,
        one.payer_claim_number == reversal.payer_claim_number,
    )


def _paid_alike(reversal: Observation, one: Observation) -> bool:
    return abs(one.paid_amount) == abs(reversal.paid_amount)
