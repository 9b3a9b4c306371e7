"""The closed vocabulary of what to do about a denial, in words for a biller."""

from shared.contracts.decision import Action, Route

ACTION_WORDS: dict[Action, str] = {
    "search_existing_authorization": "Search for an authorization that covers the service",
    "check_authorization_on_file": "Check the authorization that the payer echoes",
    "request_retro_authorization": "Ask the payer for a retroactive authorization",
    "request_extension": "Ask the payer to add the units or days to the authorization (then bill)",
    "request_date_change": "Ask the payer to back-date or extend the authorization's dates",
    "amend_authorization": "Ask the payer to amend the authorization to what was billed",
    "obtain_referral": "Obtain a referral that covers the date of service",
    "request_network_exception": "Ask the payer for a network exception",
    "notify_payer": "Notify the payer of the admission",
    "submit_new_request": "Send a new request with what the payer missed",
    "request_peer_to_peer": "Ask for a peer-to-peer review",
    "request_reconsideration": "Ask the payer to reconsider",
    "appeal": "Appeal with the clinical records",
    "send_corrected_claim": "Send a corrected claim",
    "send_records": "Send the records that the payer asks for",
    "review_patient_billing": "Hold the patient's bill and review it",
    "review_write_off": "Review a write-off",
    "route_elsewhere": "Hand it to the team whose problem it is",
    "review_by_hand": "Have a person read the remittance",
}

ROUTE_WORDS: dict[Route, str] = {
    "eligibility": "Hand it to eligibility: verify coverage on the date of service",
    "coordination_of_benefits": "Hand it to coordination of benefits: settle which payer comes first",
    "timely_filing": "Hand it to billing: look for proof that the claim was filed in time",
    "coding": "Hand it to coding: correct the codes and send a corrected claim",
    "medical_necessity": "Hand it to clinical appeals: appeal with the records",
    "missing_information": "Send what the remark asks for",
    "duplicate": "Find the first claim and its outcome; send nothing again",
    "bundling": "Hand it to coding: see which service it was paid within",
    "benefit_limit": "Check the plan's benefit; then the patient's account",
    "contractual": "Check it against the contract",
    "other": "Hand it to denials review",
}

OF_A_ROUTE: frozenset[tuple[Action, Route]] = frozenset(
    [("route_elsewhere", route) for route in ROUTE_WORDS]
    + [("send_corrected_claim", "coding"), ("appeal", "medical_necessity")]
)
"""Actions of other teams that the route says better than the action."""
