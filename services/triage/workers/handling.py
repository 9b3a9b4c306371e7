"""The handler of the group `triage`: one transaction a batch, then the receipts that only triage can give."""

import time
from collections import Counter
from collections.abc import Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.triage.domain.unknown_codes import unknown_codes
from services.triage.workers.batch import Batch
from services.triage.workers.deciding import BatchResult, Rules, decide_batch
from shared.clock import now
from shared.contracts.base import encode
from shared.contracts.denial_triaged import Triaged
from shared.contracts.events_receipted import EventsReceipted
from shared.kafka.consumer import Handle
from shared.kafka.dead_letters import parked
from shared.kafka.envelope import Envelope, write_headers
from shared.kafka.producer import OutgoingRecord, Producer
from shared.kafka.received import Received
from shared.observability import metrics
from shared.postgres import transaction
from shared.values import shard_of

log = structlog.get_logger()

GROUP = "triage"
TOPICS = ("claim-events", "case-facts")


def batch_handler(engine: AsyncEngine, rules: Rules, producer: Producer) -> Handle:
    """Make what consume() calls with each batch."""

    async def handle(received: Sequence[Received]) -> None:
        started = time.perf_counter()
        batch = Batch.of(received)
        async with transaction(engine, organizations=batch.organizations()) as connection:
            result = await decide_batch(connection, batch, rules)
        await _tell_parked(producer, batch, result)
        _count(result, received=len(received), seconds=time.perf_counter() - started)

    return handle


async def _tell_parked(producer: Producer, batch: Batch, result: BatchResult) -> None:
    """
    Park repeated messages whose decision is parked.

    The tracker never saw that decision, so nobody else tells their producer; it would repeat them for ever,
    and each would hold a place in its window. Replaying the decision settles them all.
    """
    if not result.parked:
        return
    records = [_parked_receipt(batch.received[key], reason) for key, reason in result.parked.items()]
    for outcome in await producer.send_all(records):
        if outcome is not None:
            raise outcome


def _parked_receipt(received: Received, reason: str) -> OutgoingRecord:
    envelope: Envelope = received.envelope
    receipt = parked(envelope, shard=shard_of(received.event.message_key), reason=reason)
    return OutgoingRecord(
        topic=EventsReceipted.topic,
        key=str(receipt.message_key).encode(),
        value=encode(receipt),
        headers=write_headers(
            service="triage",
            message_id=receipt.message_id,
            revision=receipt.message_revision,
            type_=EventsReceipted.__name__,
            organization_id=receipt.organization_id,
            created_at=now(),
            trace_parent=envelope.trace_parent,
        ),
    )


def _count(result: BatchResult, *, received: int, seconds: float) -> None:
    """Close the batch with its canonical line."""
    categories = Counter([one.decision.category for one in result.decisions if isinstance(one, Triaged)])
    for category, denials in categories.items():
        metrics.DECISIONS.labels(category).inc(denials)
    _tell_unknown_codes(result)
    log.info(
        "batch_triaged",
        batch_size=received,
        events=result.events,
        decisions=len(result.decisions),
        denied=categories.total(),
        outstanding=result.sent_again,
        parked=len(result.parked),
        duration_ms=round(seconds * 1000, 1),
    )


def _tell_unknown_codes(result: BatchResult) -> None:
    """Count what no list has, and say which codes: a list may be out of date, or a payer invent its own."""
    events = [
        one.event
        for one in result.decisions
        if isinstance(one, Triaged) and one.decision.decision_revision == 1
    ]
    if not unknown_codes(*events):  # as a rule, and asked of all at once this costs little
        return
    found = Counter([code for event in events for code in unknown_codes(event)])
    for (code_list, code), denials in found.items():
        metrics.UNKNOWN_CODES.labels(code_list).inc(denials)
        log.warning("unknown_code", table=code_list, code=code, denied_claims=denials)
