"""
Whether a denial was told before: then the clocks of the earliest remittance govern.

A payer repeats its denials: on a corrected claim, on a remittance sent again under another trace. The time to
appeal does not start anew unless the payer says so. A denial that takes a payment back is a new one: what
came before the payment is history, and the clocks of the remittance start now.
"""

from collections.abc import Sequence
from datetime import date

from msgspec import Struct

from services.triage.domain.classification import Classification, classify
from shared.contracts.claim import ClaimObserved, ServiceLine
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.claim_reversed import ClaimReversed
from shared.contracts.decision import Category

PREDETERMINATION = "25"
"""CLP02 of a price told before any service was billed: its amounts are no payment."""


class Told(Struct, frozen=True, kw_only=True, eq=False):
    """
    What earlier remittances say of a denial.

    `first` is the earliest that told it; `sure` False: it may be of another claim under the same number, or
    have told another denial. `last` is the latest that may be the first telling, where that is known.
    `paid` is the payment that this denial takes back. `upheld` is the earliest that surely upheld it.
    """

    first: ClaimDenied | None = None
    sure: bool = True
    last: ClaimDenied | None = None
    upheld: ClaimDenied | None = None
    paid: ClaimObserved | None = None


TOLD_NOW = Told()


def told_before(event: ClaimDenied, classification: Classification, history: Sequence[ClaimObserved]) -> Told:
    """
    Look through other observations of the same claim key, in any order, for an earlier telling.

    Only what the payer dated before this remittance counts; of one day the clocks are the same. A reversal
    tells nothing by itself: what it reverses does.
    """
    codes = _services(event, classification.pattern.lines)
    first, sure, paid = None, True, None
    upholding: list[ClaimDenied] = []
    of_a_kind: dict[Category, ClaimDenied] = {}
    for other in sorted(history, key=lambda one: (one.payer_date, one.event_id), reverse=True):
        same = _same_claim(other, event) if other.payer_date < event.payer_date else False
        if same is False or isinstance(other, ClaimReversed):
            continue
        if isinstance(other, ClaimDenied) and _tells_the_same(other, classification, codes):
            first, sure = other, sure and same is True
            told = classify(other)
            if same is True and told.pattern.upheld:
                upholding.append(other)
            if not _upholds(told):
                of_a_kind[told.main.category] = other
        elif same is True and isinstance(other, ClaimDenied) and _upholds_these(other, codes):
            upholding.append(other)
        elif _pays(other, codes):
            paid = other
            break
    if first is None:
        return TOLD_NOW if paid is None else Told(paid=paid)
    # A remittance upholds what was told before it.
    upheld = next((one for one in reversed(upholding) if one.payer_date >= first.payer_date), None)
    # What is upheld is any of the denials before: of several kinds nobody knows which.
    last = max(of_a_kind.values(), key=lambda one: one.payer_date, default=first)
    if last.payer_date == first.payer_date or not sure:
        return Told(first=first, sure=sure, upheld=upheld)
    return Told(first=first, sure=False, last=last, upheld=upheld)


def _same_claim(one: ClaimObserved, two: ClaimObserved) -> bool | None:
    """Tell whether two observations of a claim key are of one claim. None: neither number nor dates tell."""
    if one.is_test != two.is_test:
        return False
    if _differ(_payer(one), _payer(two)) or not same_patient(one, two):
        return False
    if one.payer_claim_number and one.payer_claim_number == two.payer_claim_number:
        return True
    first, second = _span(one), _span(two)
    if first is None or second is None:
        return None
    return first[0] <= second[1] and second[0] <= first[1]


def same_patient(one: ClaimObserved, two: ClaimObserved) -> bool:
    """Tell whether nothing says that two observations are of two people."""
    return not _differ(_patient(one), _patient(two))


def _differ(one: frozenset[str], two: frozenset[str]) -> bool:
    return bool(one) and bool(two) and one.isdisjoint(two)


def _payer(one: ClaimObserved) -> frozenset[str]:
    """Ids as sent, whatever their qualifier, and the name."""
    names = (one.payer.name or "", *(reference.value for reference in one.payer.ids))
    return frozenset(" ".join(name.upper().split()) for name in names if name.strip())


def _patient(one: ClaimObserved) -> frozenset[str]:
    """Keyed hashes of the name, or of the member id where no name came: a family shares one member id."""
    people = [person for person in (one.patient, one.corrected_patient) if person]
    return frozenset(index for person in people if (index := person.name_index or person.member_id_index))


def _span(one: ClaimObserved) -> tuple[date, date] | None:
    first = one.service_from or one.service_to
    return None if first is None else (first, max(first, one.service_to or first))


def _services(event: ClaimDenied, numbers: frozenset[int | None]) -> frozenset[str]:
    """Codes of the refused lines; of all lines where the refusal is the claim's."""
    lines = [line for line in event.lines if None in numbers or not numbers or line.number in numbers]
    return frozenset(code for line in lines for code in _codes(line))


def _codes(line: ServiceLine) -> list[str]:
    return [code for code in (line.code or line.revenue_code, line.original_code) if code]


def _upholds(told: Classification) -> bool:
    """Tell whether a remittance upholds, and gives no reason of its own."""
    return told.pattern.upheld and not told.pattern.auth_related


def _upholds_these(other: ClaimDenied, codes: frozenset[str]) -> bool:
    told = classify(other)
    return _upholds(told) and not _differ(_services(other, told.pattern.lines), codes)


def _tells_the_same(other: ClaimDenied, classification: Classification, codes: frozenset[str]) -> bool:
    """A remittance that upholds names no reason: what it upholds is any denial of these services before."""
    told = classify(other)
    same_kind = _upholds(classification) or told.main.category == classification.main.category
    return same_kind and not _differ(_services(other, told.pattern.lines), codes)


def _pays(other: ClaimObserved, codes: frozenset[str]) -> bool:
    """Tell whether a remittance paid the services that are refused now."""
    if other.claim_status == PREDETERMINATION:
        return False
    lines = [line for line in other.lines if not codes or not codes.isdisjoint(_codes(line))]
    if not other.lines or not any(_codes(line) for line in other.lines):
        return other.paid_amount > 0
    return any(line.paid_amount > 0 for line in lines)
