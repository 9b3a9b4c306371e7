"""
The state machine of a case, and of the requests within it, as data: what people may do, and where it leads.

docs/lifecycle.md and the check in the database are compared with these tables by tests. What remittances do
to a case stands in lifecycle.py.
"""

from typing import Literal, NamedTuple, get_args

State = Literal[
    "open",
    "in_preparation",
    "submitted",
    "information_requested",
    "approved",
    "partly_approved",
    "denied",
    "corrected_claim_sent",
    "partly_paid",
    "paid",
    "reversed",
    "closed",
]
ClosedReason = Literal[
    "recovered",
    "not_permitted",
    "expired",
    "written_off",
    "not_worth_pursuing",
    "not_our_denial",
    "duplicate",
    "merged",
    "withdrawn",
]
Outcome = Literal["approved", "partly_approved", "denied"]
RequestState = Literal[
    "in_preparation",
    "submitted",
    "information_requested",
    "approved",
    "partly_approved",
    "denied",
    "withdrawn",
]
StepKind = Literal[
    "prepare",
    "submit",
    "information_requested",
    "information_sent",
    "peer_to_peer",
    "determine",
    "withdraw",
    "corrected_claim_sent",
    "close",
    "reopen",
    "follow_up_scheduled",
    "follow_up_done",
    "note",
    "tag",
    "untag",
    "assign",
    "unassign",
    "document_checked",
    "document_unchecked",
    "file_attached",
    "file_removed",
]
STATES: tuple[State, ...] = get_args(State)
ENDED_BY_ITSELF: frozenset[ClosedReason] = frozenset({"merged", "withdrawn"})
"""How a case ends when a better reading of the remittances shows that it is none. Nobody works on it then."""
LIVE_STATES: frozenset[State] = frozenset(STATES) - {"paid", "reversed", "closed"}
"""States in which a clock still matters."""
UNFINISHED_STATES: frozenset[State] = frozenset(STATES) - {"closed"}
"""The same, and those in which money came short or a denial was taken back: somebody has yet to judge it."""
_REST = frozenset(STATES) - LIVE_STATES


class Move(NamedTuple):
    """
    A step that people make: the states of case and request in which it is allowed, and what follows.

    `to` None leaves the case's state; "before" puts it where it stood without
    what is undone: a withdrawn request, a closing. `of_request`: None
    among the states stands for a request that there is not; empty means that the step is about no request.
    """

    step: StepKind
    outcome: Outcome | Literal["scheduled"] | None
    of_case: frozenset[State]
    to: State | Literal["before"] | None
    of_request: tuple[RequestState | None, ...] = ()
    request_to: RequestState | None = None


_AWAITED: tuple[RequestState | None, ...] = ("submitted", "information_requested")
_NOT_RUNNING: tuple[RequestState | None, ...] = (None, "approved", "partly_approved", "denied", "withdrawn")
_ANY = frozenset(STATES)
_CALLABLE: tuple[RequestState | None, ...] = (*_NOT_RUNNING, "in_preparation", *_AWAITED)

MOVES: tuple[Move, ...] = (
    Move("prepare", None, LIVE_STATES, "in_preparation", _NOT_RUNNING, "in_preparation"),
    Move("submit", None, LIVE_STATES, "submitted", (*_NOT_RUNNING, "in_preparation", *_AWAITED), "submitted"),
    Move(
        "information_requested", None, LIVE_STATES, "information_requested", _AWAITED, "information_requested"
    ),
    Move("information_sent", None, LIVE_STATES, "submitted", ("information_requested",), "submitted"),
    Move("peer_to_peer", "scheduled", LIVE_STATES, "submitted", _CALLABLE, "submitted"),
    Move("peer_to_peer", "approved", LIVE_STATES, "approved", _CALLABLE, "approved"),
    Move("peer_to_peer", "partly_approved", LIVE_STATES, "partly_approved", _CALLABLE, "partly_approved"),
    Move("peer_to_peer", "denied", LIVE_STATES, "denied", _CALLABLE, "denied"),
    Move("determine", "approved", LIVE_STATES, "approved", _AWAITED, "approved"),
    Move("determine", "partly_approved", LIVE_STATES, "partly_approved", _AWAITED, "partly_approved"),
    Move("determine", "denied", LIVE_STATES, "denied", _AWAITED, "denied"),
    Move("withdraw", None, LIVE_STATES, "before", ("in_preparation", *_AWAITED), "withdrawn"),
    Move("corrected_claim_sent", None, LIVE_STATES, "corrected_claim_sent"),
    Move("close", None, _ANY - {"closed"}, "closed"),
    Move("reopen", None, _REST, "before"),
    Move("follow_up_scheduled", None, LIVE_STATES, None),
    Move("follow_up_done", None, LIVE_STATES, None),
    *(Move(step, None, _ANY, None) for step in get_args(StepKind)[get_args(StepKind).index("note") :]),
)


PeoplesReason = Literal[
    "recovered",
    "not_permitted",
    "expired",
    "duplicate",
    "not_our_denial",
    "written_off",
    "not_worth_pursuing",
]


class Closing(NamedTuple):
    """A reason for which people close, the states from which, and who may."""

    reason: PeoplesReason
    of_case: frozenset[State]
    roles: tuple[str, ...]


_WORKERS = ("biller", "supervisor", "admin")
_LEADERS = ("supervisor", "admin")
_UNPAID = _ANY - {"closed", "paid"}

CLOSINGS: tuple[Closing, ...] = (
    Closing("recovered", frozenset({"paid", "partly_paid"}), _WORKERS),
    Closing("not_permitted", _UNPAID, _WORKERS),
    Closing("expired", _UNPAID, _WORKERS),
    Closing("duplicate", _UNPAID, _WORKERS),
    Closing("not_our_denial", _UNPAID, _WORKERS),
    Closing("written_off", _ANY - {"closed"}, _LEADERS),
    Closing("not_worth_pursuing", _ANY - {"closed"}, _LEADERS),
)


def move_of(step: StepKind, outcome: str | None = None) -> Move:
    """Give the row of a step; `outcome` tells apart steps that may end in several ways."""
    return _BY_STEP[step, outcome]


_BY_STEP: dict[tuple[str, str | None], Move] = {(move.step, move.outcome): move for move in MOVES}
