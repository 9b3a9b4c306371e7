"""
What remark codes (RARC) say, in our words: a part of the one table in meanings.py.

Alerts stand in none of these: they never explain an adjustment. What they tell about appeals, liability and
history is in cues.py.
"""

from typing import NamedTuple

from shared.contracts.decision import Action, Category, Route


class Defining(NamedTuple):
    """A remark that says by itself which authorization problem it is."""

    category: Category
    action: Action
    confidence: float
    why: str


_REFERRAL_FORM = Defining(
    "referral_absent", "obtain_referral", 0.85, "A referral form is missing or incomplete."
)

RARC_DEFINING: dict[str, Defining] = {
    "M62": Defining(
        "authorization_number_invalid",
        "search_existing_authorization",
        0.9,
        "The treatment authorization number is missing or invalid.",
    ),
    "N752": Defining(
        "authorization_number_invalid",
        "search_existing_authorization",
        0.9,
        "The treatment authorization code that carries the HIPPS code is missing or invalid.",
    ),
    "N54": Defining(
        "authorization_not_for_service",
        "amend_authorization",
        0.9,
        "The claim differs from the services that were authorized.",
    ),
    "N188": Defining(
        "authorization_not_for_service",
        "amend_authorization",
        0.9,
        "The approved level of care differs from the code billed.",
    ),
    "N351": Defining(
        "authorization_expired",
        "request_date_change",
        0.9,
        "The service date lies outside the approved plan.",
    ),
    "N175": Defining(
        "authorization_absent",
        "search_existing_authorization",
        0.9,
        "The review organization's approval is missing.",
    ),
    "N241": Defining(
        "authorization_number_invalid",
        "search_existing_authorization",
        0.85,
        "The review organization's approval is incomplete or invalid.",
    ),
    "N385": Defining(
        "notification_untimely",
        "request_reconsideration",
        0.9,
        "The notice of admission came late.",
    ),
    "N758": Defining(
        "authorization_denied",
        "appeal",
        0.85,
        "Paid according to the authorization decision, which refused or cut the service.",
    ),
    "N41": Defining(
        "authorization_denied",
        "appeal",
        0.8,
        "Retired code: the authorization was asked for and refused.",
    ),
    "N630": Defining(
        "referral_not_authorized",
        "obtain_referral",
        0.9,
        "The attending provider did not authorize the referral.",
    ),
    "N475": _REFERRAL_FORM,
    "N476": _REFERRAL_FORM,
    "N489": _REFERRAL_FORM,
    "N490": _REFERRAL_FORM,
}
"""Remarks that define an authorization problem."""

RARC_SUPPORTING: dict[str, str] = {
    "N640": "more than the approved or allowed number or frequency",
    "N435": "more than the approved or allowed number, without papers that support it",
    "N335": "a referral date is missing or wrong",
    "N778": "the primary care physician is not named",
    "N362": "more units than the maximum",
    "N386": "a national coverage determination",
    "N517": "the payer wants a new claim",
    "N706": "documentation is missing",
    "N29": "documentation is missing (retired code)",
    "M44": "a condition code is missing or wrong",
    "N669": "the Medicare fee schedule applies",
    "N45": "paid at the amount that was authorized",
    "N719": "a penalty for a plan requirement that was not met",
    "N186": "a military Non-Availability Statement is required",
    "N35": "a utilization review decided",
    "N10": "a review organization or advisor found so",
}
"""Remarks that sound like authorization and are not it by themselves: evidence beside a code, no more."""

RARC_PERHAPS = frozenset(("N640", "N435", "N719", "N186"))
"""Of these, those that may mean an authorization: beside a code that needs a remark a person must look."""

_MISSING: Route = "missing_information"
_CODING: Route = "coding"
_BENEFIT: Route = "benefit_limit"


class Routing(NamedTuple):
    """Remarks of one sense, and the team whose problem they name."""

    route: Route
    action: Action
    why: str
    codes: str


_ROWS: tuple[Routing, ...] = (
    # -- eligibility and other payers
    Routing("eligibility", "route_elsewhere", "The patient was not eligible for it.", "N30 N52 N129 N586"),
    Routing("eligibility", "route_elsewhere", "Coverage ended: the premium was not paid.", "N617 N619"),
    Routing(
        "eligibility", "route_elsewhere", "Name, id or sex do not fit the payer's file.", "MA21 MA27 N382"
    ),
    Routing(
        "coordination_of_benefits",
        "send_corrected_claim",
        "The earlier payer's identity or payment is missing or wrong.",
        "MA04 MA64 MA83 MA88 MA89 MA92 N4 N8 N36 N48 N245 N479 N480",
    ),
    Routing(
        "coordination_of_benefits",
        "route_elsewhere",
        "Another payer or contractor is in charge.",
        "MA16 N104 N105 N127 N418 N557 N558 N559 N598 N747 N802",
    ),
    Routing(
        "coordination_of_benefits",
        "route_elsewhere",
        "An accident, a work injury or another insurer may be behind it.",
        "N725 N727 N728 N743 N744 N751",
    ),
    Routing(
        "coordination_of_benefits",
        "route_elsewhere",
        "A facility or group pays for it: bill them.",
        "N106 N107 N538 N803",
    ),
    # -- coding
    Routing(
        _CODING, "send_corrected_claim", "The diagnosis is missing or invalid.", "M64 M76 MA63 MA65 N769"
    ),
    Routing(
        _CODING,
        "send_corrected_claim",
        "The procedure code is missing, invalid or does not fit.",
        "M20 M51 M67 M84 MA66 N56 N65 N122 N657 N784",
    ),
    Routing(_CODING, "send_corrected_claim", "The code must be more specific.", "M81 N94"),
    Routing(_CODING, "send_corrected_claim", "A modifier is missing or invalid.", "N519 N822 N823"),
    Routing(_CODING, "send_corrected_claim", "The revenue code is missing or invalid.", "M50"),
    Routing(_CODING, "send_corrected_claim", "The place of service is missing or wrong.", "M77 N79 N428"),
    Routing(_CODING, "send_corrected_claim", "Days or units are missing or do not fit.", "M53 N345 N430"),
    Routing(
        _CODING, "send_corrected_claim", "The drug code is missing or does not fit.", "M119 N846 N847 N848"
    ),
    Routing(
        _CODING, "send_corrected_claim", "Type of bill or patient status is missing or wrong.", "MA30 MA43"
    ),
    Routing(
        _CODING,
        "send_corrected_claim",
        "The service must be billed in another way, apart or together.",
        "N61 N62 N63 N74 N93 N149 N184 N195 N200",
    ),
    # -- missing on the claim, or from the chart
    Routing(_MISSING, "send_corrected_claim", "The claim is incomplete: it could not be processed.", "MA130"),
    Routing(
        _MISSING,
        "send_corrected_claim",
        "Dates of service are missing or invalid.",
        "M52 M59 MA31 N301 N303 N317 N318 N341",
    ),
    Routing(
        _MISSING, "send_corrected_claim", "Admission facts are missing or wrong.", "MA40 MA41 MA42 N46 N50"
    ),
    Routing(
        _MISSING,
        "send_corrected_claim",
        "The rendering provider is missing or wrong.",
        "N288 N289 N290 N291 N32 N198",
    ),
    Routing(
        _MISSING,
        "send_corrected_claim",
        "The referring or ordering provider is missing or wrong.",
        "N264 N265 N284 N285 N286 N574 N575 N754",
    ),
    Routing(
        _MISSING,
        "send_corrected_claim",
        "The attending, operating or supervising provider is missing or wrong.",
        "N251 N252 N253 N261 N262 N296 N297",
    ),
    Routing(
        _MISSING,
        "send_corrected_claim",
        "The billing provider is missing or wrong.",
        "MA112 MA113 N209 N255 N256 N257 N258 N433 N516 N521",
    ),
    Routing(_MISSING, "send_corrected_claim", "The facility is missing or wrong.", "MA114 N292 N293 N294"),
    Routing(
        _MISSING,
        "send_corrected_claim",
        "The patient's or insured's particulars are missing or wrong.",
        "MA36 MA37 MA39 MA60 MA61 N329 N340",
    ),
    Routing(_MISSING, "send_corrected_claim", "The laboratory's certificate number is missing.", "MA120"),
    Routing(_MISSING, "send_corrected_claim", "The original claim's number is missing or wrong.", "M47 N152"),
    Routing(
        _MISSING,
        "send_corrected_claim",
        "Occurrence or value codes are missing or wrong.",
        "M45 M46 M49 N299 N300",
    ),
    Routing(_MISSING, "send_corrected_claim", "The payer wants a corrected or new claim.", "N142 N380 N798"),
    Routing(
        _MISSING,
        "send_records",
        "The medical record is missing or incomplete.",
        "M127 N206 N237 N705 N709 N710 N715 N716 N729 N730",
    ),
    Routing(
        _MISSING,
        "send_records",
        "A report or summary is missing or incomplete.",
        "M29 M30 M31 N221 N222 N233 N236 N240 N393 N394 N395 N396 N451 N453 N457 N459 N711 N712 N713 "
        "N714 N791",
    ),
    Routing(_MISSING, "send_records", "The emergency department's records are missing.", "N391 N392"),
    Routing(
        _MISSING,
        "send_records",
        "An order, prescription or certification is missing or incomplete.",
        "M19 M60 M135 M141 N170 N227 N455 N456 N473 N474 N667 N668 N707 N708 N717 N718",
    ),
    Routing(_MISSING, "send_records", "An itemized bill or invoice is missing.", "M23 N26 N232 N354"),
    Routing(_MISSING, "send_records", "What the payer asked for did not come.", "N179 N181 N366 N675 N686"),
    # -- medical judgement, benefits, bundling, providers
    Routing(
        "medical_necessity",
        "appeal",
        "The records do not show that it was needed.",
        "M25 M26 N115 N124 N125 N163 N180 N569 N661",
    ),
    Routing("medical_necessity", "appeal", "The payer calls it experimental or unproven.", "N623"),
    Routing(
        _BENEFIT,
        "route_elsewhere",
        "The plan's benefit excludes or restricts it.",
        "N130 N174 N216 N383 N425 N426 N429 N567 N580 N643",
    ),
    Routing(
        _BENEFIT,
        "route_elsewhere",
        "It was given more often than the plan covers.",
        "M86 M90 M139 N43 N117 N118 N370 N411 N412 N413 N414 N415 N416 N417 N587",
    ),
    Routing(
        "bundling",
        "route_elsewhere",
        "It is paid within another service.",
        "M2 M14 M15 M80 M97 M144 N19 N20 N390 N431 N525",
    ),
    Routing("duplicate", "route_elsewhere", "The payer has it already.", "N347 N472 N522"),
    Routing("contractual", "route_elsewhere", "The contract or fee schedule decides.", "N82 N131 N182 N448"),
    Routing(
        "other",
        "route_elsewhere",
        "The provider may not bill it, or is not enrolled.",
        "N55 N77 N95 N570 N767 N808 N831",
    ),
    Routing("other", "review_by_hand", "An earlier decision must be appealed first.", "N368"),
)

RARC_ROUTING: dict[str, Routing] = {code: row for row in _ROWS for code in row.codes.split()}
"""
Remarks that say whose problem a code is that needs a remark: they turn its route, never into authorization.

A published remark that is in none of these tables leaves such a code its usual route.
"""
