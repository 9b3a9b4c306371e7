"""
The 835's arithmetic (TR3 1.10.2), in exact cents.

    line          SVC03 = SVC02 - its adjustments
    claim         CLP04 = CLP03 - its adjustments and those of all its lines
    transaction   BPR02 = the payments of all claims - the provider adjustments (PLB)
"""

from decimal import Decimal
from typing import Literal

from services.ingest.x12.elements import Cents
from shared.contracts.claim import BalanceFinding


def balance_finding(
    level: Literal["line", "claim", "transaction"],
    *,
    reported: Cents,
    computed: Cents,
    line_number: int | None = None,
) -> BalanceFinding:
    """Say what was reported, what the parts add up to, and the difference, in dollars."""
    return BalanceFinding(
        level=level,
        reported_amount=dollars(reported),
        computed_amount=dollars(computed),
        difference=dollars(reported - computed),
        line_number=line_number,
    )


def dollars(cents: Cents) -> Decimal:
    """Give dollars with two digits, or with all that were sent where there are more."""
    return Decimal(cents).scaleb(-2)
