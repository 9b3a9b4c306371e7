"""What advice hangs on, and what it chooses: the values that advice.py and steps.py share."""

from collections.abc import Sequence
from datetime import date

from msgspec import Struct

from services.triage.domain.classification import Reading
from services.triage.domain.clocks import RunningClock, State
from services.triage.domain.meanings import ResponsibleParty
from shared.contracts.decision import Action

States = Sequence[tuple[RunningClock, State]]


class Situation(Struct, frozen=True, kw_only=True):
    """
    All that advice hangs on beside the clocks: the reading to follow and whom it holds liable, and the day.

    `echoed`: the remittance names an authorization. `found`: a person found one on file. `emergency`: the
    remittance or a person says so. `secondary`: another payer came first. `program`: the line of business,
    asked only where the patient is to pay.
    """

    main: Reading
    auth_related: bool
    party: ResponsibleParty
    echoed: bool
    found: bool
    remarks: frozenset[str]
    as_of: date
    emergency: bool = False
    secondary: bool = False
    program: str | None = None


class Choice(Struct, frozen=True):
    """
    The action to recommend, the clock that bounds it, and why a person must look.

    `exhausted`: every way has closed. `instead`: the way that goes on beside a review of the patient's bill.
    """

    action: Action
    governing: RunningClock | None = None
    human: tuple[str, ...] = ()
    exhausted: bool = False
    instead: Action | None = None


def waits(running: RunningClock) -> bool:
    """Tell whether the clock opens only with the decision on an earlier level."""
    rule = running.rule
    return rule is not None and rule.entry.after is not None and running.clock.anchor_date is None
