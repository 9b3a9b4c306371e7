"""Evidence of an emergency on a remittance. Where there is none the class is `unknown`: never a guess."""

from functools import lru_cache

from shared.contracts.claim_denied import ClaimDenied

_ED_PROCEDURES = frozenset(("99281", "99282", "99283", "99284", "99285"))
_EMERGENCY_REMARK = "N864"  # No Surprises Act: emergency services
_EMERGENCY_MODIFIER = "ET"


def emergency_evidence(event: ClaimDenied) -> tuple[str, ...]:
    """
    List what on the remittance says emergency, in words.

    CLP08 23 is the emergency room only on a professional claim: on an institutional one the two digits are
    the first of the type of bill, where 23 is a nursing facility.
    """
    evidence: list[str] = []
    if event.facility_type == "23" and not is_institutional(event):
        evidence.append("place of service 23, emergency room")
    if event.remarks and any(remark.code == _EMERGENCY_REMARK for remark in event.remarks):
        evidence.append("remark N864, emergency services")
    for line in event.lines:
        evidence += _codes_say(
            line.qualifier, line.code, line.original_code, line.revenue_code, line.modifiers
        )
        if line.remarks and any(remark.code == _EMERGENCY_REMARK for remark in line.remarks):
            evidence.append("remark N864, emergency services")
    return tuple(dict.fromkeys(evidence)) if evidence else ()


@lru_cache(maxsize=16_384)
def _codes_say(
    qualifier: str | None,
    code: str | None,
    original_code: str | None,
    revenue: str | None,
    modifiers: tuple[str, ...],
) -> tuple[str, ...]:
    """List what the codes of one line say."""
    evidence = []
    revenue = _revenue_code(qualifier, code, revenue)
    if revenue is not None and revenue.startswith("045"):
        evidence.append(f"revenue code {revenue}, emergency room")
    procedure = next((one for one in (code, original_code) if one in _ED_PROCEDURES), None)
    if procedure is not None:
        evidence.append(f"procedure {procedure}, emergency department visit")
    if _EMERGENCY_MODIFIER in modifiers:
        evidence.append("modifier ET, emergency services")
    return tuple(evidence)


def is_institutional(event: ClaimDenied) -> bool:
    """Tell an institutional claim by its DRG, revenue codes or MIA remarks."""
    if event.drg or any(remark.source == "MIA" for remark in event.remarks):
        return True
    return any(line.revenue_code or line.qualifier == "NU" for line in event.lines)


def _revenue_code(qualifier: str | None, code: str | None, revenue: str | None) -> str | None:
    """Give the revenue code in four digits: from SVC04, or SVC01 with qualifier NU."""
    code = revenue or (code if qualifier == "NU" else None)
    return code.zfill(4) if code else None
