"""What advice hangs on, and what it chooses: the values that advice.py and steps.py share."""

from collections.abc import Sequence

from msgspec import Struct

from services.triage.domain.classification import Reading
from services.triage.domain.clocks import State
from services.triage.domain.meanings import ResponsibleParty
from services.triage.domain.phases import Phase
from shared.contracts.decision import Action, Category

_CURED_BY_ONE: frozenset[Category] = frozenset(
    (
        "authorization_absent",
        "authorization_number_invalid",
        "authorization_expired",
        "authorization_not_for_service",
        "authorization_not_for_provider",
    )
)
"""Where another authorization cures. It adds no used-up units, is no referral, and a refusal stands."""
_MISSED: frozenset[Category] = frozenset(("authorization_absent", "authorization_number_invalid"))

States = Sequence[tuple[Phase, State]]


class Situation(Struct, frozen=True, kw_only=True, cache_hash=True):
    """
    All that advice hangs on beside the clocks: the reading to follow, whom it holds liable, and more.

    `echoed`: the remittance names an authorization. `found`: a person found one on file. `emergency`: the
    remittance or a person says so. `secondary`: another payer came first. `program`: the line of business,
    asked only where the patient is to pay. `balanced`: the claim's amounts add up.
    """

    main: Reading
    auth_related: bool
    party: ResponsibleParty
    echoed: bool
    found: bool
    remarks: frozenset[str]
    emergency: bool = False
    secondary: bool = False
    program: str | None = None
    balanced: bool = True

    @property
    def cured(self) -> bool:
        """Tell whether the authorization that a person found cures this kind of denial."""
        return self.found and self.main.category in _CURED_BY_ONE

    @property
    def contradicted(self) -> bool:
        """Tell whether the payer echoes a number and says all the same that there is none."""
        return self.echoed and self.main.category in _MISSED


class Choice(Struct, frozen=True):
    """
    The action to recommend, the clock that bounds it, and why a person must look.

    `exhausted`: every way has closed. `instead`: the way that goes on beside a review of the patient's bill.
    `exempt`: the exemption in the payer's own rule that a dispute stands on.
    """

    action: Action
    governing: Phase | None = None
    human: tuple[str, ...] = ()
    exhausted: bool = False
    instead: Action | None = None
    exempt: str | None = None
