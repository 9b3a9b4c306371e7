"""
Bundles: payloads that are written once and seldom read, several under one compression (zstd).

A table that keeps payloads has the columns `bundle_id` and `place`, counted from 1; `<table>_bundles` has
the contents. A row without bundle_id had its payload purged. Claims repeat each other: sixteen together are
a seventh of their size, and compressing them costs less than having PostgreSQL write the rest. They are no
more, because whoever reads one unpacks all.
"""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection
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


async def empty_payloads(connection: AsyncConnection, table: str, *, of: str, keys: Collection[UUID]) -> None:
    """Destroy the payloads of the rows whose column `of` is among `keys`; what lies beside them stays."""
    emptied = (await connection.execute(_let_go(table, of), {"keys": list(keys)})).all()
    gone = {row.bundle_id: frozenset(row.places) for row in emptied}
    bundles = (await connection.execute(_bundles(table), {"bundle_ids": list(gone)})).all()
    for one in bundles:
        places = gone[one.bundle_id]
        left = [b"" if at in places else payload for at, payload in enumerate(split(one.payloads), 1)]
        asked = {"organization_id": one.organization_id, "bundle_id": one.bundle_id}
        if any(left):
            await connection.execute(_rewrite(table), {**asked, "payloads": join(left)})
        else:
            await connection.execute(_delete(table), asked)


@cache
def _let_go(table: str, of: str) -> TextClause:
    return text(f"""
        with found as materialized (
            select ctid as version, bundle_id, place from {table}
            where {of} = any (cast(:keys as uuid[])) and bundle_id is not null
            for update
        ), emptied as (
            update {table} t set bundle_id = null from found where t.ctid = found.version
        )
        select bundle_id, array_agg(place) as places from found group by bundle_id
    """)


@cache
def _bundles(table: str) -> TextClause:
    return text(f"""
        select organization_id, bundle_id, payloads from {table}_bundles
        where bundle_id = any (cast(:bundle_ids as uuid[]))
        order by organization_id, bundle_id
        for update
    """)


_ONE = "where organization_id = :organization_id and bundle_id = :bundle_id"


@cache
def _rewrite(table: str) -> TextClause:
    return text(f"update {table}_bundles set payloads = :payloads {_ONE}")


@cache
def _delete(table: str) -> TextClause:
    return text(f"delete from {table}_bundles {_ONE}")
