"""What differs between two texts of a policy, field by field, as a person would say it."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

_NAMES = ("label", "name", "url", "purpose", "kind", "anchor")
"""What tells one table of a list from its neighbours, the first that it has."""


class Moved(NamedTuple):
    """A key, as in `clocks[Appeal].amount`, what stood there and what stands there now; None: nothing."""

    key: str
    before: str | None
    after: str | None


def differences(before: bytes, after: bytes) -> list[Moved]:
    """Compare two TOML texts by what they mean: order of keys, spaces and comments do not count."""
    return list(_tables("", tomllib.loads(before.decode()), tomllib.loads(after.decode())))


def _tables(at: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Moved]:
    for key in dict.fromkeys([*before, *after]):
        yield from _values(f"{at}.{key}" if at else key, before.get(key), after.get(key))


def _values(at: str, before: Any, after: Any) -> Iterator[Moved]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _tables(at, before, after)
    elif _rows(before) and _rows(after):
        first, second = _named(before), _named(after)
        for name in dict.fromkeys([*first, *second]):
            yield from _values(f"{at}[{name}]", first.get(name), second.get(name))
    else:
        yield Moved(at, _written(before), _written(after))


def _rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _named(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Give the tables of a list by their names; where two share one, or have none, by their place as well."""
    found: dict[str, Mapping[str, Any]] = {}
    for place, row in enumerate(rows, start=1):
        name = next((str(row[key]) for key in _NAMES if key in row), str(place))
        found[name if name not in found else f"{name}, {place}"] = row
    return found


def _written(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(str(_written(one)) for one in value) or "nothing"
    if isinstance(value, dict):
        return "; ".join(f"{key} {_written(one)}" for key, one in value.items())
    return str(value)
