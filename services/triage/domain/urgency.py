"""Evidence of an emergency on a remittance. Where there is none the class is `unknown`: never a guess."""

from shared.contracts.claim import ServiceLine
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
    evidence = []
    if event.facility_type == "23" and not is_institutional(event):
        evidence.append("place of service 23, emergency room")
    if any(remark.code == _EMERGENCY_REMARK for remark in event.remarks):
        evidence.append("remark N864, emergency services")
    for line in event.lines:
        _line_evidence(line, evidence)
    return tuple(dict.fromkeys(evidence)) if evidence else ()


def _line_evidence(line: ServiceLine, evidence: list[str]) -> None:
    revenue = revenue_code(line)
    if revenue is not None and revenue.startswith("045"):
        evidence.append(f"revenue code {revenue}, emergency room")
    if line.code in _ED_PROCEDURES or line.original_code in _ED_PROCEDURES:
        code = line.code if line.code in _ED_PROCEDURES else line.original_code
        evidence.append(f"procedure {code}, emergency department visit")
    if _EMERGENCY_MODIFIER in line.modifiers:
        evidence.append("modifier ET, emergency services")
    if line.remarks and any(remark.code == _EMERGENCY_REMARK for remark in line.remarks):
        evidence.append("remark N864, emergency services")


def is_institutional(event: ClaimDenied) -> bool:
    """Tell an institutional claim by its DRG, revenue codes or MIA remarks."""
    if event.drg or any(remark.source == "MIA" for remark in event.remarks):
        return True
    return any(line.revenue_code or line.qualifier == "NU" for line in event.lines)


def revenue_code(line: ServiceLine) -> str | None:
    """Give the revenue code in four digits: from SVC04, or SVC01 with qualifier NU."""
    code = line.revenue_code or (line.code if line.qualifier == "NU" else None)
    return code.zfill(4) if code else None
