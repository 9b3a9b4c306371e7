"""Requests: what was asked of the payer, each with its own history, folded from the steps about it."""

from collections.abc import Iterable
from datetime import date, datetime
from uuid import UUID

import msgspec

from services.tracker.domain.states import RequestState
from services.tracker.domain.steps import (
    Determine,
    InformationRequested,
    InformationSent,
    Made,
    PeerToPeer,
    RequestKind,
    Step,
    Submit,
)

RequestKey = tuple[RequestKind, int]


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One request as it stands. `level` is that of an appeal.

    `made_on` is the evidence of its last submission: clocks that it met are met for that evidence only.
    A request that was submitted again stays in the list with the state that it had, `superseded`.
    """

    kind: RequestKind
    level: int = 1
    state: RequestState
    submitted_on: date | None = None
    submitted_evidence: UUID | None = None
    channel: str | None = None
    reference: str | None = None
    information_due_at: datetime | None = None
    determined_on: date | None = None
    authorization_number: str | None = None
    valid_from: date | None = None
    valid_to: date | None = None
    superseded: bool = False

    @property
    def key(self) -> RequestKey:
        return self.kind, self.level


def key_of(step: Step) -> RequestKey | None:
    """Name the request that a step is about."""
    if isinstance(step, PeerToPeer):
        return "peer_to_peer", 1
    request: RequestKind | None = getattr(step, "request", None)
    return None if request is None else (request, getattr(step, "level", 1))


def running(requests: Iterable[Request], key: RequestKey) -> Request | None:
    """Give the request of a kind and level that counts: the one made last."""
    found: Request | None = None
    for one in requests:
        if one.key == key and not one.superseded:
            found = one
    return found


def requests_of(steps: Iterable[Made]) -> tuple[Request, ...]:
    """Fold steps, in order, to the requests that they are about."""
    found: list[Request] = []
    places: dict[RequestKey, int] = {}
    for made in steps:
        key = key_of(made.step)
        state = made.step.move.request_to
        if key is None or state is None:
            continue
        place = places.get(key)
        if place is None or _begins_anew(made.step, found[place]):
            if place is not None:
                found[place] = msgspec.structs.replace(found[place], superseded=True)
            places[key] = place = len(found)
            found.append(Request(kind=key[0], level=key[1], state=state))
        found[place] = _moved(found[place], made, state)
    return tuple(found)


def _begins_anew(step: Step, before: Request) -> bool:
    if isinstance(step, PeerToPeer):
        return before.state not in {"in_preparation", "submitted", "information_requested"}
    return step.kind == "prepare" or (step.kind == "submit" and before.state != "in_preparation")


def _moved(before: Request, made: Made, state: RequestState) -> Request:
    step, due_at = made.step, None
    told: dict[str, object] = {}
    match step:
        case Submit():
            told = {
                "submitted_on": step.on,
                "submitted_evidence": made.evidence,
                "channel": step.channel,
                "reference": step.reference,
            }
        case PeerToPeer(outcome="scheduled"):
            told = {"submitted_on": step.on, "submitted_evidence": made.evidence, "channel": "phone"}
        case PeerToPeer():
            told = {"submitted_evidence": made.evidence, "determined_on": step.on}
        case InformationRequested():
            due_at = step.due_at
        case InformationSent():
            told = {"reference": step.reference or before.reference}
        case Determine():
            told = {
                "determined_on": step.on,
                "authorization_number": step.authorization_number,
                "valid_from": step.valid_from,
                "valid_to": step.valid_to,
            }
    return msgspec.structs.replace(before, state=state, information_due_at=due_at, **told)
