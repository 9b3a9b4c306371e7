"""
Columns of many rows: ids as lists, all else as literals for `cast(cast(:x as text) as text[])` or the like.

The driver asks of every element whether it is a sequence itself, which costs more than to write the element.
A literal spares it that. But to read an id from one costs the server more than all that is done with it
here, so lists of ids go as PostgreSQL keeps them.
"""

from collections.abc import Collection, Sequence
from struct import Struct
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from asyncpg.pgproto import pgproto

_encode = msgspec.json.Encoder(decimal_format="string").encode


def arrays(**types: str) -> str:
    """Write the SQL that reads parameters, each of its name's type: ids as lists, all else by array_of()."""
    return ", ".join(_array(name, type_) for name, type_ in types.items())


def _array(name: str, type_: str) -> str:
    return f"cast(:{name} as uuid[])" if type_ == "uuid" else f"cast(cast(:{name} as text) as {type_}[])"


def columns(**types: str) -> str:
    """
    Write the query that gives such parameters as rows, a column of its type for each name.

    Quicker than unnest() in from, which lays every column into a store of its own before it gives a row.
    """
    return "select " + ", ".join(f"unnest({_array(name, type_)}) as {name}" for name, type_ in types.items())


def array_of(values: Sequence[Any]) -> str:
    """
    Write texts, ids, numbers, days, instants or booleans, with None for null.

    Array literals may be elements, for `cast(element as uuid[])`; unnest() flattens a true array of arrays.
    """
    elements = _encode(values)[1:-1].decode()
    # Only escapes differ: JSON writes line ends and the like as letters, an array as they are.
    if "\\" in elements:
        elements = ",".join(["null" if one is None else _quoted(one) for one in values])
    return "{" + elements + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_IDS_OID, _ID_OID = 2951, 2950  # uuid[] and uuid, the same in every PostgreSQL
_head = Struct("!5i").pack  # dimensions, whether there are nulls, the elements' type, number and first place
_LENGTH, _NULL = (16).to_bytes(4), (-1).to_bytes(4, signed=True)  # what stands before each element


def speak_ids(connection: "asyncpg.Connection[Any]") -> None:
    """Let a connection write and read uuid[] as below. The driver offers that for single values only."""
    settings = connection._protocol.get_settings()  # noqa: SLF001
    settings.add_python_codec(_IDS_OID, "_uuid", "pg_catalog", [], "scalar", write_ids, read_ids, "binary")


def write_ids(ids: Collection[UUID | str | None]) -> bytes:
    """Write a uuid[] as PostgreSQL keeps it."""
    try:
        body = b"".join([_LENGTH + one.bytes for one in ids])  # type: ignore[union-attr]
    except AttributeError:
        body = b"".join([_NULL if one is None else _LENGTH + UUID(str(one)).bytes for one in ids])
        return _head(1, 1, _ID_OID, len(ids), 1) + body
    return _head(1, 0, _ID_OID, len(ids), 1) + body


def read_ids(written: bytes) -> list[UUID | None]:
    """Read a uuid[] of one dimension."""
    if len(written) == 20 * (count := int.from_bytes(written[12:16])) + 20 and not written[7]:
        return [pgproto.UUID(written[at : at + 16]) for at in range(24, len(written), 20)]
    ids: list[UUID | None] = []
    at = 20
    for _ in range(count):
        is_null = written[at : at + 4] == _NULL
        ids.append(None if is_null else pgproto.UUID(written[at + 4 : at + 20]))
        at += 4 if is_null else 20
    return ids
