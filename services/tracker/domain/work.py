"""
Where a case stands: what the remittances say, moved on by the steps that people made on that evidence.

New evidence (a denial, a payment, a reversal) sets the state anew; steps made before it stay in the history
and no longer move it. A mere re-decision by triage is no evidence: people's steps stand over it. Nor is a
part of a remittance that comes late: work goes on, but a closing was for what was known, and the clocks of
the part are met by nothing that was asked before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from services.tracker.domain.files import files_there
from services.tracker.domain.lifecycle import Standing
from services.tracker.domain.requests import Request, key_of, requests_of
from services.tracker.domain.states import LIVE_STATES, ClosedReason, State
from services.tracker.domain.steps import (
    AddTag,
    Assign,
    Close,
    CorrectedClaimSent,
    Determine,
    DocumentChecked,
    DocumentUnchecked,
    FollowUpDone,
    FollowUpScheduled,
    InformationSent,
    Made,
    PeerToPeer,
    RemoveTag,
    Reopen,
    Step,
    Submit,
    Unassign,
    Withdraw,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """
    What is kept of a case because people worked on it.

    `met` are clocks that were met, each the event of a denial and a kind. `reasons` are for a person to look.
    """

    state: State
    closed_reason: ClosedReason | None
    steps_count: int = 0
    requests: tuple[Request, ...] = ()
    assignee_id: UUID | None = None
    tags: tuple[str, ...] = ()
    documents_checked: tuple[str, ...] = ()
    follow_up_on: date | None = None
    information_due_at: datetime | None = None
    met: frozenset[tuple[UUID, str]] = frozenset()
    reasons: tuple[str, ...] = ()


LATE_PART = "a further part of the denial came after the work on it: see whether that covers it"


def work_of(standing: Standing, steps: Sequence[Made]) -> Work:
    """Say where a case stands, from the evidence and its steps in order."""
    if not steps:
        return Work(state=standing.state, closed_reason=standing.closed_reason)
    known = _knowledge(standing, steps)
    state, reason, is_late = _state(standing, steps, known)
    requests = requests_of(steps)
    live = state in LIVE_STATES
    due = [one.information_due_at for one in requests if one.information_due_at and not one.superseded]
    return Work(
        state=state,
        closed_reason=reason,
        steps_count=len(steps),
        requests=requests,
        assignee_id=_assignee(steps),
        tags=_tags(steps),
        documents_checked=_documents(steps),
        follow_up_on=_follow_up(steps) if live else None,
        information_due_at=min(due, default=None) if live else None,
        met=_met(steps, requests, known),
        reasons=(LATE_PART,) if is_late and live else (),
    )


_Knowledge = Mapping[UUID, frozenset[UUID]]
"""The evidences that still count, each with the denials that it knew."""


def _knowledge(standing: Standing, steps: Sequence[Made]) -> _Knowledge:
    if all(one.evidence == standing.evidence for one in steps):
        return {standing.evidence: frozenset(one.event_id for one in standing.denials)}
    return {**standing.earlier(), standing.evidence: frozenset(one.event_id for one in standing.denials)}


def _state(
    standing: Standing, steps: Sequence[Made], known: _Knowledge
) -> tuple[State, ClosedReason | None, bool]:
    """Give state and reason, and whether a part of the denial came after what people did last."""
    moving = [one for one in steps if one.step.move.to is not None and _stands(one, standing, known)]
    if not moving:
        return standing.state, standing.closed_reason, False
    is_late = moving[-1].evidence != standing.evidence
    for last in _standing_steps([one.step for one in moving])[-1:]:
        to = last.move.to
        if isinstance(last, Close):
            return "closed", last.reason, False
        if to is not None and to != "before":
            return to, None, is_late
    return (standing.evident if standing.evident in LIVE_STATES else "open"), None, is_late


def _stands(made: Made, standing: Standing, known: _Knowledge) -> bool:
    return made.evidence == standing.evidence if isinstance(made.step, Close) else made.evidence in known


def _standing_steps(moving: Sequence[Step]) -> list[Step]:
    """Leave out what was undone: the steps about a withdrawn request, and the closings before a reopening."""
    left: list[Step] = []
    for step in moving:
        if isinstance(step, Withdraw):
            left = [one for one in left if key_of(one) != key_of(step)]
        elif isinstance(step, Reopen):
            left = [one for one in left if not isinstance(one, Close)]
        else:
            left.append(step)
    return left


def _met(
    steps: Sequence[Made], requests: Sequence[Request], known: _Knowledge
) -> frozenset[tuple[UUID, str]]:
    """Name the clocks that people's requests met, of the denials that they knew."""
    asked = [
        (f"appeal_level_{one.level}" if one.kind == "appeal" else one.kind, one.submitted_evidence)
        for one in requests
    ]
    sent = [("corrected_claim", one.evidence) for one in steps if isinstance(one.step, CorrectedClaimSent)]
    return frozenset(
        (event_id, kind)
        for kind, evidence in (*asked, *sent)
        if evidence is not None and evidence in known
        for event_id in known[evidence]
    )


def _assignee(steps: Sequence[Made]) -> UUID | None:
    for made in reversed(steps):
        if isinstance(made.step, Assign):
            return made.step.assignee_id
        if isinstance(made.step, Unassign):
            return None
    return None


def _tags(steps: Sequence[Made]) -> tuple[str, ...]:
    tags: set[str] = set()
    for made in steps:
        if isinstance(made.step, AddTag):
            tags.add(made.step.tag)
        elif isinstance(made.step, RemoveTag):
            tags.discard(made.step.tag)
    return tuple(sorted(tags))


def _documents(steps: Sequence[Made]) -> tuple[str, ...]:
    """Name the papers that are there: somebody said so, or a file of the case is one."""
    checked: dict[str, None] = {}
    for made in steps:
        if isinstance(made.step, DocumentChecked):
            checked[made.step.document] = None
        elif isinstance(made.step, DocumentUnchecked):
            checked.pop(made.step.document, None)
    attached = [one for file in files_there(steps).values() for one in file.documents]
    return tuple(dict.fromkeys((*checked, *attached)))


def _follow_up(steps: Sequence[Made]) -> date | None:
    """Give the day to ask next; an answer of the payer, or giving up, ends the asking."""
    for made in reversed(steps):
        match made.step:
            case FollowUpScheduled(on=on):
                return on
            case FollowUpDone(next_on=on):
                return on
            case (
                Submit(follow_up_on=on)
                | CorrectedClaimSent(follow_up_on=on)
                | InformationSent(follow_up_on=on)
            ):
                return on
            case PeerToPeer(outcome="scheduled", on=on):
                return on
            case Determine() | Withdraw() | PeerToPeer() | Close():
                return None
    return None
