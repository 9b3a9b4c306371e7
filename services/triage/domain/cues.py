"""What remarks on the remittance say about the ways left: appeal times, no appeal rights, reversals."""

from collections.abc import Iterator

from services.triage.domain.anchors import Start
from services.triage.domain.windows import Span, end_of, window_of
from shared.calendars import Calendar, ClosedDays
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Clock

APPEAL_DAYS = {"MA01": 120, "MA02": 180, "M25": 120, "M27": 120, "N887": 60}
"""Remarks that state the payer's appeal time in calendar days."""

NO_APPEAL = {
    "MA130": "remark MA130: the claim was unprocessable, there is no appeal, a new claim is needed",
    "MA113": "remark MA113: the claim was unprocessable without a right tax number, there is no appeal",
    "N921": "remark N921: the payer says that the appeal limit has passed",
    "N211": "remark N211: the payer says that this decision may not be appealed",
    "MA44": "remark MA44: decided by law, the payer says that there is no appeal",
    "N83": "remark N83: decided by a demonstration project's rules, there is no appeal",
    "N704": "remark N704: no appeal, but a corrected claim is taken",
}
"""Remarks by which the payer bars appeals."""

RESEND = frozenset(("MA130", "MA113", "N704"))
"""Of these, those after which a corrected or new claim is the way."""

PATIENT_SAFE = {
    "N842": "remark N842: the patient cannot be billed",
    "M39": "remark M39: the patient is not liable, the advance notice did not meet the rules",
    "N563": "remark N563: the patient is not liable, no advance notice was given",
    "N172": "remark N172: the patient is not liable for the adjusted charge",
    "N174": "remark N174: the patient owes what stands under PR and no more",
    "N830": "remark N830: balance billing is regulated, what stands under OA, CO or PI is not the patient's",
    "N878": "remark N878: balance billing is forbidden, the consent did not meet the law",
    "N879": "remark N879: balance billing is forbidden for these services",
    "N864": "remark N864: the No Surprises Act protects the patient of emergency services",
    "N865": "remark N865: the No Surprises Act protects the patient in a participating facility",
    "N866": "remark N866: the No Surprises Act protects the patient of an air ambulance",
    "N192": "remark N192: the patient is on Medicaid or a qualified Medicare beneficiary",
    "MA13": "remark MA13: there are penalties for billing the patient more than what stands under PR",
}
"""Remarks that shield the patient from a bill."""

PATIENT_LIABLE = {
    "M38": "remark M38: the patient agreed in writing beforehand to pay",
    "N124": "remark N124: the patient agreed in writing beforehand to pay",
    "N492": "remark N492: a bill needs the patient's written agreement from before the service",
}
"""Remarks by which the payer says on what ground the patient may be billed."""

PEER_TO_PEER = "N939"

CUES = {
    "MA01": "remark MA01: an appeal is possible within 120 days",
    "MA02": "remark MA02: an appeal is possible within 180 days",
    "M25": "remark M25: a review may be asked for within 120 days",
    "M27": "remark M27: an appeal is possible within 120 days; the patient does not bear the charge",
    "N887": "remark N887: outside the plan's network, appeal with a waiver of liability within 60 days",
    "N1": "remark N1: appeals go by the contract",
    "N187": "remark N187: a review may be asked for under the contract",
    "N210": "remark N210: the decision may be appealed",
    "N358": "remark N358: more documents may lead to another decision",
    PEER_TO_PEER: "remark N939: the payer offers a peer-to-peer review",
    "N185": "remark N185: the payer asks not to send the claim again",
    "N938": "remark N938: the payer will process the claim again by itself, do not send it again",
    "N886": "remark N886: the payer sent an electronic request for information (277)",
    "N888": "remark N888: the payer sent an electronic request for information",
    "N788": "remark N788: the review organization did not get what it asked for",
    "N202": "remark N202: an explanation was sent separately; find the letter",
    "N539": "remark N539: an appeal or waiver was tried on the provider's behalf, and refused",
    "MA91": "remark MA91: this is the answer to an appeal",
    "MA46": "remark MA46: new information was looked at, nothing more will be paid",
    "N421": "remark N421: a review organization adjusted the claim afterwards",
    "N687": "remark N687: reversed because coverage was ended retroactively",
    "N688": "remark N688: reversed after a medical or utilization review",
    "N698": "remark N698: reversed because the premium was not paid",
    **NO_APPEAL,
    **PATIENT_SAFE,
    **PATIENT_LIABLE,
}
"""Remarks that inform about ways, liability and history. They never decide what a denial means."""


_NONE: frozenset[str] = frozenset()


def telling_remarks(event: ClaimDenied) -> frozenset[str]:
    """Give those of a remittance's remarks, claim or line, that say something about ways and history."""
    told = []
    if event.remarks:
        told += [r.code for r in event.remarks if r.code in CUES and r.code_list == "HE"]
    for line in event.lines:
        if line.remarks:
            told += [r.code for r in line.remarks if r.code in CUES and r.code_list == "HE"]
    return frozenset(told) if told else _NONE


def cues_of(remarks: frozenset[str]) -> list[str]:
    """List in words what the remarks say about ways and history."""
    return [words for code, words in CUES.items() if code in remarks]


def appeal_cues(start: Start, calendar: Calendar, remarks: frozenset[str], *, zone: str) -> Iterator[Clock]:
    """Give the appeal clocks that the payer itself announces on the remittance; `start` is its date."""
    for code, days in APPEAL_DAYS.items():
        if code not in remarks:
            continue
        forbidden = tuple(words for other, words in NO_APPEAL.items() if other in remarks)
        window = window_of(Span(amount=days, unit="calendar_days"), zone, ClosedDays())
        end = None if start.latest is None else end_of(window, start.latest, calendar)
        exact = start.exact is not None
        yield Clock(
            kind="appeal_level_1",
            permitted=not forbidden,
            policy_id=f"remark-{code.lower()}",
            policy_version="835",
            policy_status="unconfirmed",
            zone=zone,
            label=f"Appeal within {days} days, as remark {code} announces",
            deadline_at=end.at if end and exact else None,
            latest=end.at if end and not exact else None,
            anchor="remit_date",
            anchor_date=start.exact,
            anchor_source=start.source,
            steps=() if end is None else (f"counted from {start.source}", *end.steps),
            reasons=forbidden,
            missing_facts=() if start.missing is None else (start.missing,),
        )
