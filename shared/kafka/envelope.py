"""The CloudEvents 1.0 envelope in Kafka's binary mode: attributes are headers, the value is JSON."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from msgspec import Struct

from shared.errors import UnreadableError

Headers = list[tuple[str, bytes]]

_SOURCE_PREFIX = "reprieve/"
_EVENT_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}:[0-9]{1,9}")


class Envelope(Struct, frozen=True):
    """`event_id` is "<message_id>:<revision>": unique per source and type, the same in every repetition."""

    event_id: str
    type: str
    source: str
    time: str
    organization_id: UUID
    trace_parent: str | None = None

    @property
    def message_id(self) -> UUID:
        return UUID(self.event_id.partition(":")[0])

    @property
    def revision(self) -> int:
        return int(self.event_id.partition(":")[2])

    @property
    def producer(self) -> str:
        """The service whose outbox keeps the message until it is settled."""
        return self.source.removeprefix(_SOURCE_PREFIX)


def write_headers(
    *,
    service: str,
    message_id: UUID,
    revision: int,
    type_: str,
    organization_id: UUID,
    created_at: datetime,
    trace_parent: str | None = None,
) -> Headers:
    """Give the headers of one message of `service`."""
    common = common_headers(service=service, organization_id=organization_id, created_at=created_at)
    return common + message_headers(
        message_id=message_id, revision=revision, type_=type_, trace_parent=trace_parent
    )


def common_headers(*, service: str, organization_id: UUID, created_at: datetime) -> Headers:
    """Give the headers that messages written together share."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_source", f"{_SOURCE_PREFIX}{service}".encode()),
        ("ce_time", created_at.isoformat().encode()),
        ("ce_organizationid", str(organization_id).encode()),
        ("content-type", b"application/json"),
    ]


def message_headers(*, message_id: UUID, revision: int, type_: str, trace_parent: str | None) -> Headers:
    """Give the headers that each message has for itself."""
    headers = [("ce_id", f"{message_id}:{revision}".encode()), ("ce_type", type_.encode())]
    if trace_parent:
        headers.append(("traceparent", trace_parent.encode()))
    return headers


def read_headers(headers: Iterable[tuple[str, bytes]]) -> Envelope:
    """Read the envelope; raises UnreadableError when an attribute is missing or is not what it should be."""
    found: Mapping[str, bytes] = dict(headers)
    try:
        trace_parent = found.get("traceparent")
        envelope = Envelope(
            event_id=_event_id(found["ce_id"]),
            type=found["ce_type"].decode(),
            source=found["ce_source"].decode(),
            time=found["ce_time"].decode(),
            organization_id=_organization(found["ce_organizationid"]),
            trace_parent=trace_parent.decode() if trace_parent else None,
        )
    except (KeyError, ValueError) as error:
        raise UnreadableError(
            "A record has no CloudEvents envelope that can be read.",
            remedy="Find out who else writes to this topic.",
        ) from error
    return envelope


def _event_id(told: bytes) -> str:
    event_id = told.decode()
    if not _EVENT_ID.fullmatch(event_id):
        raise ValueError
    return event_id


@lru_cache(maxsize=1024)
def _organization(told: bytes) -> UUID:
    """Read an organization's id once: a topic is full of the same few."""
    return UUID(told.decode())
