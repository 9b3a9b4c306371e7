"""EventsReceipted: what became of messages that a producer keeps until it is told."""

from typing import ClassVar, Literal
from uuid import UUID

from shared.contracts.base import Event, Value
from shared.values import REPRIEVE_NAMESPACE

Producer = Literal["ingest", "triage", "tracker"]


class Receipt(Value, frozen=True, kw_only=True):
    """`settled`: it is in the ledger. `parked`: it is a dead letter, and `reason` names the error class."""

    message_id: UUID
    revision: int
    outcome: Literal["settled", "parked"]
    reason: str | None = None


class EventsReceipted(Event, frozen=True, kw_only=True):
    """Receipts of one organization for one producer's shard. Sent for repeated messages too."""

    topic: ClassVar[str] = "settlement-receipts"

    batch_id: UUID
    producer: Producer
    shard: int
    receipts: tuple[Receipt, ...]

    @property
    def message_id(self) -> UUID:
        return self.batch_id

    @property
    def message_key(self) -> UUID:
        return UUID(int=REPRIEVE_NAMESPACE.int ^ self.shard)
