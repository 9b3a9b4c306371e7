"""Who is who: the UUIDs by which claims and events are known for ever (design: Identity)."""

from hashlib import sha1
from uuid import UUID

from services.ingest.domain.claim import Claim
from services.ingest.domain.remittance import SetHeader
from shared.values import REPRIEVE_NAMESPACE

_SEPARATOR = "\x1f"


def event_id(organization_id: UUID, header: SetHeader, claim: Claim) -> UUID:
    """
    Identify one observation of one claim.

    Over organization, kind, trace, payment date, canonical loop and its ordinal among equal loops of its set:
    a remittance re-sent, re-enveloped or cut in two gives the same ids; equal claims in one set do not.
    """
    payment_on = header.payment_on.isoformat() if header.payment_on else ""
    return _derive(
        organization_id,
        "event",
        claim.kind,
        header.trace_number or "",
        header.payer_trace_id or "",
        payment_on,
        claim.digest.hex(),
        str(claim.ordinal),
    )


def claim_key(organization_id: UUID, claim: Claim, event: UUID) -> UUID:
    """
    Give the unit of ordering and folding: a superset of one claim on purpose.

    CLP01 trimmed and upper-cased; where it is empty or zero, CLP07; where that is too, the event itself.
    """
    if number := _telling(claim.claim_number):
        return _derive(organization_id, "claim", number)
    if number := _telling(claim.payer_claim_number or ""):
        return _derive(organization_id, "payer-claim", number)
    return _derive(organization_id, "event-claim", event.hex)


def sibling_key(organization_id: UUID, header: SetHeader, claim: Claim) -> UUID:
    """
    Tell possible duplicates: same trace, CLP01 and CLP07. A reversal is no sibling of its correction.

    Claims with one sibling key and different event ids are both kept and marked.
    """
    return _derive(
        organization_id,
        "sibling",
        "reversed" if claim.kind == "reversed" else "",
        header.trace_number or "",
        header.payer_trace_id or "",
        claim.claim_number.strip().upper(),
        (claim.payer_claim_number or "").strip().upper(),
    )


def _telling(number: str) -> str:
    """Give the number as compared, empty where it tells nothing (blank or zeros)."""
    normal = number.strip().upper()
    return normal if normal.strip("0") else ""


def _derive(organization_id: UUID, *parts: str) -> UUID:
    """UUIDv5 without uuid.uuid5, which builds the namespace's bytes again for each of millions of claims."""
    name = _SEPARATOR.join(parts).encode("utf-8", "surrogateescape")
    digest = sha1(_NAMESPACE + organization_id.bytes + name, usedforsecurity=False).digest()
    return UUID(int=int.from_bytes(digest[:16], "big"), version=5)


_NAMESPACE = REPRIEVE_NAMESPACE.bytes
