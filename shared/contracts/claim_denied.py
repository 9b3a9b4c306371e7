"""ClaimDenied: a remittance refuses to pay some of a claim. ingest tells triage."""

from shared.contracts.claim import ClaimObserved, DeniedAdjustment


class ClaimDenied(ClaimObserved, frozen=True, kw_only=True):
    """`denied` holds the adjustments that are not ordinary (docs/x12-835.md); claim level before lines."""

    denied: tuple[DeniedAdjustment, ...]
