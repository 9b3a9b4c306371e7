"""Evidence of urgency on a remittance. Where there is none the class is `unknown`: never a guess."""

from functools import lru_cache
from typing import Literal, NamedTuple

from shared.contracts.claim_denied import ClaimDenied

_ED_PROCEDURES = {
    **dict.fromkeys(("99281", "99282", "99283", "99284", "99285"), "emergency department visit"),
    **dict.fromkeys(("G0380", "G0381", "G0382", "G0383", "G0384"), "emergency department visit"),
    "A0427": "emergency ambulance",
    "A0429": "emergency ambulance",
}
_EMERGENCY_REMARKS = {
    "N864": "emergency services under the No Surprises Act",
    "N844": "a state's law on emergency care applied",
    "N858": "a state's law on emergency care applied",
    "N391": "the payer asks for the emergency department's records",
    "N392": "the payer asks for the emergency department's records",
}
_URGENT_CARE_REVENUE = "0456"  # of the emergency family 045x, and an urgent care clinic all the same
_FREQUENCIES_OF_STAYS = frozenset(("2", "3", "4"))  # CLP09: a stay's first, next and last bill
_ED_PROFESSIONAL_FEE = "0981"
_TELLING_MODIFIERS = frozenset(("ET", "GJ"))


class Evidence(NamedTuple):
    """
    What says emergency, and what says only urgent care, in words.

    `weak` may say either and settles nothing: it is shown, and a person tells the urgency.
    """

    emergency: tuple[str, ...] = ()
    urgent: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        return self.emergency + self.urgent + self.weak

    @property
    def urgency_class(self) -> Literal["emergency", "urgent", "unknown"]:
        if self.emergency:
            return "emergency"
        return "urgent" if self.urgent else "unknown"


_NO_EVIDENCE = Evidence()
_WEAK_23 = (
    "weak: 23 is an emergency room, if the claim is professional; on an institutional one it is a type of "
    "bill, outpatient skilled nursing"
)
_WITHOUT_LINES = {
    "20": Evidence(weak=("weak: 20 is urgent care, if the claim is professional; it has no line to tell",)),
    "23": Evidence(weak=(f"{_WEAK_23}; it has no line to tell",)),
}
_PLACES = {
    "20": Evidence(urgent=("place of service 20, urgent care",)),
    "23": Evidence(("place of service 23, emergency room",)),
    "78": Evidence(("type of bill 78, freestanding emergency facility",)),
}


def urgency_evidence(event: ClaimDenied) -> Evidence:
    """
    List what on the remittance says emergency or urgent care, in words.

    CLP08 23 and 20 are the emergency room and an urgent care clinic only on a professional claim: on an
    institutional one the two digits are the first of the type of bill, where 23 is a nursing facility, and
    78 a freestanding emergency facility. A claim without lines is mostly institutional (an office's claim is
    told line by line), and shows none of what tells the two apart: there the digits are weak evidence.
    """
    place = _WITHOUT_LINES.get(event.facility_type or "") if not event.lines else None
    place = place or _PLACES.get(event.facility_type or "")
    found = [] if place is None or is_institutional(event) != (event.facility_type == "78") else [place]
    if event.remarks:
        found += [_remark_says(one.code) for one in event.remarks if one.code in _EMERGENCY_REMARKS]
    for line in event.lines:
        # Most lines say nothing, and cost no more than this look.
        if (
            line.code in _ED_PROCEDURES
            or line.revenue_code
            or line.original_code
            or ((modifiers := line.modifiers) and not _TELLING_MODIFIERS.isdisjoint(modifiers))
            or line.qualifier == "NU"
        ):
            said = _codes_say(
                line.qualifier, line.code, line.original_code, line.revenue_code, line.modifiers
            )
            if said is not _NO_EVIDENCE:
                found.append(said)
        if line.remarks:
            found += [_remark_says(one.code) for one in line.remarks if one.code in _EMERGENCY_REMARKS]
    if not found:
        return _NO_EVIDENCE
    return Evidence(
        tuple(dict.fromkeys(words for one in found for words in one.emergency)),
        tuple(dict.fromkeys(words for one in found for words in one.urgent)),
        tuple(dict.fromkeys(words for one in found for words in one.weak)),
    )


def _remark_says(code: str) -> Evidence:
    return Evidence((f"remark {code}, {_EMERGENCY_REMARKS[code]}",))


@lru_cache(maxsize=16_384)
def _codes_say(
    qualifier: str | None,
    code: str | None,
    original_code: str | None,
    revenue: str | None,
    modifiers: tuple[str, ...],
) -> Evidence:
    """List what the codes of one line say."""
    emergency: list[str] = []
    urgent: list[str] = []
    revenue = _revenue_code(qualifier, code, revenue)
    if revenue == _URGENT_CARE_REVENUE:
        urgent.append(f"revenue code {revenue}, urgent care")
    elif revenue is not None and (revenue.startswith("045") or revenue == _ED_PROFESSIONAL_FEE):
        emergency.append(f"revenue code {revenue}, emergency room")
    procedure = next((one for one in (code, original_code) if one in _ED_PROCEDURES), None)
    if procedure is not None:
        emergency.append(f"procedure {procedure}, {_ED_PROCEDURES[procedure]}")
    if "ET" in modifiers:
        emergency.append("modifier ET, emergency services")
    if "GJ" in modifiers:
        urgent.append("modifier GJ, emergency or urgent service")
    return Evidence(tuple(emergency), tuple(urgent)) if emergency or urgent else _NO_EVIDENCE


def is_institutional(event: ClaimDenied) -> bool:
    """Tell an institutional claim by its DRG, revenue codes, MIA remarks or a stay's frequency."""
    if event.drg or event.frequency in _FREQUENCIES_OF_STAYS:
        return True
    for line in event.lines:
        if line.revenue_code or line.qualifier == "NU":
            return True
    return bool(event.remarks) and any(remark.source == "MIA" for remark in event.remarks)


def _revenue_code(qualifier: str | None, code: str | None, revenue: str | None) -> str | None:
    """Give the revenue code in four digits: from SVC04, or SVC01 with qualifier NU."""
    code = revenue or (code if qualifier == "NU" else None)
    return code.zfill(4) if code else None
