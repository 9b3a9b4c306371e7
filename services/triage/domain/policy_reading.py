"""
A TOML table becomes its form, and every mistake of an author is listed at once, with its line and remedy.

tomllib gives no positions, so the line of a key is looked for in the text: right for what people write, one
key to a line; within a table written on one line it is that line.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec import Struct

_HEADER = re.compile(r"\[(\[)?\s*([\w-]+)\s*\]?\]")
_KEY = re.compile(r"\"?([\w-]+)\"?\s*=\s*(.*)")
_NOTHING: dict[str, Any] = {}
_UNFIT = object()
_STAND_INS: dict[type, Any] = {str: "?", int: 1, bool: False, date: date(2026, 1, 1)}
_KEY_PATH = re.compile(r"[\w-]+(\[\d+\])?(\.[\w-]+(\[\d+\])?)*")


def read_table(table: Any, form: type[Any], *, at: str, mistakes: list[str]) -> Any:
    """
    Read one TOML table into its form, and add to `mistakes` what does not fit.

    Every key is looked at, and a stand-in takes the place of one that does not fit, so that what can be said
    of the others is said in the same go. A form with mistakes is to be thrown away.
    """
    if not isinstance(table, dict):
        mistakes.append(f"{at} must be a table")
        table = _NOTHING
    fields = {field.name: field for field in msgspec.structs.fields(form)}
    mistakes += [_unknown(key, fields, at=at) for key in table if key not in fields]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        value: Any = _UNFIT
        if name in table:
            value = _read_value(table[name], field.type, at=_path(at, name), mistakes=mistakes)
        elif field.required and table is not _NOTHING:
            mistakes.append(f"{_path(at, name)} is missing")
        if value is not _UNFIT:
            values[name] = value
        elif field.required:
            values[name] = _stand_in(field.type)
    return form(**values)


def _read_value(value: Any, wanted: Any, *, at: str, mistakes: list[str]) -> Any:
    inner = _struct_in(wanted)
    if inner is not None and get_origin(wanted) is tuple:
        if not isinstance(value, list):
            mistakes.append(f"{at} must be a list of tables")
            return _UNFIT
        rows = enumerate(value, start=1)
        return tuple(read_table(row, inner, at=f"{at}[{n}]", mistakes=mistakes) for n, row in rows)
    if inner is not None:
        return read_table(value, inner, at=at, mistakes=mistakes)
    try:
        return msgspec.convert(value, type=wanted)
    except msgspec.ValidationError as error:
        mistakes.append(f"{at}: {_in_words(str(error), wanted)}")
        return _UNFIT


def _stand_in(wanted: Any) -> Any:
    """Give a value of a key's kind that nothing else can be wrong about."""
    inner = _struct_in(wanted)
    if get_origin(wanted) is tuple:
        return ()
    if inner is not None:
        return read_table(_NOTHING, inner, at="", mistakes=[])
    literals = _literals(wanted)
    if literals:
        return literals[0]
    return next((value for kind, value in _STAND_INS.items() if _is_of(wanted, kind)), None)


def _is_of(wanted: Any, kind: type) -> bool:
    return wanted is kind or any(_is_of(part, kind) for part in get_args(wanted))


def apart_from(found: Sequence[str], later: Iterable[str]) -> list[str]:
    """Leave out of later mistakes those that only follow from a key that is wrong already, or its table."""
    keys = [_key_of(mistake) for mistake in found]
    return [mistake for mistake in later if not any(key.startswith(_key_of(mistake)) for key in keys)]


def _key_of(mistake: str) -> str:
    found = _KEY_PATH.match(mistake)
    return "" if found is None else found[0]


def _struct_in(wanted: Any) -> type[Struct] | None:
    """Give the form inside `X`, `X | None` or `tuple[X, ...]`, if it is one."""
    candidates = get_args(wanted) if get_origin(wanted) in {tuple, UnionType} else (wanted,)
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, Struct)), None)


def _in_words(message: str, wanted: Any) -> str:
    literals = _literals(wanted)
    if message.startswith("Invalid enum value") and literals:
        return f"must be one of {', '.join(map(str, literals))}"
    return message[:1].lower() + message[1:]


def _literals(wanted: Any) -> tuple[Any, ...]:
    if get_origin(wanted) is Literal:
        return get_args(wanted)
    return tuple(value for part in get_args(wanted) for value in _literals(part))


def _path(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _unknown(key: str, known: Iterable[str], *, at: str) -> str:
    close = get_close_matches(key, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"it takes {', '.join(sorted(known))}"
    return f"{_path(at, key)} is no known key: {remedy}"


def located(mistakes: Iterable[str], text: str) -> list[str]:
    """Put the line of each mistake before it; a mistake begins with its key, as in `clocks[2].amount: …`."""
    lines = _lines(text)
    return [_at_line(mistake, lines) for mistake in mistakes]


def _at_line(mistake: str, lines: Mapping[str, int]) -> str:
    path = _key_of(mistake)
    while path and path not in lines:
        # A missing key has no line: the table that should hold it has.
        path = re.sub(r"(\[\d+\]|\.?[\w-]+)$", "", path)
    return f"line {lines[path]}: {mistake}" if path else mistake


def _lines(text: str) -> dict[str, int]:
    """Give the line of each key, as far as it begins a line, and of each table in a list."""
    found: dict[str, int] = {}
    table, rows_of = "", None
    counts: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        written = line.split("#")[0].strip()
        if rows_of is not None:
            if written.startswith("{"):
                counts[rows_of] += 1
                found[f"{rows_of}[{counts[rows_of]}]"] = number
            rows_of = None if written.startswith("]") else rows_of
        elif (header := _HEADER.fullmatch(written)) is not None:
            counts[header[2]] += 1
            table = f"{header[2]}[{counts[header[2]]}]" if header[1] else header[2]
            found[table] = number
        elif (key := _KEY.match(written)) is not None:
            path = _path(table, key[1])
            found[path] = number
            rows_of = path if key[2].startswith("[") and not written.endswith("]") else None
    return found
