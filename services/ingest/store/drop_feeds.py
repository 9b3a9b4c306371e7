"""What the drop folder asks the database: whose a folder is, and what became of its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import NotFoundError
from shared.postgres import transaction

_SUBMITTERS = text("select submitter_id, name from access.submitters_of_installation()")
_FEEDS = text("""
    select submitter_id as id, name, needs_marker from ingest.feeds
    where submitter_id = any (cast(:submitters as uuid[]))
""")
_SET_MARKER = text("""
    update ingest.feeds set needs_marker = :needs_marker
    where submitter_id = :submitter_id and name = :name returning name
""")
_READ = text("""
    select receipt_id, status, refused_reason, finding_count, findings from ingest.receipts
    where submitter_id = :submitter_id and receipt_id = any (cast(:receipts as uuid[]))
""")


@dataclass(frozen=True, slots=True)
class DropFeed:
    """A feed, and the name of its submitter, which is that of the outer folder."""

    submitter_id: UUID
    submitter: str
    name: str
    needs_marker: bool


@dataclass(frozen=True, slots=True)
class Fate:
    """What the reader said of a file. `findings` may be cut; `finding_count` is not."""

    is_read: bool
    is_refused: bool
    reason: str | None
    findings: Sequence[dict[str, Any]]
    finding_count: int


async def drop_feeds(engine: AsyncEngine) -> list[DropFeed]:
    """Give the feeds of all submitters."""
    async with transaction(engine) as connection:
        found = (await connection.execute(_SUBMITTERS)).all()
    names = {UUID(bytes=row.submitter_id.bytes): row.name for row in found}
    async with transaction(engine, submitters=names) as connection:
        found = (await connection.execute(_FEEDS, {"submitters": list(names)})).all()
    return [DropFeed(row.id, names[row.id], row.name, row.needs_marker) for row in found]


async def set_marker(engine: AsyncEngine, *, submitter_id: UUID, feed: str, needs_marker: bool) -> None:
    """Say whether a feed's files wait for a marker. Raises NotFoundError for an unknown feed."""
    asked = {"submitter_id": submitter_id, "name": feed, "needs_marker": needs_marker}
    async with transaction(engine, submitters=[submitter_id]) as connection:
        if await connection.scalar(_SET_MARKER, asked) is None:
            raise NotFoundError(
                "The submitter has no feed of this name.", remedy="`reprieve feeds create NAME` opens one."
            )


async def fates(engine: AsyncEngine, *, submitter_id: UUID, receipts: Sequence[UUID]) -> dict[UUID, Fate]:
    """Give what became of these receipts; those that are no receipts of the submitter are left out."""
    asked = {"submitter_id": submitter_id, "receipts": list(receipts)}
    async with transaction(engine, submitters=[submitter_id]) as connection:
        found = (await connection.execute(_READ, asked)).all()
    return {
        UUID(bytes=row.receipt_id.bytes): Fate(
            is_read=row.status in ("processed", "refused"),
            is_refused=row.status == "refused",
            reason=row.refused_reason,
            findings=row.findings,
            finding_count=row.finding_count,
        )
        for row in found
    }
