"""ClaimAdjudicated: a remittance reports a claim without the denial that its key once had; paid may be 0."""

from shared.contracts.claim import ClaimObserved


class ClaimAdjudicated(ClaimObserved, frozen=True, kw_only=True):
    """Sent only for claim keys that have a denial: it may be the money that the case waits for."""
