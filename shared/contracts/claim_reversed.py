"""ClaimReversed: a remittance takes an earlier adjudication back (CLP02 22, or negated amounts)."""

from shared.contracts.claim import ClaimObserved


class ClaimReversed(ClaimObserved, frozen=True, kw_only=True):
    """Amounts carry the signs as sent: normally the negated amounts of the adjudication taken back."""
