"""
The fold: all observations of one claim key in, its cases out. Always over the whole set.

Cases keep their ids. A claim takes the earliest case that any of its observations already belongs to; a
claim that no case knows gets the next ordinal. When two cases turn out to be one claim, the later one ends
as `merged`; when a better reading leaves a case without any denial, it ends as `withdrawn`. Both come back
under their own id should their observations part again.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from services.tracker.domain.cases import Case, make_case
from services.tracker.domain.grouping import Claim, group
from services.tracker.domain.lifecycle import Standing, stand
from services.tracker.domain.observations import Observation, in_order


def fold(
    observations: Iterable[Observation], known: Sequence[Case] = (), *, first_ordinal: int = 0
) -> list[Case]:
    """
    Give every case of one claim key, in order of their ordinals.

    `observations` may hold repetitions and old revisions, in any order; `known` are the cases as they are
    stored. Ended cases (merged, withdrawn) are among the answers, so that the answer replaces what is stored.
    Ordinals below `first_ordinal` belong to cases that were purged: nothing joins them any more.
    """
    claims = group(in_order(observations))
    denied = [(claim, standing) for claim in claims if (standing := stand(claim.members))]
    ordinals = _ordinals(denied, known, first_ordinal)
    cases = {
        ordinals[place]: make_case(claim, standing, ordinal=ordinals[place])
        for place, (claim, standing) in enumerate(denied)
    }
    living = {event: case.case_id for case in cases.values() for event in case.event_ids}
    for case in known:
        if case.ordinal not in cases:
            cases[case.ordinal] = _end(case, living)
    return [cases[ordinal] for ordinal in sorted(cases)]


def _ordinals(
    denied: Sequence[tuple[Claim, Standing]], known: Sequence[Case], first_ordinal: int
) -> dict[int, int]:
    """Assign ordinals, what is certain first: an uncertain observation never takes a claim's case away."""
    owners: dict[UUID, list[int]] = {}
    for case in known:
        for event in case.event_ids:
            owners.setdefault(event, []).append(case.ordinal)
    following = max((case.ordinal for case in known), default=first_ordinal - 1) + 1
    taken: dict[int, int] = {}
    for place in sorted(range(len(denied)), key=lambda place: denied[place][0].uncertain):
        members = denied[place][0].members
        mine = {ordinal for one in members for ordinal in owners.get(one.event_id, ())} - set(taken.values())
        if mine:
            taken[place] = min(mine)
        else:
            taken[place], following = following, following + 1
    return taken


def _end(case: Case, living: Mapping[UUID, UUID]) -> Case:
    heir = next((living[event] for event in case.event_ids if event in living), None)
    return msgspec.structs.replace(
        case,
        state="closed",
        closed_reason="merged" if heir else "withdrawn",
        merged_into=heir,
        deadlines=(),
        deadline_zones=(),
        needs_human=False,
        needs_human_reasons=(),
    )
