"""From a Kafka record to an event: the envelope names the type, the type says how the value reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

import msgspec

from shared.contracts.base import Event
from shared.contracts.topics import EVENT_TYPES
from shared.errors import UnreadableError
from shared.kafka.envelope import Envelope, read_headers


@dataclass(frozen=True, slots=True)
class Received:
    """One record that could be read. `record` is aiokafka's ConsumerRecord; its repr would show the value."""

    event: Event
    envelope: Envelope
    record: Any = field(repr=False)


@cache
def _decoder(type_: type[Event]) -> msgspec.json.Decoder[Event]:
    return msgspec.json.Decoder(type_)


def receive(record: Any, types: Mapping[str, type[Event]] = EVENT_TYPES) -> Received:
    """
    Read a record, passing over fields that we do not know; raises UnreadableError when it is no event.

    `types` has what each type of event is read into: its contract, or a view of it with fewer fields.
    """
    envelope = read_headers(record.headers)
    if envelope.type not in types:
        raise UnknownTypeError(
            "A record has a type that this release does not know.", remedy="Upgrade, then replay."
        )
    try:
        event = _decoder(types[envelope.type]).decode(record.value)
    except (msgspec.DecodeError, TypeError) as error:
        raise UnreadableError(
            f"A {envelope.type} cannot be read.", remedy="Compare it with its schema."
        ) from error
    if event.organization_id != envelope.organization_id:
        raise UnreadableError("An envelope and its event name different organizations.")
    return Received(event, envelope, record)


class UnknownTypeError(UnreadableError):
    """A newer release wrote this record."""


def record_key(record: Any) -> UUID | None:
    """Give the message key of a record, if it has one."""
    try:
        return UUID(record.key.decode())
    except (AttributeError, ValueError):
        return None
