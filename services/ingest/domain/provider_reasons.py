"""
What the reason codes of a provider adjustment (PLB03-1) mean, in our words.

The codes are those of element 426 in 005010X221A1, as pyx12's map of that guide has them. Positive amounts
lower the payment and negative ones raise it, whatever the code (TR3 1.10.2).
"""

REASONS = {
    "50": "penalty for a late charge",
    "51": "penalty interest",
    "72": "money that the provider returned",
    "90": "allowance for early payment",
    "AH": "fee for handling",
    "AM": "applied to what the provider borrowed",
    "AP": "benefits paid ahead of time",
    "B2": "rebate",
    "B3": "allowance for a recovery",
    "BD": "bad debt",
    "BN": "bonus",
    "C5": "temporary allowance",
    "CR": "interest on capitation",
    "CS": "adjustment without a closer reason",
    "CT": "capitation payment",
    "CV": "capital costs passed through",
    "CW": "costs of nurse anesthetists passed through",
    "DM": "costs of direct medical education passed through",
    "E3": "withheld",
    "FB": "balance carried forward: negative into a later remittance, positive from an earlier one",
    "FC": "allocation from a fund",
    "GO": "costs of graduate medical education passed through",
    "HM": "supplement for hemophilia clotting factor",
    "IP": "incentive payment",
    "IR": "withheld for the tax authority",
    "IS": "interim settlement",
    "J1": "nothing that is reimbursed: for information",
    "L3": "penalty",
    "L6": "interest owed by the payer",
    "LE": "levy",
    "LS": "lump sum",
    "OA": "costs of organ acquisition passed through",
    "OB": "offset for an affiliated provider",
    "PI": "periodic interim payment",
    "PL": "final payment",
    "RA": "retroactive adjustment",
    "RE": "return on equity",
    "SL": "student loan repayment",
    "TL": "third party liability",
    "WO": "recovery of an overpayment",
    "WU": "recovery without a closer reason",
}


def meaning_of(reason: str) -> str | None:
    """Say what a code means; None for one that the guide does not have."""
    return REASONS.get(reason.upper())
