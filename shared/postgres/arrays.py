"""
Columns of many rows as array literals, to be read by `cast(cast(:x as text) as uuid[])` and the like.

The driver asks of every element whether it is a sequence itself, which costs more than to write the element.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(decimal_format="string").encode


def arrays(**types: str) -> str:
    """Write the SQL that reads parameters made by array_of(), each of its name's type."""
    return ", ".join(f"cast(cast(:{name} as text) as {type_}[])" for name, type_ in types.items())


def columns(**types: str) -> str:
    """
    Write the query that gives parameters made by array_of() as rows, a column of its type for each name.

    Quicker than unnest() in from, which lays every column into a store of its own before it gives a row.
    """
    return "select " + ", ".join(
        f"unnest(cast(cast(:{name} as text) as {type_}[])) as {name}" for name, type_ in types.items()
    )


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
