"""Who is who: the UUIDs by which claims and events are known for ever (design: Identity)."""

from datetime import date
from functools import lru_cache
from hashlib import sha1
from uuid import UUID, SafeUUID

from services.ingest.domain.claim import Claim, ClaimKind
from services.ingest.domain.remittance import SetHeader
from shared.values import REPRIEVE_NAMESPACE


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
    return _derive(organization_id, f"event\x1f{said}\x1f{trace}\x1f{claim.digest.hex()}\x1f{claim.ordinal}")


def claim_key(organization_id: UUID, claim: Claim, event: UUID) -> UUID:
    """
    Give the unit of ordering and folding: a superset of one claim on purpose.

    CLP01 trimmed and upper-cased; where it is empty or zero, CLP07; where that is too, the event itself.
    """
    if key := claim_key_of(organization_id, claim.claim_number):
        return key
    if number := _telling(claim.payer_claim_number or ""):
        return _derive(organization_id, f"payer-claim\x1f{number}")
    return _derive(organization_id, f"event-claim\x1f{event.hex}")


def claim_key_of(organization_id: UUID, claim_number: str) -> UUID | None:
    """Give the key of the claims with this provider's number (CLP01); None where it tells nothing."""
    number = _telling(claim_number)
    return _derive(organization_id, f"claim\x1f{number}") if number else None


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
    return _derive(organization_id, f"sibling\x1f{side}\x1f{trace}\x1f{numbers}")


@lru_cache(maxsize=64)
def _trace(trace_number: str | None, payer_trace_id: str | None, payment_on: date | None) -> str:
    """Write what all claims of a set share; a set has thousands of them."""
    return f"{trace_number or ''}\x1f{payer_trace_id or ''}\x1f{payment_on or ''}"


def _telling(number: str) -> str:
    """Give the number as compared, empty where it tells nothing (blank or zeros)."""
    normal = number.strip().upper()
    return normal if normal.strip("0") else ""


def _derive(organization_id: UUID, name: str) -> UUID:
    """
    Give uuid5(REPRIEVE_NAMESPACE, organization's bytes + name).

    Written out, because uuid.uuid5 and UUID's own checks cost more than all else that a paid claim needs.
    """
    seed = _NAMESPACE + organization_id.int.to_bytes(16, "big") + name.encode("utf-8", "surrogateescape")
    number = int.from_bytes(sha1(seed, usedforsecurity=False).digest(), "big") >> 32  # 16 of 20 bytes
    derived = _NEW(UUID)
    _SET(derived, "int", number & _VERSION_CLEARED | _VERSION_5)
    _SET(derived, "is_safe", _UNKNOWN)
    return derived


_NAMESPACE = REPRIEVE_NAMESPACE.bytes
_NEW, _SET, _UNKNOWN = object.__new__, object.__setattr__, SafeUUID.unknown  # looked up once
_VERSION_CLEARED = ~(0xF000 << 64 | 0xC000 << 48)
_VERSION_5 = 5 << 76 | 0x8000 << 48  # RFC 9562: version 5, variant 10
