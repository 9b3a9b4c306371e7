"""
Dead letters: records that a group cannot use are laid aside, and their producer is told.

The record goes as it was to `<topic>-<group>-dlq`; headers tell the error's class and frames, never its
message and never locals, since both may carry a patient. Whoever lays a record aside sends `parked` for
it, so that its row leaves the window in flight and shows in the reconciliation.
"""

import time
import traceback
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args
from uuid import uuid4

import structlog

from shared.clock import now
from shared.contracts.base import encode
from shared.contracts.events_receipted import EventsReceipted, Receipt
from shared.contracts.events_receipted import Producer as ProducerName
from shared.contracts.topics import dead_letter_topic
from shared.errors import UnreadableError
from shared.kafka.envelope import Envelope, read_headers, write_headers
from shared.kafka.producer import OutgoingRecord, Producer
from shared.kafka.received import record_key
from shared.observability import metrics
from shared.values import shard_of

log = structlog.get_logger()


class DeadLetter(NamedTuple):
    """A record and why nobody could use it."""

    record: Any
    error: Exception


class TooManyDeadLettersError(Exception):
    """So much fails in so short a time that the fault is ours: stop before the topic is emptied."""


class DeadLetterBudget:
    """Allows a burst, and a share of what is handled: one bad release must not park everything."""

    def __init__(self, *, seconds: float = 60, burst: int = 100, share: float = 0.2) -> None:
        self._seconds = seconds
        self._burst = burst
        self._share = share
        self._recent: deque[tuple[float, int, int]] = deque()

    def spend(self, *, dead: int, handled: int) -> None:
        """Count one batch; raises TooManyDeadLettersError when the budget is overdrawn."""
        at = time.monotonic()
        self._recent.append((at, dead, handled))
        while self._recent[0][0] < at - self._seconds:
            self._recent.popleft()
        all_dead = sum(entry[1] for entry in self._recent)
        all_handled = sum(entry[2] for entry in self._recent)
        if all_dead > self._burst and all_dead > self._share * all_handled:
            raise TooManyDeadLettersError


async def lay_aside(letters: Sequence[DeadLetter], *, group: str, service: str, producer: Producer) -> None:
    """
    Send the records to the group's dead-letter topics and `parked` receipts to their producers.

    Raises UnavailableError when the broker did not take all of it; repeating is harmless.
    """
    outgoing = [_dead_record(letter, group) for letter in letters]
    outgoing += [receipt for letter in letters if (receipt := _parked_receipt(letter, service))]
    for outcome in await producer.send_all(outgoing):
        if outcome is not None:
            raise outcome
    for letter in letters:
        metrics.RECORDS_DEAD.labels(group, letter.record.topic).inc()
        log.error(
            "record_dead",
            group=group,
            topic=letter.record.topic,
            partition=letter.record.partition,
            offset=letter.record.offset,
            error_class=type(letter.error).__name__,
        )


def _dead_record(letter: DeadLetter, group: str) -> OutgoingRecord:
    record, error = letter
    return OutgoingRecord(
        topic=dead_letter_topic(record.topic, group),
        key=record.key or b"",
        value=record.value or b"",
        headers=[
            *record.headers,
            ("error-class", type(error).__name__.encode()),
            ("error-frames", "\n".join(_frames(error)).encode()),
            ("original-topic", record.topic.encode()),
            ("original-partition", str(record.partition).encode()),
            ("original-offset", str(record.offset).encode()),
        ],
    )


def _frames(error: BaseException) -> list[str]:
    """List where the error passed, innermost last: file, line and function, without messages and locals."""
    return [
        f"{Path(frame.filename).name}:{frame.lineno}:{frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]


def _parked_receipt(letter: DeadLetter, service: str) -> OutgoingRecord | None:
    """Tell the producer, if the record says who that is."""
    try:
        envelope = read_headers(letter.record.headers)
    except UnreadableError:
        return None
    key = record_key(letter.record)
    if key is None or envelope.producer not in get_args(ProducerName):
        return None
    receipt = parked(envelope, shard=shard_of(key), reason=type(letter.error).__name__)
    return receipt_record(receipt, service=service, trace_parent=envelope.trace_parent)


def receipt_record(
    receipt: EventsReceipted, *, service: str, trace_parent: str | None = None
) -> OutgoingRecord:
    """Make the record of a receipt that `service` sends at once, without an outbox."""
    return OutgoingRecord(
        topic=EventsReceipted.topic,
        key=str(receipt.message_key).encode(),
        value=encode(receipt),
        headers=write_headers(
            service=service,
            message_id=receipt.message_id,
            revision=receipt.message_revision,
            type_=EventsReceipted.__name__,
            organization_id=receipt.organization_id,
            created_at=now(),
            trace_parent=trace_parent,
        ),
    )


def parked(envelope: Envelope, *, shard: int, reason: str) -> EventsReceipted:
    """Make the receipt that parks one message; `reason` is the class of an error, never a text."""
    producer: Any = envelope.producer
    receipt = Receipt(
        message_id=envelope.message_id, revision=envelope.revision, outcome="parked", reason=reason
    )
    return EventsReceipted(
        organization_id=envelope.organization_id,
        batch_id=uuid4(),
        producer=producer,
        shard=shard,
        receipts=(receipt,),
    )
