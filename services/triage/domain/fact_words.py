"""What to find out, as one asks a colleague. Kinds of facts are spelled only where somebody types them."""

from collections.abc import Iterable

from shared.contracts.decision import FactKind

FACT_WORDS: dict[FactKind, str] = {
    "admission_date": "the admission date",
    "discharge_date": "the discharge date",
    "service_date": "the date of service",
    "eligibility_add_date": "the day on which eligibility was added",
    "coverage_known_at": "when the coverage became known",
    "enrolment_month": "the month from which the patient was enrolled",
    "denial_letter_date": "the date of the denial letter",
    "prior_decision_date": "the date of the payer's earlier decision",
    "claim_received_date": "the day on which the payer received the claim",
    "provider_enrolled_date": "the day on which the payer gave the provider its identifier",
    "filing_limit_date": "the last day on which the payer takes the claim",
    "urgency": "how urgent it was",
    "network_status": "whether the provider is in the network",
    "line_of_business": "the line of business",
    "service_category": "the kind of service",
    "delegate": "who authorizes for the payer",
    "authorization_found": "the number of an authorization on file",
    "clinical_decision_made": "whether the payer made a clinical decision",
    "coverage_unverifiable": "whether the coverage could not be verified",
    "other_coverage_primary": "whether other coverage comes first",
    "retro_eligibility": "whether eligibility was added retroactively",
    "intraoperative_change": "whether the procedure changed during the operation",
    "after_hours": "whether the payer's desk was closed",
    "short_stay": "whether the stay was short enough to need no notice",
    "extenuating_circumstances": "whether extenuating circumstances, as the payer defines them, excuse it",
    "provider_newly_enrolled": "whether the provider was newly enrolled",
}


def fact_words(kinds: Iterable[FactKind]) -> str:
    """Say each of several facts once, in their order."""
    return ", ".join(FACT_WORDS[kind] for kind in dict.fromkeys(kinds))
