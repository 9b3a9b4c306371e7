"""
The fold: all observations of one claim key in, its cases out. Always over the whole set.

Cases keep their ids. A claim takes the earliest case that any of its observations already belongs to; a
claim that no case knows gets the next ordinal. When two cases turn out to be one claim, the later one ends
as `merged`; when a better reading leaves a case without any denial, it ends as `withdrawn`. Both come back
under their own id should their observations part again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from services.tracker.domain.cases import Case, case_id_of, make_case
from services.tracker.domain.grouping import Claim, group
from services.tracker.domain.lifecycle import Standing, stand
from services.tracker.domain.observations import ZERO, Observation, in_order
from services.tracker.domain.steps import Made
from services.tracker.domain.steps import in_order as in_order_made
from services.tracker.domain.work import work_of


def fold(
    observations: Iterable[Observation],
    known: Sequence[Case] = (),
    *,
    steps: Sequence[Made] = (),
    first_ordinal: int = 0,
) -> list[Case]:
    """
    Give every case of one claim key, in order of their ordinals.

    `observations` may hold repetitions and old revisions, in any order; `known` are the cases as they are
    stored, `steps` what people did about them. Ended cases (merged, withdrawn) are among the answers, so that
    the answer replaces what is stored; the steps of a merged one count for the one that took its place.
    Ordinals below `first_ordinal` belong to cases that were purged: nothing joins them any more.
    """
    denied = denied_claims(observations, known, first_ordinal=first_ordinal)
    living = {one.event_id: place.case_id for place in denied for one in place.claim.members}
    ended = [_end(case, living) for case in known if case.ordinal not in {one.ordinal for one in denied}]
    owners = {case.case_id: case.merged_into or case.case_id for case in ended}
    made: dict[UUID, list[Made]] = {}
    for step in steps:
        made.setdefault(owners.get(step.case_id, step.case_id), []).append(step)
    cases = [
        make_case(
            one.claim,
            one.standing,
            work_of(one.standing, in_order_made(made.get(one.case_id, []))),
            ordinal=one.ordinal,
        )
        for one in denied
    ]
    return sorted([*cases, *ended], key=lambda case: case.ordinal)


class Denied(NamedTuple):
    """A claim with a denial in it, where it stands, and which case it is."""

    case_id: UUID
    ordinal: int
    claim: Claim
    standing: Standing


def denied_claims(
    observations: Iterable[Observation], known: Sequence[Case] = (), *, first_ordinal: int = 0
) -> list[Denied]:
    """Give the denied claims of one claim key; the arguments are those of fold()."""
    claims = group(in_order(observations))
    denied = [(claim, standing) for claim in claims if (standing := stand(claim.members))]
    ordinals = _ordinals(denied, known, first_ordinal)
    return [
        Denied(_case_id(claim, ordinals[place]), ordinals[place], claim, standing)
        for place, (claim, standing) in enumerate(denied)
    ]


def _case_id(claim: Claim, ordinal: int) -> UUID:
    first = claim.members[0]
    return case_id_of(first.organization_id, first.claim_key, ordinal)


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
        unsure_from=None,
        unsure_until=None,
        needs_human=False,
        needs_human_reasons=(),
        follow_up_on=None,
        information_due_at=None,
        recovered_payer_amount=ZERO,
        recovered_patient_amount=ZERO,
    )
