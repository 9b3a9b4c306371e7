"""
What every event has in common.

Events are frozen msgspec structs. Producers can only send fields that stand here; consumers
ignore fields that they do not know. Money is a Decimal, written as a string, with the sign as sent.
Nothing in an event can lead back to it, so the collector of circles need not know of it (`gc=False`): a batch
has tens of thousands of such values, and reading one costs a quarter less.
A repr shows the type and the ids, never a claim number or a patient.
"""

from typing import ClassVar
from uuid import UUID

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A part of an event."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    A past fact, as one service tells it to another.

    `organization_id` is the wall that the event stays behind. `message_id` and `revision` together are
    unique per type; a repetition carries the same pair.
    """

    topic: ClassVar[str]

    organization_id: UUID

    @property
    def message_id(self) -> UUID:
        raise NotImplementedError

    @property
    def message_revision(self) -> int:
        return 1

    @property
    def message_key(self) -> UUID:
        """The Kafka key: what has the same key is kept in order."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.message_id}:{self.message_revision}>"


_encoder = msgspec.json.Encoder(decimal_format="string")


def encode(event: Event | Value) -> bytes:
    """Write an event, or a part of one, as JSON bytes."""
    return _encoder.encode(event)
