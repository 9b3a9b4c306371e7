"""What stands in a URL, looked at in one place for every route: no control characters, no unknown names."""

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from fastapi import Request
from fastapi.dependencies.utils import _get_flat_fields_from_params  # a model's fields are parameters
from fastapi.exceptions import RequestValidationError
from starlette.types import Scope

from shared.errors import InvalidInputError

DateOrInstant = TypeVar("DateOrInstant")


def representable(instant: DateOrInstant) -> DateOrInstant:
    """Give it. Raises ValueError for an instant that lies before year 1 or behind year 9999 in UTC."""
    if isinstance(instant, datetime) and instant.tzinfo is not None:
        try:
            instant.astimezone(UTC)
        except OverflowError:
            raise ValueError("no instant that a calendar has") from None
    return instant


def check_characters(scope: Scope) -> None:
    """
    Raise InvalidInputError for a path or query with a control character (Unicode Cc, NUL among them).

    No name, number or id that Reprieve knows holds one, and PostgreSQL's text cannot hold a NUL at all.
    """
    query = scope.get("query_string", b"").decode("latin-1")
    asked = (text for pair in parse_qsl(query, keep_blank_values=True) for text in pair)
    where = (
        "path" if _has_control(scope["path"]) else "query string" if any(map(_has_control, asked)) else None
    )
    if where:
        raise InvalidInputError(
            f"The {where} holds a control character.",
            remedy="Send it without: no NUL (%00), line break or tab stands in a name or a number.",
        )


def _has_control(text: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in text)


async def refuse_unknown(request: Request) -> None:
    """
    Refuse query parameters that the route does not have; a dependency of every route.

    A filter with a slip in its name would otherwise give the unfiltered list as if it were the answer.
    """
    known = _known_names(request.scope["route"])
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise RequestValidationError(_mistakes(unknown, known))


def _known_names(route: Any) -> frozenset[str]:
    """Give the parameters of a route. To gather them takes longer than to look up a page of cases."""
    known = _KNOWN.get(route.endpoint)
    if known is None:
        known = _KNOWN[route.endpoint] = frozenset(_query_names(route.dependant))
    return known


_KNOWN: WeakKeyDictionary[Any, frozenset[str]] = WeakKeyDictionary()


def _query_names(dependant: Any) -> Iterator[str]:
    yield from (field.alias for field in _get_flat_fields_from_params(dependant.query_params))
    for inner in dependant.dependencies:
        yield from _query_names(inner)


def _mistakes(unknown: Sequence[str], known: Collection[str]) -> list[dict[str, Any]]:
    expected = ", ".join(sorted(known)) or "none"
    return [
        {"type": "unknown_parameter", "loc": ("query", name), "ctx": {"expected": expected}}
        for name in unknown
    ]
