"""
Bundles: payloads that are written once and seldom read, several under one compression (zstd).

A table that keeps payloads has the columns `bundle_id` and `place`, counted from 1; `<table>_bundles` has
the contents. Claims repeat each other: sixteen together are a seventh of their size, and compressing them
costs less than having PostgreSQL write the rest. They are no more, because whoever reads one unpacks all.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec
from zstandard import ZstdCompressor, ZstdDecompressor

BUNDLE_PAYLOADS_MAX = 16
BUNDLE_BYTES_MAX = 256 * 1024
"""A larger payload has a bundle of its own."""

_read = msgspec.msgpack.Decoder(list[bytes]).decode


def bundle(organizations: Sequence[UUID], payloads: Sequence[bytes]) -> dict[str, list[Any]]:
    """
    Put payloads, each of the organization at its place, into bundles.

    Gives per bundle `bundle_organizations`, `bundle_ids` and `bundles`, and per payload the `numbers` of its
    bundle among these and its `places` in it, both counted from 1.
    """
    owners: list[UUID] = []
    contents: list[list[bytes]] = []
    numbers, places = list[int](), list[int]()
    filling: dict[UUID, tuple[int, int]] = {}
    for organization, payload in zip(organizations, payloads, strict=True):
        number, size = filling.get(organization, (0, 0))
        size += len(payload)
        if not number or len(contents[number - 1]) == BUNDLE_PAYLOADS_MAX or size > BUNDLE_BYTES_MAX:
            owners.append(organization)
            contents.append([])
            number, size = len(contents), len(payload)
        filling[organization] = number, size
        contents[number - 1].append(payload)
        numbers.append(number)
        places.append(len(contents[number - 1]))
    return {
        "bundle_organizations": owners,
        "bundle_ids": [uuid4() for _ in contents],
        "bundles": [join(one) for one in contents],
        "numbers": numbers,
        "places": places,
    }


def join(payloads: Sequence[bytes]) -> bytes:
    """Give the contents of a bundle."""
    return ZstdCompressor(level=1).compress(msgspec.msgpack.encode(payloads))


def split(contents: bytes) -> list[bytes]:
    """Give the payloads of a bundle, in the order of their places."""
    return _read(ZstdDecompressor().decompress(contents))


def payload_of(row: Any) -> bytes:
    """Give the payload at the `place` of a row, whose `bundle` has the contents."""
    payload: bytes = split(row.bundle)[row.place - 1]
    return payload
