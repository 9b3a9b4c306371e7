"""
Which adjustments do not deny: the table that docs/x12-835.md prints and the reader uses.

Ingest treats reason codes as opaque, with this one exception: an adjustment of a reason below is the price,
the patient's share, another payer's part or the payer's own accounting, not a refusal to pay. Every other
adjustment with a positive amount, on a claim that is no reversal, is a denial candidate, also one with an
unknown code: triage owns the meaning. The group code does not matter: payers send PR-45 and CO-23 although
the code list forbids them.
"""

from typing import NamedTuple


class Ordinary(NamedTuple):
    """One reason code (CARC) that does not deny, and why; in our words, not the list's."""

    reason: str
    why: str
    unless_whole_charge: bool = (
        False  # denies all the same where it takes the whole charge and nothing is paid
    )


ORDINARY = (
    # The patient's share
    Ordinary("1", "patient's share: deductible"),
    Ordinary("2", "patient's share: coinsurance"),
    Ordinary("3", "patient's share: copayment"),
    Ordinary("66", "patient's share: blood deductible"),
    Ordinary("85", "patient's share: interest owed by the patient"),
    Ordinary("122", "patient's share: psychiatric reduction"),
    Ordinary("142", "patient's share: monthly Medicaid liability"),
    Ordinary("187", "patient's share: paid from a spending account"),
    Ordinary("241", "patient's share: low-income subsidy copayment"),
    Ordinary("247", "patient's share: deductible of a professional service on an institutional claim"),
    Ordinary("248", "patient's share: coinsurance of a professional service on an institutional claim"),
    # The price
    Ordinary("41", "price: preferred-provider discount (deactivated code, legacy remittances)"),
    Ordinary("42", "price: above the fee schedule (deactivated code, legacy remittances)"),
    Ordinary("43", "price: federal budget reduction (deactivated code, legacy remittances)"),
    Ordinary("44", "price: prompt-payment discount"),
    Ordinary("45", "price: above the contracted or maximum fee", unless_whole_charge=True),
    Ordinary("59", "price: reduced as one of several or concurrent procedures"),
    Ordinary("90", "price: drug ingredient cost"),
    Ordinary("91", "price: dispensing fee"),
    Ordinary("94", "price: paid more than charged"),
    Ordinary("102", "price: major medical adjustment"),
    Ordinary("103", "price: provider's promotional discount"),
    Ordinary("118", "price: support of the dialysis network"),
    Ordinary("121", "price: indemnification for a member's debt"),
    Ordinary("130", "price: claim submission fee"),
    Ordinary("131", "price: discount negotiated for this claim"),
    Ordinary("132", "price: demonstration project"),
    Ordinary("137", "price: surcharges, assessments and health taxes"),
    Ordinary("139", "price: contracted funding where the provider employs the subscriber"),
    Ordinary("144", "price: incentive"),
    Ordinary("161", "price: performance bonus"),
    Ordinary("205", "price: discount card fee"),
    Ordinary("209", "price: may not be collected from the patient by agreement or regulation"),
    Ordinary("223", "price: reduction mandated by law that has no code of its own"),
    Ordinary("232", "price: transfer between institutions"),
    Ordinary("235", "price: sales tax"),
    Ordinary("237", "price: penalty set by law or regulation", unless_whole_charge=True),
    Ordinary("253", "price: federal sequestration"),
    Ordinary("A2", "price: contractual (deactivated code, legacy remittances)"),
    Ordinary("P5", "price: reasonable and customary fee, property and casualty"),
    Ordinary("P12", "price: workers' compensation fee schedule"),
    Ordinary("P23", "price: personal injury fee schedule"),
    Ordinary("P24", "price: preferred-provider network, property and casualty"),
    Ordinary("P25", "price: medical provider network, property and casualty"),
    Ordinary("P26", "price: voluntary provider network, property and casualty"),
    Ordinary("W1", "price: workers' compensation fee schedule (deactivated code, legacy remittances)"),
    # Paid in another way, or at another time
    Ordinary("24", "paid otherwise: capitation"),
    Ordinary("100", "paid otherwise: to the patient or another responsible party"),
    Ordinary("101", "paid otherwise: predetermination of an expected payment"),
    Ordinary("104", "paid otherwise: managed care withholding"),
    Ordinary("105", "paid otherwise: tax withholding"),
    Ordinary("143", "paid otherwise: part of the payment deferred"),
    Ordinary("225", "paid otherwise: interest or penalty paid by the payer"),
    Ordinary("245", "paid otherwise: performance programme withholding"),
    Ordinary("246", "nothing to pay: code for reporting only"),
    Ordinary("A0", "paid otherwise: refund to the patient"),
    Ordinary("88", "paid otherwise: collected against an earlier overpayment (deactivated code)"),
    # The institution's price
    Ordinary("69", "institution's price: day outlier"),
    Ordinary("70", "institution's price: cost outlier"),
    Ordinary("74", "institution's price: indirect medical education"),
    Ordinary("75", "institution's price: direct medical education"),
    Ordinary("76", "institution's price: disproportionate share"),
    # Another payer's part
    Ordinary("23", "other payer: effect of what prior payers paid or adjusted"),
    Ordinary("71", "other payer: the primary's amount (deactivated code, legacy remittances)"),
)

ORDINARY_REASONS = frozenset(row.reason.encode() for row in ORDINARY)
DENIES_WHOLE_CHARGE = frozenset(row.reason.encode() for row in ORDINARY if row.unless_whole_charge)
