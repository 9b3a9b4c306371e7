"""Which steps a case allows now, and what a refusal says. The rules are the tables of states.py."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from uuid import UUID
from zoneinfo import ZoneInfo

from services.tracker.domain.cases import Case
from services.tracker.domain.files import FILES_MAX, files_there, sent_files
from services.tracker.domain.requests import Request, key_of, running
from services.tracker.domain.states import CLOSINGS, MOVES, PeoplesReason, State, StepKind
from services.tracker.domain.steps import (
    Assign,
    Close,
    FileAttached,
    FileRemoved,
    FollowUpScheduled,
    Made,
    PeerToPeer,
    Step,
    Submit,
)
from shared.errors import ConflictError, DeniedError, InvalidInputError

LEADERS = frozenset({"supervisor", "admin"})


def allowed_steps(state: State, requests: Iterable[Request]) -> tuple[StepKind, ...]:
    """Name the steps that a case in this state with these requests allows, whoever makes them."""
    states = {one.state for one in requests if not one.superseded} | {None}
    return tuple(
        dict.fromkeys(
            move.step
            for move in MOVES
            if state in move.of_case and (not move.of_request or states & set(move.of_request))
        )
    )


def allowed_reasons(case: Case, role: str) -> tuple[PeoplesReason, ...]:
    """Name the reasons for which this role may close the case now."""
    return tuple(
        closing.reason for closing in CLOSINGS if case.state in closing.of_case and role in closing.roles
    )


def check_step(case: Case, step: Step, *, role: str, by: UUID) -> None:
    """
    Raise ConflictError for a step that the case does not allow now, DeniedError for one that the role may not
    make.
    """
    if case.state not in step.move.of_case:
        raise _refusal(case, step, f"A case that is {case.state}")
    key = key_of(step)
    if key is not None:
        request = running(case.requests, key)
        state = request.state if request else None
        if state not in step.move.of_request:
            kind = key[0].replace("_", " ") + (f" of level {key[1]}" if key[0] == "appeal" else "")
            raise _refusal(case, step, f"A case whose {kind} {_said(state)}")
    if isinstance(step, Close):
        _check_reason(case, step.reason, role)
    if isinstance(step, Assign) and step.assignee_id != by and role not in LEADERS:
        raise DeniedError(
            f"The role {role} may take a case, not give it away.",
            remedy="Ask a supervisor or an admin to assign it.",
        )


_SAYS_TOO_LATE: frozenset[PeoplesReason] = frozenset({"expired", "not_permitted"})
"""Reasons that the clocks speak to: while one of them may still run, a closing needs words."""


def check_given_up(case: Case, step: Step, *, at: datetime) -> None:
    """Raise ConflictError where a case is closed as too late, a clock may still run, and nobody says why."""
    if not isinstance(step, Close) or step.reason not in _SAYS_TOO_LATE or step.note:
        return
    ahead = next(
        ((end, zone) for end, zone in zip(case.deadlines, case.deadline_zones, strict=True) if end >= at),
        None,
    )
    if ahead is not None:
        end, zone = ahead
        raise ConflictError(
            f"A clock of this case may run until {end.astimezone(ZoneInfo(zone)):%Y-%m-%d} ({zone}): "
            f"closing it as {step.reason.replace('_', ' ')} gives that up.",
            remedy="Take the way that is still open, or say in `note` why there is none.",
        )


_EASTERNMOST = timezone(timedelta(hours=14))
"""Where a day begins first: what is tomorrow there has happened to nobody."""
_PLANNED_DAYS_MAX = 366
"""No payer takes longer to answer; who plans further ahead has mistyped the year."""


def check_day(step: Step, *, at: datetime) -> None:
    """
    Raise InvalidInputError for a step that tells as done what is only to come, or plans for another year.

    A mistyped year would take a running clock for met, and hide a case until its follow-up.
    """
    today = at.astimezone(_EASTERNMOST).date()
    planned = isinstance(step, FollowUpScheduled) or (
        isinstance(step, PeerToPeer) and step.outcome == "scheduled"
    )
    on: date | None = getattr(step, "on", None)
    if on is not None and not planned and on > today:
        raise InvalidInputError(
            "The step tells what was done, on a day that has not come yet.",
            remedy="Say in `on` when it was done. What is planned is follow_up_scheduled, or a peer_to_peer "
            "that is scheduled.",
            errors=[("body.on", "in the future")],
        )
    for name in ("on", "follow_up_on", "next_on"):
        day: date | None = getattr(step, name, None)
        if day is not None and day > today + timedelta(_PLANNED_DAYS_MAX):
            raise InvalidInputError(
                f"`{name}` lies more than a year ahead, and the case would be out of sight until then.",
                remedy="Look at the year; name a day within a year.",
                errors=[(f"body.{name}", "more than a year ahead")],
            )


def check_duplicate(step: Step, steps: Iterable[Made]) -> None:
    """
    Raise ConflictError where the same was submitted before for this claim, unless the step says why again.

    `steps` are those about every case of the claim's key: a payer knows the claim, not our cases.
    """
    if not isinstance(step, Submit) or step.duplicate_reason:
        return
    before = [
        made.step.on for made in steps if isinstance(made.step, Submit) and key_of(made.step) == key_of(step)
    ]
    if before:
        raise ConflictError(
            f"The same was submitted for this claim before, on {max(before)}.",
            remedy="Look at the timeline. If it must go out again, say why in `duplicate_reason`.",
        )


def check_files(step: Step, steps: Iterable[Made], *, role: str) -> None:
    """
    Raise InvalidInputError for a step that names a file that is not there, DeniedError for a role that may
    not remove what a payer has, ConflictError for one file too many.

    `steps` are those of the case before.
    """
    steps = list(steps)
    there = files_there(steps)
    if isinstance(step, FileAttached) and step.file_id not in there and len(there) >= FILES_MAX:
        raise ConflictError(
            f"This case has {FILES_MAX} files, as many as one may have.",
            remedy="Remove those that are not needed, or put papers together in one file.",
        )
    named = {step.file_id} if isinstance(step, FileRemoved) else sent_files(step)
    if named - there.keys():
        raise InvalidInputError(
            "The case has no such file.", remedy="`GET /v1/cases/{case_id}/files` lists those that it has."
        )
    sent = {one for made in steps for one in sent_files(made.step)}
    if isinstance(step, FileRemoved) and step.file_id in sent and role not in LEADERS:
        raise DeniedError(
            "This file was sent to the payer: it is kept as the evidence of that.",
            remedy="Ask a supervisor or an admin to remove it.",
        )


def _check_reason(case: Case, reason: PeoplesReason, role: str) -> None:
    [closing] = [one for one in CLOSINGS if one.reason == reason]
    if case.state not in closing.of_case:
        possible = ", ".join(allowed_reasons(case, role))
        raise ConflictError(
            f"A case that is {case.state} cannot be closed as {reason}.",
            remedy=f"Reasons that fit: {possible}.",
        )
    if role not in closing.roles:
        raise DeniedError(
            f"The role {role} may not close a case as {reason}.",
            remedy=f"Ask somebody of these roles: {', '.join(closing.roles)}.",
        )


def _said(state: str | None) -> str:
    return "was not begun" if state is None else f"is {state.replace('_', ' ')}"


def _refusal(case: Case, step: Step, what: str) -> ConflictError:
    return ConflictError(
        f"{what} does not allow the step {step.kind}.",
        remedy=f"Allowed now: {', '.join(allowed_steps(case.state, case.requests))}.",
    )
