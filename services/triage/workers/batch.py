"""A batch of messages, sorted: claim events and facts, each once."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.triage.store.events import EventKey, key_of
from services.triage.store.facts import FactKey
from shared.contracts.claim import ClaimObserved
from shared.contracts.fact_recorded import FactRecorded
from shared.kafka.received import Received
from shared.values import shard_of


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch holds, repetitions within it left out; `received` is how each key came, the first time."""

    events: dict[EventKey, ClaimObserved]
    facts: dict[FactKey, FactRecorded]
    received: dict[EventKey | FactKey, Received]

    @classmethod
    def of(cls, received: Sequence[Received]) -> "Batch":
        """Sort messages. A type that triage does not know is a defect: its record is parked."""
        batch = cls(events={}, facts={}, received={})
        for one in received:
            match one.event:
                case ClaimObserved() as event:
                    key = key_of(event)
                    batch.events.setdefault(key, event)
                    batch.received.setdefault(key, one)
                case FactRecorded() as fact:
                    fact_key = (fact.organization_id, fact.fact_id)
                    batch.facts.setdefault(fact_key, fact)
                    batch.received.setdefault(fact_key, one)
                case other:
                    raise TypeError(type(other).__name__)
        return batch

    def organizations(self) -> set[UUID]:
        return {key[0] for key in self.received}

    def shards(self) -> set[int]:
        """The shards of all claim keys of the batch."""
        return {shard_of(one.event.message_key) for one in self.received.values()}

    def payloads(self) -> list[bytes]:
        """The events' bytes as they came, in order: fields that this release does not know are kept too."""
        return [one.record.value for one in self.received.values() if isinstance(one.event, ClaimObserved)]
