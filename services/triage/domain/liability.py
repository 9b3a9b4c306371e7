"""Who may be billed: what groups, remarks and the payer's program say before any bill goes out."""

from collections.abc import Iterator
from functools import lru_cache

from services.triage.domain.cues import PATIENT_SAFE
from services.triage.domain.meanings import ResponsibleParty

PROGRAM_PROTECTS = {
    "tricare": "TRICARE holds the patient harmless",
    "medicaid": "Medicaid's patients may as a rule not be billed for covered services (42 CFR 447.15)",
}


@lru_cache(maxsize=64)
def billing_lines(party: ResponsibleParty, program: str | None, *, emergency: bool) -> tuple[str, ...]:
    """Say what the group codes mean for the patient's bill. `program`: the line of business, if known."""
    return tuple(_billing_lines(party, program, emergency=emergency))


def _billing_lines(party: ResponsibleParty, program: str | None, *, emergency: bool) -> Iterator[str]:
    if party == "provider":
        yield "Billing: the payer holds the provider liable (CO, PI): the patient must not be billed for it"
        return
    if party != "patient":
        yield "Billing: the groups do not say who is liable; bill nobody before that is settled"
        return
    yield "Billing: PR says that the patient may be billed; hold the bill until the other ways are used up"
    yield (
        "Billing: in its network the provider had to get the authorization, and the contract as a rule "
        "forbids the bill; outside it the patient had to: find out whether it was, and what was signed"
    )
    if emergency:
        yield "Billing: emergency care needs no prior authorization as a rule, and the law limits the bill"
    if program in PROGRAM_PROTECTS:
        yield f"Billing: {PROGRAM_PROTECTS[program]}"


def billing_doubts(party: ResponsibleParty, program: str | None, remarks: frozenset[str]) -> Iterator[str]:
    """Give the reasons why a person must look before the patient is billed."""
    if party != "patient":
        return
    yield "the payer makes the patient liable: a person must review that before any bill"
    yield from (
        f"PR, but {PATIENT_SAFE[code]}" for code in PATIENT_SAFE if code in remarks and code != "MA13"
    )
    if program in PROGRAM_PROTECTS:
        yield f"PR, but {PROGRAM_PROTECTS[program]}"
