"""Who is who: the UUIDs by which claims and events are known for ever (design: Identity)."""

from datetime import date
from functools import lru_cache
from uuid import UUID

from services.ingest.domain.claim import Claim, ClaimKind
from services.ingest.domain.remittance import SetHeader
from shared.identity import claim_key_of, identified, telling


def event_id(organization_id: UUID, header: SetHeader, claim: Claim) -> UUID:
    """
    Identify one observation of one claim.

    Over organization, kind, trace, payment date, canonical loop and its ordinal among equal loops of its set:
    a remittance re-sent, re-enveloped or cut in two gives the same ids; equal claims in one set do not. In
    test files the kind begins with "test-", so that a test copy seen first never hides the payment itself.
    """
    return event_id_as(organization_id, header, claim, claim.kind)


def event_id_as(organization_id: UUID, header: SetHeader, claim: Claim, kind: ClaimKind) -> UUID:
    """Give the id that the claim has, or had, for a reader that takes it for this kind."""
    said = f"test-{kind}" if header.is_test else kind
    trace = _trace(header.trace_number, header.payer_trace_id, header.payment_on)
    return identified(
        organization_id, f"event\x1f{said}\x1f{trace}\x1f{claim.digest.hex()}\x1f{claim.ordinal}"
    )


def claim_key(organization_id: UUID, claim: Claim, event: UUID) -> UUID:
    """
    Give the unit of ordering and folding: a superset of one claim on purpose.

    CLP01 trimmed and upper-cased; where it is empty or zero, CLP07; where that is too, the event itself.
    """
    if key := claim_key_of(organization_id, claim.claim_number):
        return key
    if number := telling(claim.payer_claim_number or ""):
        return identified(organization_id, f"payer-claim\x1f{number}")
    return identified(organization_id, f"event-claim\x1f{event.hex}")


def sibling_key(organization_id: UUID, header: SetHeader, claim: Claim) -> UUID:
    """
    Tell possible duplicates: same trace, CLP01 and CLP07.

    A reversal is no sibling of its correction, nor a test of what came in earnest. Claims with one
    sibling key and different event ids are both kept and marked.
    """
    side = "reversed" if claim.kind == "reversed" else ""
    side = f"test-{side}" if header.is_test else side
    trace = f"{header.trace_number or ''}\x1f{header.payer_trace_id or ''}"
    numbers = f"{claim.claim_number.strip()}\x1f{(claim.payer_claim_number or '').strip()}".upper()
    return identified(organization_id, f"sibling\x1f{side}\x1f{trace}\x1f{numbers}")


@lru_cache(maxsize=64)
def _trace(trace_number: str | None, payer_trace_id: str | None, payment_on: date | None) -> str:
    """Write what all claims of a set share; a set has thousands of them."""
    return f"{trace_number or ''}\x1f{payer_trace_id or ''}\x1f{payment_on or ''}"
