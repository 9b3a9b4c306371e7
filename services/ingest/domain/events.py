"""A claim to the event that tells of it (shared/contracts)."""

from datetime import date, datetime
from uuid import UUID

import msgspec

from services.ingest.domain.claim import Claim
from services.ingest.domain.remittance import SetHeader
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.claim_reversed import ClaimReversed

READER_REVISION = 1
"""Rises when a fix of the reader changes the reading of claims already sent; the highest wins."""


class EventContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the event tells of its arrival. `received_on` is in the organization's time zone."""

    organization_id: UUID
    remittance_id: UUID
    received_at: datetime
    received_on: date
    submitter_id: UUID | None = None
    feed: str | None = None
    receipt_id: UUID | None = None
    possible_duplicate_of: UUID | None = None
    truncated: bool = False  # the whole set ended without SE, where that is already known
    revision: int = READER_REVISION


def claim_event(
    claim: Claim, header: SetHeader, context: EventContext, sealer: object | None
) -> ClaimDenied | ClaimReversed | ClaimAdjudicated:
    """Build the contract's event. Without a sealer the people in it are left out, not left open."""
    raise NotImplementedError
