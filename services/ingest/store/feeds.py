"""Feeds: the named doors of a submitter."""

import re
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.errors import InvalidInputError, NotFoundError
from shared.postgres import transaction

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

_CREATE = text(
    "insert into ingest.feeds (submitter_id, name) values (:submitter_id, :name)"
    " on conflict do nothing returning 1"
)
_LIST = text("select name, created_at from ingest.feeds where submitter_id = :submitter_id order by name")
_FIND = text("select 1 from ingest.feeds where submitter_id = :submitter_id and name = :name")


async def create_feed(engine: AsyncEngine, *, submitter_id: UUID, name: str) -> bool:
    """Open a feed; False when it is there already. Raises InvalidInputError for a name of another form."""
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            "A feed's name has 1 to 63 lower-case letters, digits, dots, hyphens or underscores,"
            " and begins with a letter or a digit.",
            remedy="Choose such a name.",
        )
    async with transaction(engine, submitters=[submitter_id]) as connection:
        created = await connection.scalar(_CREATE, {"submitter_id": submitter_id, "name": name})
        return created is not None


async def list_feeds(engine: AsyncEngine, *, submitter_id: UUID) -> list[dict[str, Any]]:
    async with transaction(engine, submitters=[submitter_id]) as connection:
        found = await connection.execute(_LIST, {"submitter_id": submitter_id})
        return [dict(row._mapping) for row in found]  # noqa: SLF001  SQLAlchemy's public name for it


async def require_feed(connection: AsyncConnection, *, submitter_id: UUID, name: str) -> None:
    """Raise NotFoundError unless the submitter has this feed."""
    if await connection.scalar(_FIND, {"submitter_id": submitter_id, "name": name}) is None:
        raise NotFoundError(
            "You have no feed of this name.",
            remedy="`reprieve feeds list` shows yours; `reprieve feeds create NAME` opens one.",
        )
