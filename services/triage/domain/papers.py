"""Which papers an action needs: what the remittance answers, filled in, and what is missing, by name."""

from collections.abc import Collection
from decimal import Decimal
from functools import lru_cache

from services.triage.domain.care import BILLS_OR_OFFICES, setting
from services.triage.domain.dollars import in_words
from services.triage.domain.urgency import is_institutional
from shared.contracts.claim import ServiceLine
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Action

_DIAGNOSES = "diagnoses (from the claim; no 835 has them)"
_REFERRER = "referring provider (from the claim; no 835 has it)"
_NOTES = "clinical notes of the service (from the chart)"
_REASON = "a short reason why no authorization was obtained, with a fact that can be checked"
_NUMBER = "the authorization: number, dates, codes, units, provider (from the payer's portal or the chart)"
_PROOF = "proof of the request or notice: date, method, reference number"
_LETTER = "the payer's denial letter, if one came"
_TRIED = "what was tried so far, with dates and reference numbers"

_MISSING: dict[Action, tuple[str, ...]] = {
    "search_existing_authorization": (_NUMBER, _DIAGNOSES, _REFERRER, _NOTES, _REASON),
    "check_authorization_on_file": (_NUMBER,),
    "request_retro_authorization": (_DIAGNOSES, _REFERRER, _NOTES, _REASON),
    "request_extension": (_NUMBER, _DIAGNOSES, _NOTES, "why more units or days were needed"),
    "request_date_change": (_NUMBER, _DIAGNOSES, "why the service was given outside its dates"),
    "amend_authorization": (
        _NUMBER,
        _DIAGNOSES,
        _NOTES,
        "why other services or provider were needed",
    ),
    "obtain_referral": ("the referral: number, dates, visits, referring provider", _DIAGNOSES),
    "request_network_exception": (_DIAGNOSES, _REFERRER, "why no provider of the network could serve"),
    "notify_payer": ("admission date and hour", _DIAGNOSES, "when the coverage became known"),
    "submit_new_request": (_DIAGNOSES, _REFERRER, _NOTES, "what the payer missed, as its remark names it"),
    "request_peer_to_peer": (_LETTER, _NOTES, "the treating physician, and when to reach them"),
    "request_reconsideration": (_PROOF, _NOTES, _LETTER),
    "appeal": (_LETTER, _NOTES, _PROOF, _DIAGNOSES),
    "send_corrected_claim": (_NUMBER,),
    "send_records": (_NOTES, "what exactly the payer asked for"),
    "review_patient_billing": (
        "the provider's network status on the day",
        "any notice or agreement that the patient signed before the service",
        _TRIED,
    ),
    "review_write_off": ("the contract's clause on missing authorizations", _TRIED),
    "route_elsewhere": (),
    "review_by_hand": (),
}
_LINES_SHOWN = 6


def quantity_words(quantity: Decimal) -> str:
    """Write a number of units without trailing zeros."""
    text = str(quantity)
    return text if text.isdigit() else f"{quantity.normalize():f}"


_OF_ANOTHER_TEAM: dict[Action, tuple[str, ...]] = {
    "send_corrected_claim": ("what the codes and remarks say is missing or wrong",),
    "appeal": (_LETTER, _NOTES, _DIAGNOSES),
}


@lru_cache(maxsize=256)
def papers_missing(
    action: Action, instead: Action | None, policy: tuple[str, ...], *, about_authorization: bool
) -> tuple[str, ...]:
    """
    Name what no 835 answers, and what the payer's policy asks for besides.

    `instead` is the way that goes on beside a review of the patient's bill.
    """
    papers = _MISSING[action]
    if not about_authorization:
        papers = _OF_ANOTHER_TEAM.get(action, papers)
    if instead is not None:
        papers = (*papers, *_MISSING[instead])
    asked = tuple(f"{paper} (the policy asks for it)" for paper in policy) if papers else ()
    return tuple(f"Missing: {paper}" for paper in dict.fromkeys(papers + asked))


def papers_of(
    event: ClaimDenied, missing: tuple[str, ...], lines: Collection[int | None], amount: Decimal
) -> tuple[str, ...]:
    """Give the papers of an action for one claim: the facts of the remittance first, then what is missing."""
    if not missing:
        return ()
    gaps = []
    if event.service_from is None:
        gaps.append("Missing: date of service (not on this remittance)")
    if event.rendering_npi is None:
        gaps.append("Missing: rendering provider (not on this remittance)")
    return (_on_the_remittance(event, lines, amount), *gaps, *missing)


def _on_the_remittance(event: ClaimDenied, lines: Collection[int | None], amount: Decimal) -> str:
    chosen = [line for line in event.lines if line.number in lines] or event.lines
    begin, end = event.service_from, event.service_to
    parts = "From the remittance: patient, member id and claim numbers"
    if begin is not None:
        parts += f"; service {begin.isoformat()}"
        if end is not None and end != begin:
            parts += f" to {end.isoformat()}"
    if chosen:
        shown = [_billed(line) for line in chosen[:_LINES_SHOWN]]
        more = f", {len(chosen) - _LINES_SHOWN} lines more" if len(chosen) > _LINES_SHOWN else ""
        parts += f"; {', '.join(shown)}{more}"
    if event.facility_type:
        parts += f"; {_kind_of_place(event)} {event.facility_type}"
    parts += f"; denied {in_words(amount)} of {in_words(event.charge_amount)}"
    return parts if event.rendering_npi is None else f"{parts}; rendering NPI {event.rendering_npi}"


def _kind_of_place(event: ClaimDenied) -> str:
    if is_institutional(event):
        return "type of bill"
    unsure = not event.lines or (event.facility_type in BILLS_OR_OFFICES and setting(event) != "outpatient")
    return "type of bill or place of service" if unsure else "place of service"


def _billed(line: ServiceLine) -> str:
    """Say what was billed. The authorization must fit the code of SVC06, not the one that was paid for."""
    code = line.code or line.revenue_code or "no code"
    original, modifiers, units = line.original_code, line.modifiers, line.units_original or line.units_paid
    billed = original or code
    if modifiers:
        billed = "-".join((billed, *modifiers))
    if original is not None and original != code:
        billed += f" (the payer read {code})"
    return billed if units is None else f"{billed} x{quantity_words(units)}"
