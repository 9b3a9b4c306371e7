"""What the reader gives, cut into batches that fit one transaction, with identities and events made ready."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

import msgspec
import structlog

from services.ingest.domain.claim import Claim
from services.ingest.domain.events import EventContext, event_or_quarantine
from services.ingest.domain.identity import claim_key, event_id, sibling_key
from services.ingest.domain.provider_links import payer_number_hash
from services.ingest.domain.remittance import (
    ClaimQuarantined,
    ClaimRead,
    FileClosed,
    ReaderItem,
    SetClosed,
    SetHeader,
    SetOpened,
)
from services.ingest.store.claims import ClaimRow
from shared.contracts.claim_denied import ClaimDenied
from shared.kafka.outbox import Message
from shared.security.sealing import Sealer

BATCH_CLAIMS = 1000

log = structlog.get_logger()


@dataclass(slots=True)
class ClaimBatch:
    """
    Claims of one transaction set in their order; `closed` comes with the set's last batch.

    `corrected` has, by offset, the names of what a person supplied for those that are claims only by it.
    """

    claims: list[Claim] = field(default_factory=list)
    quarantined: list[ClaimQuarantined] = field(default_factory=list)
    corrected: dict[int, tuple[str, ...]] = field(default_factory=dict)
    closed: SetClosed | None = None


Step = SetOpened | ClaimBatch | FileClosed


def steps(items: Iterator[ReaderItem], *, batch_claims: int = BATCH_CLAIMS) -> Iterator[Step]:
    """Gather claims; each SetOpened is followed by batches, of which the last one is closed."""
    batch = ClaimBatch()
    for item in items:
        # Not before there is more: a set that fits into a batch is written, and released, at once.
        if len(batch.claims) + len(batch.quarantined) >= batch_claims and not isinstance(item, SetClosed):
            yield batch
            batch = ClaimBatch()
        match item:
            case ClaimRead(claim):
                batch.claims.append(claim)
            case ClaimQuarantined():
                batch.quarantined.append(item)
            case SetClosed():
                batch.closed = item
            case _:
                yield item
        if batch.closed:
            yield batch
            batch = ClaimBatch()


@dataclass(frozen=True, slots=True)
class CorrectedClaim:
    """A quarantined claim as it reads with what a person supplied, and the names of that."""

    claim: Claim
    supplied: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Destination:
    """
    Where the claims of a transaction set go: whose they are, and what their events tell of the arrival.

    `corrected` has, by offset, the quarantined claims that a person made readable.
    """

    header: SetHeader
    context: EventContext
    sealer: Sealer
    corrected: Mapping[int, CorrectedClaim] = field(default_factory=dict)


class DenialEvent(msgspec.Struct, frozen=True):
    """The event of one denied claim, ready to be sent."""

    row: ClaimRow
    event: ClaimDenied
    message: Message
    denied_amount: Decimal

    def as_duplicate_of(self, sibling_id: UUID) -> "DenialEvent":
        """Mark an earlier event of the same claim in the same payment."""
        event = msgspec.structs.replace(self.event, possible_duplicate_of=UUID(bytes=sibling_id.bytes))
        return msgspec.structs.replace(self, event=event, message=Message.of(event))


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A batch as it goes into the database: a row per claim, in its order, an event per denied one."""

    rows: list[ClaimRow]
    denials: list[DenialEvent]


def prepare(batch: ClaimBatch, destination: Destination) -> PreparedBatch:
    """
    Give every claim its identity and every denied one its event: most of ingest's work.

    A claim whose event cannot be made moves to the batch's quarantine.
    """
    _take_corrected(batch, destination.corrected)
    header, context = destination.header, destination.context
    if batch.closed and batch.closed.truncated:
        context = msgspec.structs.replace(context, truncated=True)
    rows: list[ClaimRow] = []
    denials: list[DenialEvent] = []
    organization_id = context.organization_id
    claims, batch.claims = batch.claims, []
    for claim in claims:
        if claim.kind == "denied":
            denial = _denial(claim, header, context_of(claim, batch, context), destination.sealer)
            if isinstance(denial, ClaimQuarantined):
                log.error("claim_event_failed", remittance_id=context.remittance_id, exc_info=denial.defect)
                batch.quarantined.append(denial)
                continue
            denials.append(denial)
            rows.append(denial.row)
        else:
            event = event_id(organization_id, header, claim)
            key = claim_key(organization_id, claim, event)
            rows.append(_row(claim, header, context, event=event, key=key))
        batch.claims.append(claim)
    return PreparedBatch(rows, denials)


def _take_corrected(batch: ClaimBatch, corrected: Mapping[int, CorrectedClaim]) -> None:
    """Move what a person made readable out of the batch's quarantine; its findings go with it."""
    if not corrected:
        return
    for one in [one for one in batch.quarantined if one.byte_offset in corrected]:
        claim = corrected[one.byte_offset].claim
        findings = (*one.findings, *claim.findings)
        batch.claims.append(msgspec.structs.replace(claim, position=one.position, findings=findings))
        batch.quarantined.remove(one)
        batch.corrected[one.byte_offset] = corrected[one.byte_offset].supplied


def context_of(claim: Claim, batch: ClaimBatch, context: EventContext) -> EventContext:
    """Let an event tell what of its claim a person supplied."""
    supplied = batch.corrected.get(claim.byte_offset)
    return context if supplied is None else msgspec.structs.replace(context, supplied=supplied)


def _row(claim: Claim, header: SetHeader, context: EventContext, *, event: UUID, key: UUID) -> ClaimRow:
    return ClaimRow(
        event_id=event,
        revision=context.revision,
        position=claim.position,
        ordinal=claim.ordinal,
        claim_key=key,
        sibling_key=sibling_key(context.organization_id, header, claim),
        kind=claim.kind,
        charge_amount=claim.charge_amount,
        paid_amount=claim.paid_amount,
        byte_offset=claim.byte_offset,
        byte_length=claim.byte_length,
        payer_number_hash=payer_number_hash(claim.payer_claim_number),
    )


def _denial(
    claim: Claim, header: SetHeader, context: EventContext, sealer: Sealer
) -> DenialEvent | ClaimQuarantined:
    event = event_or_quarantine(claim, header, context, sealer)
    if isinstance(event, ClaimQuarantined):
        return event
    if not isinstance(event, ClaimDenied):
        raise TypeError(type(event).__name__)
    row = _row(claim, header, context, event=event.event_id, key=event.claim_key)
    return DenialEvent(row, event, Message.of(event), claim.denied_amount)
