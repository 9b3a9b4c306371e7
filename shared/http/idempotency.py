"""
Writes that may be repeated: the same Idempotency-Key gives the same answer, and the effect happens once.

The key is kept in the transaction of the effect, so that there is never the one without the other. Who sends
the same key again while the first request is under way waits for it. A refusal changes nothing and is not
kept: what was corrected may be sent under the same key, what was refused for a moment may succeed.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from fastapi import Header, Request
from fastapi.responses import Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.errors import InvalidInputError
from shared.http.auth import scope_of
from shared.postgres import transaction
from shared.security.principals import Principal

KEPT_DAYS = 7
EXPIRED = f"kept_at < now() - interval '{KEPT_DAYS} days'"

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description=f"Your own name for this write, for {KEPT_DAYS} days: repeated, it has its effect once.",
    ),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a write answers: JSON, or nothing."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


async def answer_once(
    engine: AsyncEngine,
    request: Request,
    principal: Principal,
    work: Callable[[AsyncConnection], Awaitable[Answer]],
    *,
    table: str,
    key: str | None,
    digest: bytes | None = None,
) -> Response:
    """
    Do `work` in one transaction and give its answer; under a key that was used for it before, the kept one.

    `table` keeps the answers (organization_id, principal_id, key, digest, status, answer, headers, kept_at).
    `digest` names the request where its body was streamed and is gone. Raises InvalidInputError where the key
    was used for another request.
    """
    async with transaction(engine, **scope_of(principal)) as connection:
        if key is None:
            return _response(await work(connection))
        asked = {
            "organization_id": principal.organization_id,
            "principal_id": principal.principal_id,
            "key": key,
            "digest": digest or await _digest(request),
        }
        kept = await _recall(connection, table, asked)
        if kept is not None:
            return _response(kept)
        answer = await work(connection)
        await connection.execute(
            text(
                f"update {table} set status = :status, answer = :answer, headers = cast(:headers as jsonb)"
                f" where {_SAME}"
            ),
            {
                **asked,
                "status": answer.status,
                "answer": answer.body,
                "headers": msgspec.json.encode(dict(answer.headers)).decode(),
            },
        )
        return _response(answer)


_SAME = "organization_id = :organization_id and principal_id = :principal_id and key = :key"


async def _recall(connection: AsyncConnection, table: str, asked: Mapping[str, object]) -> Answer | None:
    """Reserve the key, or give the answer that was kept under it."""
    await connection.execute(text(f"delete from {table} where {EXPIRED}"))
    reserved = await connection.execute(
        text(f"""
            insert into {table} (organization_id, principal_id, key, digest)
            values (:organization_id, :principal_id, :key, :digest) on conflict do nothing
        """),
        asked,
    )
    if reserved.rowcount:
        return None
    found = await connection.execute(
        text(f"select digest, status, answer, cast(headers as text) as headers from {table} where {_SAME}"),
        asked,
    )
    row = found.one()
    if bytes(row.digest) != asked["digest"]:
        raise InvalidInputError(
            "This Idempotency-Key was used for another request.",
            remedy="Use a new key for each write; repeat one only with the same route, headers and body.",
        )
    headers = {**msgspec.json.decode(row.headers), "Idempotency-Replayed": "true"}
    return Answer(row.status, bytes(row.answer), headers)


async def _digest(request: Request) -> bytes:
    told = hashlib.sha256()
    for part in (request.method, request.url.path, request.headers.get("if-match", "")):
        told.update(part.encode() + b"\0")
    told.update(await request.body())
    return told.digest()


def _response(answer: Answer) -> Response:
    media_type = "application/json" if answer.body else None
    return Response(answer.body, answer.status, headers=dict(answer.headers), media_type=media_type)
