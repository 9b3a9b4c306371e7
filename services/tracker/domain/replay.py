"""The way of a case: what was learned and done, one after the other, and where each left it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.tracker.domain.lifecycle import stand
from services.tracker.domain.observations import Observation, in_order
from services.tracker.domain.states import ClosedReason, State
from services.tracker.domain.steps import Made
from services.tracker.domain.work import work_of


class Told(NamedTuple):
    """What a remittance told, when it was recorded, and the id of the entry that shows it."""

    at: datetime
    entry_id: UUID
    observation: Observation


class Move(NamedTuple):
    """Where the case stood after something."""

    state: State
    closed_reason: ClosedReason | None


def moves(told: Sequence[Told], steps: Sequence[Made]) -> dict[UUID, Move]:
    """
    Say where each entry that moved a case left it, by entry and step id.

    What was recorded at once is told as one: a batch is folded as one.
    """
    moving = [one for one in steps if one.step.move.to is not None]
    instants = sorted({*(one.at for one in told), *(one.made_at for one in moving)})
    found: dict[UUID, Move] = {}
    before: Move | None = None
    for at in instants:
        standing = stand(in_order(one.observation for one in told if one.at <= at))
        if standing is None:
            continue
        work = work_of(standing, [one for one in moving if one.made_at <= at])
        after = Move(work.state, work.closed_reason)
        if after != before:
            found |= dict.fromkeys((one.entry_id for one in told if one.at == at), after)
            found |= dict.fromkeys((one.step_id for one in moving if one.made_at == at), after)
        before = after
    return found
