"""
The one table of what reason and remark codes mean to a biller.

`reprieve codes` and docs/classification.md print it. Words here are ours. Sources: X12's published lists
(status, usage notes), CAQH CORE 360, payers' pages. What counts as an authorization denial changes here and
nowhere else; how rows combine stands in classification.py. Two long parts have files of their own: the
reason codes of other teams (look_alikes.py) and the remarks (remarks.py).
"""

from dataclasses import dataclass
from typing import Literal

from services.triage.domain.look_alikes import LOOK_ALIKES
from services.triage.domain.remarks import RARC_DEFINING, RARC_PERHAPS, RARC_ROUTING, RARC_SUPPORTING
from shared.contracts.decision import Action, Category, EvidenceStrength, Route

ResponsibleParty = Literal["provider", "patient", "payer", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """
    What a code says. `confidence` is how often a biller may trust it unread, 0 to 1.

    `refinable`: any authorization-defining remark beside it is more precise and wins; `refined_by`: these do.
    `human`: why a person must look even though the code is read. `depends`: falls with another denied line.
    """

    category: Category
    why: str
    action: Action
    route: Route | None = None
    strength: EvidenceStrength = "defining"
    confidence: float = 0.95
    refinable: bool = False
    refined_by: tuple[str, ...] = ()
    human: str | None = None
    depends: bool = False


def _elsewhere(
    route: Route,
    why: str,
    *,
    action: Action = "route_elsewhere",
    refinable: bool = False,
    depends: bool = False,
) -> Meaning:
    return Meaning(
        category="not_authorization",
        route=route,
        why=why,
        action=action,
        confidence=0.9,
        refinable=refinable,
        depends=depends,
    )


def _remark_decides(route: Route, why: str, action: Action) -> Meaning:
    return Meaning(
        category="not_authorization",
        route=route,
        why=why,
        action=action,
        strength="needs_remark",
        confidence=0.8,
        refinable=True,
    )


CARC_MEANINGS: dict[str, Meaning] = {
    # -- authorization ------------------------------------------------------------------------------------
    "197": Meaning(
        category="authorization_absent",
        why="The payer found no authorization, precertification or notification for the service.",
        action="search_existing_authorization",
        refinable=True,
    ),
    "198": Meaning(
        category="authorization_exceeded",
        why="More units, days or visits were billed than the authorization covers.",
        action="request_extension",
    ),
    "210": Meaning(
        category="authorization_untimely",
        why="The authorization or notification came, but later than the payer's rule allows.",
        action="request_reconsideration",
        refined_by=("N385",),
    ),
    "302": Meaning(
        category="authorization_expired",
        why="A time limit of the authorization had run out.",
        action="request_date_change",
        confidence=0.6,
        human="302 may mean that the authorization had lapsed, or that the limit for asking had: check "
        "which, and in the second case show that it was asked in time",
    ),
    "284": Meaning(
        category="authorization_not_for_service",
        why="The number may be valid, but it does not cover these services.",
        action="amend_authorization",
    ),
    "296": Meaning(
        category="authorization_not_for_provider",
        why="The number may be valid, but it does not cover this provider or site.",
        action="amend_authorization",
    ),
    "39": Meaning(
        category="authorization_denied",
        why="The payer refused the authorization when it was asked for; asking afresh afterwards is futile.",
        action="appeal",
    ),
    "15": Meaning(
        category="authorization_number_invalid",
        why="Retired code: the number is missing, invalid, or fits neither service nor provider.",
        action="search_existing_authorization",
        confidence=0.8,
        refinable=True,
    ),
    "62": Meaning(
        category="authorization_absent",
        why="Retired code: no precertification, or one that was exceeded.",
        action="search_existing_authorization",
        confidence=0.75,
        refinable=True,
    ),
    # -- referral and network -----------------------------------------------------------------------------
    "288": Meaning(category="referral_absent", why="The payer found no referral.", action="obtain_referral"),
    "287": Meaning(
        category="referral_exceeded",
        why="More was billed than the referral covers.",
        action="obtain_referral",
    ),
    "243": Meaning(
        category="referral_not_authorized",
        why="The network or primary care provider did not authorize the service.",
        action="obtain_referral",
    ),
    "165": Meaning(
        category="referral_absent",
        why="Retired code: no referral, or one that was exceeded.",
        action="obtain_referral",
        confidence=0.8,
    ),
    "38": Meaning(
        category="referral_not_authorized",
        why="Retired code: not provided or authorized by the network or primary care provider.",
        action="obtain_referral",
        confidence=0.75,
    ),
    "P17": Meaning(
        category="referral_not_authorized",
        why="Property and casualty: the attending provider did not authorize the referral.",
        action="obtain_referral",
    ),
    "W6": Meaning(
        category="referral_not_authorized",
        why="Retired code: the attending provider did not authorize the referral.",
        action="obtain_referral",
        confidence=0.8,
    ),
    "242": _elsewhere(
        "other",
        "The service was given outside the network: a retro-authorization cannot cure it, an exception may.",
        action="request_network_exception",
    ),
    # -- near authorization, but not it -------------------------------------------------------------------
    "40": _elsewhere(
        "medical_necessity",
        "The payer does not see an emergency: appeal with the ED record, as a prudent layperson would judge.",
        action="appeal",
    ),
    "50": _elsewhere("medical_necessity", "The payer does not see medical necessity.", action="appeal"),
    "61": Meaning(
        category="unclear",
        why="A second surgical opinion was missing: some plans use it like a precertification.",
        action="review_by_hand",
        strength="supporting",
        confidence=0.4,
        human="61 is rare: read the plan's rule on second opinions",
    ),
    "78": Meaning(
        category="unclear",
        why="Days or room charges were not covered: refused days, or a benefit that ended.",
        action="review_by_hand",
        strength="supporting",
        confidence=0.4,
        refinable=True,
        human="78 alone does not say whether the days lacked an authorization",
    ),
    "95": _elsewhere("other", "The plan's procedures were not followed.", refinable=True),
    "272": _elsewhere(
        "medical_necessity", "Coverage guidelines were not met.", action="appeal", refinable=True
    ),
    "273": _elsewhere("benefit_limit", "Coverage guidelines were exceeded.", refinable=True),
    "193": Meaning(
        category="unclear",
        why="The payer upheld its first decision; the reason stands in the first denial.",
        action="appeal",
        strength="supporting",
        confidence=0.5,
        human="193 gives no reason of its own: read the first denial",
    ),
    "285": _elsewhere("other", "The payer's appeal procedure was not followed.", action="review_by_hand"),
    "286": _elsewhere("other", "The payer's time limit for the appeal had passed.", action="review_by_hand"),
    "138": _elsewhere(
        "other", "Retired code: appeal procedure or time limit not kept.", action="review_by_hand"
    ),
    # -- codes that only a remark can explain -------------------------------------------------------------
    "16": _remark_decides(
        "missing_information", "Something on the claim is missing or wrong.", "send_corrected_claim"
    ),
    "96": _remark_decides("benefit_limit", "The charge is not covered.", "route_elsewhere"),
    "125": _remark_decides("missing_information", "Retired code: a billing error.", "send_corrected_claim"),
    "129": _remark_decides(
        "coordination_of_benefits",
        "The earlier payer's statement is missing or wrong.",
        "send_corrected_claim",
    ),
    "148": _remark_decides(
        "missing_information", "Another provider's information is missing.", "send_records"
    ),
    "226": _remark_decides(
        "missing_information", "Records asked of the provider did not come.", "send_records"
    ),
    "227": _remark_decides(
        "missing_information", "Records asked of the patient did not come.", "send_records"
    ),
    "234": _remark_decides("bundling", "Not paid separately.", "route_elsewhere"),
    "237": _remark_decides(
        "contractual", "A penalty set by law or regulation took the charge.", "route_elsewhere"
    ),
    "250": _remark_decides("missing_information", "The attachment was the wrong one.", "send_records"),
    "251": _remark_decides("missing_information", "The attachment was incomplete.", "send_records"),
    "252": _remark_decides("missing_information", "An attachment is needed.", "send_records"),
    "A1": _remark_decides("other", "Refused, for the reason in the remark.", "route_elsewhere"),
    "17": _remark_decides(
        "missing_information", "Retired code: information asked for did not come.", "send_records"
    ),
    "201": _remark_decides(
        "coordination_of_benefits",
        "The patient answers for it under a set-aside or another agreement.",
        "route_elsewhere",
    ),
    "267": _remark_decides("coding", "The claim spans several months.", "send_corrected_claim"),
    "307": _remark_decides("contractual", "A refund under the drug price programme.", "route_elsewhere"),
    "D23": _remark_decides(
        "coordination_of_benefits", "Retired code: Medicare Part D covers the patient.", "route_elsewhere"
    ),
    "163": _elsewhere(
        "missing_information",
        "The attachment named on the claim did not come.",
        action="send_records",
        refinable=True,
    ),
    "164": _elsewhere(
        "missing_information", "The attachment came late.", action="send_records", refinable=True
    ),
    "P1": _elsewhere(
        "other",
        "Property and casualty: a state requirement; the remark explains it.",
        action="review_by_hand",
    ),
    "P3": _elsewhere(
        "coordination_of_benefits", "Workers' compensation was settled: a set-aside or the patient pays."
    ),
    "162": _elsewhere(
        "other", "Retired code: a state requirement; the remark explains it.", action="review_by_hand"
    ),
    # -- what falls with a line that was refused ----------------------------------------------------------
    "97": _elsewhere("bundling", "Paid for within another service.", depends=True),
    "B15": _elsewhere("bundling", "Needs a qualifying service, which was not paid.", depends=True),
    # -- somebody else's problem --------------------------------------------------------------------------
    **{
        code: _elsewhere(route, why, action=action)
        for route, action, rows in LOOK_ALIKES
        for code, why in rows.items()
    },
}
"""
Reason codes (CAS02 and its repeats). A code that is not here is `unclear`, in the open.

The patient's share and the price (1, 2, 3, 24, 45 and others of docs/x12-835.md) are here for
look-ups: ingest takes them for ordinary and never sends them as a denial.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What a group code (CAS01) says: who bears the amount, and what follows for the patient's account."""

    party: ResponsibleParty
    why: str
    billing: str


GROUPS: dict[str, Group] = {
    "CO": Group(
        party="provider",
        why="A contract or the law makes it the provider's loss.",
        billing="Never bill the patient for it",
    ),
    "PR": Group(
        party="patient",
        why="The payer says that the patient, or another payer, may be billed.",
        billing="Review before any bill: the payer's word alone does not make the patient liable",
    ),
    "OA": Group(
        party="unknown",
        why="Neither the contract nor the patient: used where no other group fits.",
        billing="Do not bill the patient on the strength of it",
    ),
    "PI": Group(
        party="provider",
        why="The payer holds the patient not liable, and no contract says so.",
        billing="Do not bill the patient for it",
    ),
    "CR": Group(
        party="unknown",
        why="004010 only: a correction or reversal; the first decision says who bears it.",
        billing="Do not bill the patient before the first decision is read",
    ),
}
"""Group codes. CORE and the code list limit some reason codes to some groups: see codes.group_allowed."""

RARC_MEANINGS: dict[str, Meaning] = {
    code: Meaning(category=row.category, why=row.why, action=row.action, confidence=row.confidence)
    for code, row in RARC_DEFINING.items()
}
"""Remarks that define an authorization problem. Alerts can never stand here."""

__all__ = [
    "CARC_MEANINGS",
    "GROUPS",
    "RARC_MEANINGS",
    "RARC_PERHAPS",
    "RARC_ROUTING",
    "RARC_SUPPORTING",
    "Group",
    "Meaning",
    "ResponsibleParty",
]
