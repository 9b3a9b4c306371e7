"""Reading parcels: the payloads in them, and what is to be sent, as records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from zstandard import ZstdDecompressor

from shared.kafka.envelope import common_headers, message_headers
from shared.kafka.outbox import MessageId
from shared.kafka.producer import OutgoingRecord


@dataclass(frozen=True, slots=True)
class Unpacked:
    """`row` is the parcel's; `places`, counted from 1, tells which of its messages `records` are."""

    row: Any
    places: Sequence[int]
    records: list[OutgoingRecord]

    def message_ids(self, places: Iterable[int]) -> list[MessageId]:
        """Identify the messages at these places."""
        row = self.row
        return [
            MessageId(row.organization_id, row.message_ids[place - 1], row.revisions[place - 1])
            for place in places
        ]


def payloads_of(row: Any) -> list[bytes]:
    """Give every payload of a parcel: zstd over all of them, `ends` tells where each one ends."""
    together = ZstdDecompressor().decompress(row.payloads)
    return [together[start:end] for start, end in pairwise((0, *row.ends))]


def unpack(row: Any, *, service: str, partitions: Mapping[str, int]) -> Unpacked:
    """Make records of a parcel: of all of it, or of what is at its `open_places` where those are known."""
    places = row.open_places
    if places is None:  # whole, but for the places of messages that an earlier parcel has
        places = [place for place, message_id in enumerate(row.message_ids, 1) if message_id is not None]
    topic, partition = row.topic, row.shard % partitions[row.topic]
    common = common_headers(service=service, organization_id=row.organization_id, created_at=row.created_at)
    messages = list(
        zip(
            row.message_keys,
            payloads_of(row),
            row.message_ids,
            row.revisions,
            row.types,
            row.trace_parents,
            strict=True,
        )
    )
    records = []
    for place in places:
        key, payload, message_id, revision, type_, trace_parent = messages[place - 1]
        headers = common + message_headers(
            message_id=message_id, revision=revision, type_=type_, trace_parent=trace_parent
        )
        records.append(OutgoingRecord(topic, str(key).encode(), payload, headers, partition))
    return Unpacked(row, places, records)
