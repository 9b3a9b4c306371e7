"""
The one table of what reason and remark codes mean to a biller.

`reprieve codes` and docs/classification.md print it. Words here are ours. Sources: X12's published lists
(status, usage notes), CAQH CORE 360, payers' pages. What counts as an authorization denial changes here and
nowhere else; how rows combine stands in classification.py.
"""

from dataclasses import dataclass

from shared.contracts.decision import Action, Category, EvidenceStrength, Route


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
        human="302 may mean that the authorization had lapsed, or that the limit for asking had: check which",
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
    "242": _elsewhere(
        "other",
        "The service was given outside the network: a retro-authorization cannot cure it, an exception may.",
        action="request_network_exception",
    ),
    # -- near authorization, but not it -------------------------------------------------------------------
    "40": _elsewhere(
        "medical_necessity",
        "The payer does not see an emergency: the ED record can prove one.",
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
    "163": _elsewhere(
        "missing_information",
        "The attachment named on the claim did not come.",
        action="send_records",
        refinable=True,
    ),
    "164": _elsewhere(
        "missing_information", "The attachment came late.", action="send_records", refinable=True
    ),
    # -- look-alikes: somebody else's problem -------------------------------------------------------------
    "19": _elsewhere("coordination_of_benefits", "A work injury: the workers' compensation carrier pays."),
    "20": _elsewhere("coordination_of_benefits", "Another liability carrier pays."),
    "21": _elsewhere("coordination_of_benefits", "A no-fault carrier pays."),
    "22": _elsewhere("coordination_of_benefits", "Another payer may come first."),
    "23": _elsewhere("coordination_of_benefits", "The effect of an earlier payer's decision."),
    "109": _elsewhere("coordination_of_benefits", "Another payer or contractor covers it: send it there."),
    "136": _elsewhere(
        "coordination_of_benefits", "The earlier payer's rules were not followed: mend that first."
    ),
    "26": _elsewhere("eligibility", "The service came before coverage began."),
    "27": _elsewhere("eligibility", "The service came after coverage ended."),
    "31": _elsewhere("eligibility", "The patient is not known as insured."),
    "32": _elsewhere("eligibility", "The patient does not count as an eligible dependent."),
    "33": _elsewhere("eligibility", "The insured has no dependent coverage."),
    "34": _elsewhere("eligibility", "The insured has no coverage for newborns."),
    "141": _elsewhere("eligibility", "Retired code: the claim spans covered and uncovered days."),
    "177": _elsewhere("eligibility", "Eligibility conditions were not met."),
    "200": _elsewhere("eligibility", "The service fell into a lapse of coverage."),
    "29": _elsewhere("timely_filing", "The claim came after the filing limit."),
    "4": _elsewhere("coding", "The modifier does not fit, or one is missing.", action="send_corrected_claim"),
    "5": _elsewhere("coding", "Procedure and place of service do not fit.", action="send_corrected_claim"),
    "6": _elsewhere("coding", "Procedure and age do not fit.", action="send_corrected_claim"),
    "7": _elsewhere("coding", "Procedure and sex do not fit.", action="send_corrected_claim"),
    "8": _elsewhere("coding", "Procedure and provider type do not fit.", action="send_corrected_claim"),
    "9": _elsewhere("coding", "Diagnosis and age do not fit.", action="send_corrected_claim"),
    "10": _elsewhere("coding", "Diagnosis and sex do not fit.", action="send_corrected_claim"),
    "11": _elsewhere("coding", "Diagnosis and procedure do not fit.", action="send_corrected_claim"),
    "12": _elsewhere("coding", "Diagnosis and provider type do not fit.", action="send_corrected_claim"),
    "146": _elsewhere("coding", "The diagnosis was not valid on the day.", action="send_corrected_claim"),
    "181": _elsewhere(
        "coding", "The procedure code was not valid on the day.", action="send_corrected_claim"
    ),
    "182": _elsewhere("coding", "The modifier was not valid on the day.", action="send_corrected_claim"),
    "199": _elsewhere("coding", "Revenue code and procedure do not fit.", action="send_corrected_claim"),
    "54": _elsewhere("coding", "Assistants or several physicians are not covered here."),
    "55": _elsewhere("medical_necessity", "The payer calls the treatment experimental.", action="appeal"),
    "56": _elsewhere("medical_necessity", "The payer calls the treatment unproven.", action="appeal"),
    "150": _elsewhere("medical_necessity", "The records do not support this level.", action="appeal"),
    "151": _elsewhere("medical_necessity", "The records do not support this many.", action="appeal"),
    "152": _elsewhere("medical_necessity", "The records do not support this length.", action="appeal"),
    "18": _elsewhere("duplicate", "The payer has this claim already: find the first one's outcome."),
    "59": _elsewhere("bundling", "Reduced under the rules for several procedures."),
    "97": _elsewhere("bundling", "Paid for within another service.", depends=True),
    "231": _elsewhere("bundling", "Excluded by another procedure of the same day."),
    "236": _elsewhere("bundling", "Excluded by a coding edit."),
    "B15": _elsewhere("bundling", "Needs a qualifying service, which was not paid.", depends=True),
    "35": _elsewhere("benefit_limit", "The lifetime benefit is used up."),
    "49": _elsewhere("benefit_limit", "Routine or screening services are not covered."),
    "51": _elsewhere("benefit_limit", "A pre-existing condition is not covered."),
    "119": _elsewhere("benefit_limit", "The benefit maximum is used up."),
    "149": _elsewhere("benefit_limit", "The lifetime benefit for this kind of service is used up."),
    "167": _elsewhere("benefit_limit", "The diagnosis is not covered."),
    "169": _elsewhere("benefit_limit", "Another benefit was paid instead."),
    "204": _elsewhere("benefit_limit", "The plan does not cover the service."),
    "222": _elsewhere("benefit_limit", "More than the contract allows in the period."),
    "24": _elsewhere("contractual", "Covered by a capitation agreement."),
    "42": _elsewhere("contractual", "Retired code: above the fee schedule."),
    "44": _elsewhere("contractual", "A prompt-payment discount."),
    "45": _elsewhere("contractual", "Above the fee schedule or contract."),
    "94": _elsewhere("contractual", "Processed above the charges."),
    "101": _elsewhere("contractual", "A predetermination: nothing was billed yet."),
    "104": _elsewhere("contractual", "A withhold under the contract."),
    "131": _elsewhere("contractual", "A negotiated discount."),
    "144": _elsewhere("contractual", "An incentive adjustment."),
    "253": _elsewhere("contractual", "Sequestration."),
    "A2": _elsewhere("contractual", "Retired code: a contractual adjustment."),
    "13": _elsewhere("eligibility", "The patient's date of death precedes the service."),
    "14": _elsewhere("eligibility", "The patient's date of birth follows the service."),
    "140": _elsewhere("eligibility", "The patient's id and name do not fit each other."),
    "166": _elsewhere("eligibility", "Sent after the payer's responsibility had ended."),
    "276": _elsewhere("coordination_of_benefits", "What the earlier payer refused is not covered here."),
    "B11": _elsewhere("coordination_of_benefits", "Passed on to the payer or processor in charge."),
    "58": _elsewhere(
        "coding", "The place of service is invalid or does not fit.", action="send_corrected_claim"
    ),
    "110": _elsewhere("coding", "Billed before the service was given.", action="send_corrected_claim"),
    "189": _elsewhere(
        "coding", "Billed with an unlisted code where a listed one exists.", action="send_corrected_claim"
    ),
    "B16": _elsewhere("coding", "The rules for a new patient were not met.", action="send_corrected_claim"),
    "B22": _elsewhere("coding", "Adjusted because of the diagnosis.", action="send_corrected_claim"),
    "107": _elsewhere(
        "missing_information", "The related claim was not found.", action="send_corrected_claim"
    ),
    "206": _elsewhere("missing_information", "The NPI is missing.", action="send_corrected_claim"),
    "207": _elsewhere("missing_information", "The NPI has no valid form.", action="send_corrected_claim"),
    "208": _elsewhere(
        "missing_information", "The NPI is not the one on file.", action="send_corrected_claim"
    ),
    "114": _elsewhere("medical_necessity", "The product is not approved.", action="appeal"),
    "216": _elsewhere("medical_necessity", "A review organization found against it.", action="appeal"),
    "B8": _elsewhere(
        "medical_necessity", "Another service was available and should have been used.", action="appeal"
    ),
    "B13": _elsewhere("duplicate", "Paid before, perhaps with another claim."),
    "60": _elsewhere("bundling", "An outpatient service too near an inpatient stay."),
    "B10": _elsewhere("bundling", "A part of it was paid already."),
    "53": _elsewhere("benefit_limit", "Care by a relative is not covered."),
    "202": _elsewhere("benefit_limit", "Personal comfort is not covered."),
    "B1": _elsewhere("benefit_limit", "The visits are not covered."),
    "B14": _elsewhere("benefit_limit", "One visit a day is covered."),
    "256": _elsewhere("contractual", "Not payable under the managed care contract."),
    "133": _elsewhere("other", "Pending: the payer reviews it still.", action="review_by_hand"),
    "170": _elsewhere("other", "This type of provider is not paid for it."),
    "171": _elsewhere("other", "This type of provider is not paid for it in this setting."),
    "172": _elsewhere("other", "A provider of this specialty is not paid for it."),
    "183": _elsewhere("other", "The referring provider may not refer it."),
    "184": _elsewhere("other", "The ordering provider may not order it."),
    "185": _elsewhere("other", "The rendering provider may not perform it."),
    "299": _elsewhere("other", "The billing provider may not be paid for it."),
    "B7": _elsewhere("other", "The provider was not certified or eligible on the day."),
    "B9": _elsewhere("coordination_of_benefits", "The patient is in a hospice: Medicare Part A may pay."),
    "B20": _elsewhere("other", "Another provider furnished the service in whole or part."),
}
"""
Reason codes (CAS02 and its repeats). A code that is not here is `unclear`, in the open.

Some rows are for look-ups only (23, 24, 42, 44, 59, 94, 101, 104, 131, 144, 253, A2): ingest takes these
for ordinary (docs/x12-835.md) and never sends them as a denial.
"""

_REFERRAL_FORM = "A referral form is missing or incomplete."

RARC_MEANINGS: dict[str, Meaning] = {
    "M62": Meaning(
        category="authorization_number_invalid",
        why="The treatment authorization number is missing or invalid.",
        action="search_existing_authorization",
        confidence=0.9,
    ),
    "N752": Meaning(
        category="authorization_number_invalid",
        why="The treatment authorization code that carries the HIPPS code is missing or invalid.",
        action="search_existing_authorization",
        confidence=0.9,
    ),
    "N54": Meaning(
        category="authorization_not_for_service",
        why="The claim differs from the services that were authorized.",
        action="amend_authorization",
        confidence=0.9,
    ),
    "N188": Meaning(
        category="authorization_not_for_service",
        why="The approved level of care differs from the code billed.",
        action="amend_authorization",
        confidence=0.9,
    ),
    "N351": Meaning(
        category="authorization_expired",
        why="The service date lies outside the approved plan.",
        action="request_date_change",
        confidence=0.9,
    ),
    "N175": Meaning(
        category="authorization_absent",
        why="The review organization's approval is missing.",
        action="search_existing_authorization",
        confidence=0.9,
    ),
    "N385": Meaning(
        category="notification_untimely",
        why="The notice of admission came late.",
        action="request_reconsideration",
        confidence=0.9,
    ),
    "N758": Meaning(
        category="authorization_denied",
        why="Paid according to the authorization decision, which refused or cut the service.",
        action="appeal",
        confidence=0.85,
    ),
    "N41": Meaning(
        category="authorization_denied",
        why="Retired code: the authorization was asked for and refused.",
        action="appeal",
        confidence=0.8,
    ),
    "N630": Meaning(
        category="referral_not_authorized",
        why="The attending provider did not authorize the referral.",
        action="obtain_referral",
        confidence=0.9,
    ),
    "N475": Meaning(
        category="referral_absent", why=_REFERRAL_FORM, action="obtain_referral", confidence=0.85
    ),
    "N476": Meaning(
        category="referral_absent", why=_REFERRAL_FORM, action="obtain_referral", confidence=0.85
    ),
    "N489": Meaning(
        category="referral_absent", why=_REFERRAL_FORM, action="obtain_referral", confidence=0.85
    ),
    "N490": Meaning(
        category="referral_absent", why=_REFERRAL_FORM, action="obtain_referral", confidence=0.85
    ),
}
"""Remarks that define an authorization problem. Alerts can never stand here."""

RARC_SUPPORTING: dict[str, str] = {
    "N640": "more than the approved or allowed number or frequency",
    "N335": "a referral date is missing or wrong",
    "N362": "more units than the maximum",
    "N386": "a national coverage determination",
    "N517": "the payer wants a new claim",
    "N706": "documentation is missing",
    "N29": "documentation is missing (retired code)",
    "M44": "a condition code is missing or wrong",
    "N669": "the Medicare fee schedule applies",
}
"""Remarks that sound like authorization and are not it by themselves: evidence beside a code, no more."""
