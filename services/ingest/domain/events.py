"""A claim to the event that tells of it (shared/contracts)."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from services.ingest.domain.claim import Claim
from services.ingest.domain.detail import Detail
from services.ingest.domain.findings import finding
from services.ingest.domain.identity import claim_key, event_id
from services.ingest.domain.remittance import ClaimQuarantined, SetHeader
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.claim_reversed import ClaimReversed
from shared.errors import ReprieveError
from shared.security.sealing import Sealer, seal_person

ClaimEvent = ClaimDenied | ClaimReversed | ClaimAdjudicated

READER_REVISION = 1
"""
Rises when a fix changes the reading of claims already read, so that what older readers read can be found.

An event's own `revision` counts the readings of that claim which differed, from 1; the highest wins.
"""


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
    revision: int = 1
    supplied: tuple[str, ...] = ()  # names of what a person supplied, because it could not be read


def event_or_quarantine(
    claim: Claim, header: SetHeader, context: EventContext, sealer: Sealer | None
) -> ClaimEvent | ClaimQuarantined:
    """
    Build the event, or set the claim aside where we fail to: one claim never costs its neighbours.

    What the family of ReprieveError says is no fault of the claim, and is raised.
    """
    try:
        return claim_event(claim, header, context, sealer)
    except ReprieveError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this claim's alone
        found = finding(
            "claim_unreadable",
            segment_number=claim.segment_number,
            segment_id="CLP",
            byte_offset=claim.byte_offset,
        )
        return ClaimQuarantined(
            position=claim.position,
            byte_offset=claim.byte_offset,
            byte_length=claim.byte_length,
            charge_amount=claim.charge_amount,
            findings=(found,),
            defect=error,
        )


def claim_event(claim: Claim, header: SetHeader, context: EventContext, sealer: Sealer | None) -> ClaimEvent:
    """
    Build the contract's event. Without a sealer the people in it are left out, not left open.

    Raises ValueError for a predetermination: no payer has decided anything yet, so there is no event of it.
    """
    if claim.kind == "predetermination":
        raise ValueError("a predetermination is no event")
    facts = _facts(claim, header, context, sealer)
    if claim.kind == "denied":
        return ClaimDenied(**facts, denied=claim.denied)
    return ClaimReversed(**facts) if claim.kind == "reversed" else ClaimAdjudicated(**facts)


def _facts(claim: Claim, header: SetHeader, context: EventContext, sealer: Sealer | None) -> dict[str, Any]:
    detail = Detail(claim.loop, header.delimiters)
    facts = detail.facts
    identity = event_id(context.organization_id, header, claim)
    for role, person in detail.people.items():
        facts[role] = seal_person(person, sealer)
    facts |= {
        "organization_id": context.organization_id,
        "event_id": identity,
        "revision": context.revision,
        "claim_key": claim_key(context.organization_id, claim, identity),
        "submitter_id": context.submitter_id,
        "feed": context.feed,
        "receipt_id": context.receipt_id,
        "remittance_id": context.remittance_id,
        "received_at": context.received_at,
        "received_on": context.received_on,
        "is_test": header.is_test,
        "position": claim.position,
        "version": header.version,
        "payer": header.payer,
        "payee": header.payee,
        "trace_number": header.trace_number,
        "payer_trace_id": header.payer_trace_id,
        "payment_on": header.payment_on,
        "payment_method": header.payment_method,
        "production_on": header.production_on,
        "payer_date": header.payer_date or context.received_on,
        "payer_date_source": header.payer_date_source,
        "charge_amount": claim.charge_amount,
        "paid_amount": claim.paid_amount,
        "balance_findings": claim.balance_findings,
        "truncated": claim.truncated or context.truncated,
        "possible_duplicate_of": context.possible_duplicate_of,
        "supplied": context.supplied,
    }
    return facts
