"""
Columns of many rows as array literals, to be read by `cast(cast(:x as text) as uuid[])` and the like.

The driver asks of every element whether it is a sequence itself, which costs more than to write the element.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(decimal_format="string").encode


def plain(values: Sequence[Any]) -> str:
    """Write ids, numbers, days, instants, booleans, words of the contracts: nothing that JSON escapes."""
    return "{" + _encode(values)[1:-1].decode() + "}"


def texts(values: Iterable[str | None]) -> str:
    """Write texts of any kind."""
    return "{" + ",".join(["null" if one is None else _quoted(one) for one in values]) + "}"


def nested(literals: Iterable[str]) -> str:
    """Write an array of array literals, for `cast(element as uuid[])`; unnest() would flatten a true one."""
    return texts(literals)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
