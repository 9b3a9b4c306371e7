"""A claim as the reader hands it on: what every claim needs, and its raw loop for the event."""

from decimal import Decimal
from typing import Literal

import msgspec

from services.ingest.domain.findings import Finding
from shared.contracts.claim import BalanceFinding, DeniedAdjustment

ClaimKind = Literal["denied", "reversed", "adjudicated", "predetermination"]
"""A predetermination is a forecast, no payment: it is counted, and never becomes an event."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """
    One CLP loop.

    `digest` is the 16-byte hash of the canonical loop and `ordinal` counts equal loops of the set from 1:
    both go into the event's identity. `loop` are the segments with a terminator between each two, for
    `claim_event`.
    Amounts in dollars, signs as sent.
    """

    kind: ClaimKind
    position: int  # ordinal of the claim in its transaction set, from 1
    ordinal: int
    digest: bytes
    claim_number: str  # CLP01 as sent
    payer_claim_number: str | None  # CLP07
    charge_amount: Decimal  # CLP03
    paid_amount: Decimal  # CLP04
    denied: tuple[DeniedAdjustment, ...]
    balance_findings: tuple[BalanceFinding, ...]
    findings: tuple[Finding, ...]
    byte_offset: int  # of the C of CLP, from the start of the file
    byte_length: int  # through the terminator of the loop's last segment
    segment_number: int  # of the CLP
    truncated: bool  # the last claim of a set that ended without SE: its loop may be cut
    loop: bytes

    @property
    def denied_amount(self) -> Decimal:
        return sum((item.amount for item in self.denied), Decimal(0))

    def __repr__(self) -> str:
        return f"<Claim {self.kind} at position {self.position}>"
