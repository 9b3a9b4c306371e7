"""Every failure as an RFC 9457 problem: what is wrong, where, what to do. Never the value that was sent."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from shared.errors import ReprieveError, UnauthenticatedError, UnavailableError
from shared.http.versions import API_VERSION, HEADER

MEDIA_TYPE = "application/problem+json"

_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "description": "urn:reprieve:problem:<slug>, the same for ever"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong."},
        "remedy": {"type": "string", "description": "What to do."},
        "request_id": {"type": "string", "description": "As in the log; tell it the operator."},
        "errors": {
            "type": "array",
            "description": "The fields that are wrong.",
            "items": {
                "type": "object",
                "required": ["field", "problem"],
                "properties": {"field": {"type": "string"}, "problem": {"type": "string"}},
            },
        },
    },
}


def described(description: str) -> dict[str, Any]:
    """Describe a problem answer for OpenAPI."""
    return {"description": description, "content": {MEDIA_TYPE: {"schema": _SCHEMA}}}


DESCRIBED: dict[int | str, dict[str, Any]] = {
    401: described("No valid key or token."),
    403: described("The role may not do this."),
    422: described("The request is not as this route expects it; `errors` names the fields."),
    "default": described("Any other failure: what is wrong, and what to do."),
}
"""What every route may answer. Without the default, FastAPI would promise errors in a form of its own."""


def problem(
    status: int,
    slug: str,
    *,
    detail: str | None = None,
    remedy: str | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make a problem answer. Its type is urn:reprieve:problem:<slug>, and stays the same for ever."""
    members = {
        "type": f"urn:reprieve:problem:{slug}",
        "title": slug.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "remedy": remedy,
        "errors": list(errors) or None,
        "request_id": request_id,
    }
    body = msgspec.json.encode({name: value for name, value in members.items() if value is not None})
    return Response(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def problem_of(error: ReprieveError, *, request_id: str | None = None) -> Response:
    """Make the answer to an error that was raised on purpose."""
    headers: dict[str, str] = {}
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = 'Bearer realm="reprieve"'
    if isinstance(error, UnavailableError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    return problem(
        error.status,
        error.slug,
        detail=error.message,
        remedy=error.remedy,
        errors=[{"field": field, "problem": what} for field, what in getattr(error, "errors", ())],
        request_id=request_id,
        headers=headers,
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Let the app answer errors with problems. Crashes are answered by the door (app.py)."""

    @app.exception_handler(ReprieveError)
    async def on_reprieve_error(request: Request, error: ReprieveError) -> Response:
        return problem_of(error, request_id=_request_id(request))

    @app.exception_handler(RequestValidationError)
    async def on_validation_error(request: Request, error: RequestValidationError) -> Response:
        return problem(
            422,
            "invalid-input",
            detail="The request is not as this route expects it.",
            remedy="Correct the fields that `errors` names.",
            errors=[{"field": _field(one["loc"]), "problem": _reason(one)} for one in error.errors()],
            request_id=_request_id(request),
        )

    @app.exception_handler(HTTPException)
    async def on_http_exception(request: Request, error: HTTPException) -> Response:
        headers = {"Allow": _allowed(request)} if error.status_code == _NOT_ALLOWED else error.headers
        return _problem_of_status(
            HTTPStatus(error.status_code), request_id=_request_id(request), headers=headers
        )


def too_large(*, request_id: str | None = None) -> Response:
    """Make the answer to a body that is over the limit."""
    return _problem_of_status(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, request_id=request_id)


def not_http(status: int, *, request_id: str) -> Response:
    """Make the answer to what no app ever sees, because the server cannot parse it as a request."""
    return problem(
        status,
        "malformed-request",
        detail="This is no request that HTTP/1.1 allows.",
        remedy="Check the request line, the headers and how the body's length is told.",
        request_id=request_id,
        headers=_closing(request_id),
    )


def head_too_long(limit: int, *, request_id: str) -> Response:
    """Make the answer to a request line and headers of more than `limit` bytes, which no app ever sees."""
    return problem(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "head-too-long",
        detail=f"The request line and the headers are longer than {limit // 1024} KiB together.",
        remedy="Send fewer or shorter headers and query parameters.",
        request_id=request_id,
        headers=_closing(request_id),
    )


def _closing(request_id: str) -> dict[str, str]:
    return {
        "X-Request-Id": request_id,
        HEADER: API_VERSION,
        "Cache-Control": "no-store",
        "Connection": "close",
    }


def _problem_of_status(
    status: HTTPStatus, *, request_id: str | None, headers: Mapping[str, str] | None = None
) -> Response:
    return problem(
        status,
        _SLUGS.get(status) or status.phrase.lower().replace(" ", "-"),
        detail=status.description or None,
        remedy=_REMEDIES.get(status),
        request_id=request_id,
        headers=headers,
    )


_SLUGS = {413: "too-large", 416: "range", 422: "invalid-input"}  # Python's phrases for these change
_REMEDIES = {
    400: "Send a body of JSON in UTF-8, nested no deeper than the route's fields.",
    404: "Check the path; /openapi.json lists what there is.",
    408: "Send the body without standing still; nothing of it was kept.",
    405: "The Allow header names the methods that work.",
    413: "Send it in smaller parts.",
}


_NOT_ALLOWED = HTTPStatus.METHOD_NOT_ALLOWED


def _allowed(request: Request) -> str:
    """Name the methods of all routes on this path; the router names those of the first."""
    methods: set[str] = set()
    for route in _routes(request.app.routes):
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= route.methods or set()
    return ", ".join(sorted(methods))


def _routes(routes: Iterable[Any]) -> Iterator[Any]:
    """Give the routes themselves: those of an included router stand behind one object, without methods."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from _routes(included.routes)


def _request_id(request: Request) -> str | None:
    found = request.scope.get("state", {}).get("request_id")
    return str(found) if found else None


def _field(location: Sequence[Any]) -> str:
    """Name a field, as in query.limit or body.items.3.message_id."""
    return ".".join(str(part) if _FIELD_PART.fullmatch(str(part)) else "?" for part in location)


_FIELD_PART = re.compile(r"[A-Za-z0-9_-]{1,60}")  # an unknown field's name came from the caller as well


def _reason(error: Mapping[str, Any]) -> str:
    """Say what kind of mistake it is; the library's own text may repeat what was sent."""
    limits = {key: value for key, value in error.get("ctx", {}).items() if key in _LIMITS}
    words = str(error["type"]).replace("_", " ")
    return f"{words} ({', '.join(f'{key} {value}' for key, value in limits.items())})" if limits else words


_LIMITS = frozenset({"ge", "gt", "le", "lt", "min_length", "max_length", "expected"})
