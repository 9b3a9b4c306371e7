"""
What kind of care a claim bills, as far as its codes say: the words that policies use for service categories.

A word is a claim's when its codes say so, is not when all of its codes are readable and none says so, and is
otherwise unknown. Words that no code proves (nemt, post_acute, transplant…) are known from people only.
"""

import re
from functools import lru_cache

from msgspec import Struct

from services.triage.domain.urgency import is_institutional
from shared.contracts.claim_denied import ClaimDenied

SETTINGS = frozenset(("inpatient", "outpatient"))

_INPATIENT_BILLS = frozenset(("11", "12", "18", "21", "41"))
_INPATIENT_PLACES = frozenset(("21", "51", "61"))
BILLS_OR_OFFICES = frozenset(("11", "12", "18"))  # a hospital's bill, or an office, a home, a workplace
_NONE: frozenset[str] = frozenset()
_PLACES_UNSAID = frozenset(("", "99"))

# Procedure ranges, CPT and HCPCS, coarse on purpose: they only tell programs apart.
_RANGES = {
    "imaging": (("70010", "79999"),),
    "cardiology": (("92920", "93799"),),
    "genetics": (("81105", "81599"),),
    "therapy": (("97010", "97799"), ("92507", "92526")),
    "injectable": (("J0000", "J9999"), ("Q5100", "Q5199")),
    "oncology": (("J9000", "J9999"), ("77261", "77799"), ("96401", "96549")),
    "maternity": (("59000", "59899"),),
}
# Deliveries and newborns: MS-DRG 765 to 833, APR-DRG 540 to 640. CLP11 does not say which system it is of, so
# a number inside either range stays unknown; one outside both is no maternity stay.
_PERHAPS_MATERNITY_DRGS = ((540, 640), (765, 833))
_PROCEDURE = re.compile(r"[A-Z0-9]\d{3}[A-Z0-9]")


class Care(Struct, frozen=True, kw_only=True):
    """
    What a claim's codes say of some words. `programs` are those of the words that its procedures prove.

    `readable`: every line has a procedure that would show its program. `maternity` False: the DRG denies it.
    """

    setting: str | None = None
    programs: frozenset[str] = frozenset()
    readable: bool = False
    maternity: bool = True


def care_of(event: ClaimDenied, words: frozenset[str]) -> Care:
    """Read the codes of a claim, as far as these words ask for it."""
    programs, readable = _NONE, bool(event.lines)
    for line in event.lines:
        proven, is_procedure = _programs(line.code or "")
        programs, readable = programs | proven if proven else programs, readable and is_procedure
    return Care(
        setting=None if SETTINGS.isdisjoint(words) else setting(event),
        programs=words & programs if programs else _NONE,
        readable=readable,
        maternity="maternity" not in words or not event.drg or _perhaps_maternity(event.drg),
    )


@lru_cache(maxsize=16_384)
def _programs(code: str) -> tuple[frozenset[str], bool]:
    """Give the programs that a procedure is of, and whether it is the code of a procedure."""
    found = (word for word, ranges in _RANGES.items() if any(low <= code <= high for low, high in ranges))
    return frozenset(found), _PROCEDURE.fullmatch(code) is not None


def setting(event: ClaimDenied) -> str | None:
    """Give inpatient or outpatient, or None where CLP08, DRG and what is billed do not say."""
    if event.drg:
        return "inpatient"
    place = event.facility_type or ""
    if place in _PLACES_UNSAID:
        return None
    if place in BILLS_OR_OFFICES and not is_institutional(event):
        return _by_the_lines(event)
    inpatient = _INPATIENT_BILLS if is_institutional(event) else _INPATIENT_PLACES
    return "inpatient" if place in inpatient else "outpatient"


def _by_the_lines(event: ClaimDenied) -> str | None:
    """
    Tell a hospital's bill from an office, a home or a workplace, whose CLP08 is the same.

    A professional claim has procedures, or days of its lines' own. A statement without them is of a stay if
    it has no lines or spans days; else nothing tells.
    """
    begin, end = event.statement_from, event.statement_to
    spans_days = begin is not None and end is not None and begin < end
    if event.lines:
        if None not in [line.service_from for line in event.lines]:
            return "outpatient"
        if all(_programs(line.code or "")[1] for line in event.lines):
            return None if spans_days else "outpatient"
        return "inpatient" if spans_days else None
    return None if begin is None else "inpatient"


def has_category(care: Care, word: str) -> bool | None:
    """Say whether the claim bills this category of service; None where its codes cannot tell."""
    if word in SETTINGS:
        return None if care.setting is None else care.setting == word
    if word == "maternity" and not care.maternity:
        return False
    if word not in _RANGES:
        return None
    if word in care.programs:
        return True
    return False if care.readable else None


def _perhaps_maternity(drg: str) -> bool:
    digits = drg.strip()[:3]
    return not digits.isdigit() or any(low <= int(digits) <= high for low, high in _PERHAPS_MATERNITY_DRGS)
