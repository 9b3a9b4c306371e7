"""Feeds: the named doors of a submitter, and what each one expects."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.errors import InvalidInputError, NotFoundError
from shared.postgres import transaction

Acknowledgment = Literal["none", "negative", "all"]
"""Which acknowledgments its sender wants: none, only those that tell of faults, or all."""

TestFiles = Literal["separate", "refuse"]
"""What happens to test files (ISA15 T): kept apart from production, or not taken at all."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSettings:
    """
    What may be changed of a feed.

    `cadence_hours`: a file is expected at least that often. `payer_aliases`: a payer's name or id as this
    feed sends it, in capitals, to the id or name that a policy knows.
    """

    cadence_hours: int | None = None
    acknowledgment: Acknowledgment = "negative"
    test_files: TestFiles = "separate"
    payer_aliases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fetched:
    """How fetching a feed from an SFTP server goes; `failure` is a word for what fails since then."""

    host: str
    pulled_at: datetime | None
    failing_since: datetime | None
    failure: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A feed as it stands. `secrets` are the ids of its signing secrets and when each was made."""

    submitter_id: UUID
    name: str
    created_at: datetime
    settings: FeedSettings
    secrets: Sequence[tuple[UUID, datetime]]
    last_received_at: datetime | None
    fetched: Fetched | None

    def silence(self, as_of: datetime) -> timedelta:
        """Say how long nothing has come; of a feed that never had a file, since it was opened."""
        return max(as_of - (self.last_received_at or self.created_at), timedelta())

    def is_silent(self, as_of: datetime) -> bool:
        """Tell whether its expected file is overdue; a feed without a cadence never is."""
        cadence = self.settings.cadence_hours
        return cadence is not None and self.silence(as_of) > timedelta(hours=cadence)


_CREATE = text("""
    insert into ingest.feeds (submitter_id, name, cadence_hours, acknowledgment, test_files, payer_aliases)
    values (:submitter_id, :name, :cadence_hours, :acknowledgment, :test_files, cast(:payer_aliases as jsonb))
    on conflict do nothing returning 1
""")
_LOCK = text("select 1 from ingest.feeds where submitter_id = :submitter_id and name = :name for update")
_EDIT = text("""
    update ingest.feeds set cadence_hours = :cadence_hours, acknowledgment = :acknowledgment,
        test_files = :test_files, payer_aliases = cast(:payer_aliases as jsonb)
    where submitter_id = :submitter_id and name = :name
""")
_FEEDS = text("""
    select f.submitter_id, f.name, f.created_at, f.cadence_hours, f.acknowledgment, f.test_files,
        f.payer_aliases, s.secret_ids, s.secret_dates,
        p.host, p.pulled_at, p.failing_since, p.failure,
        greatest(f.last_duplicate_at, r.received_at) as last_received_at
    from ingest.feeds f
    left join lateral (
        select received_at from ingest.receipts r
        where r.submitter_id = f.submitter_id and r.feed = f.name order by received_at desc limit 1
    ) r on true
    left join lateral (
        select array_agg(secret_id order by created_at) as secret_ids,
            array_agg(created_at order by created_at) as secret_dates
        from ingest.feed_secrets s where s.submitter_id = f.submitter_id and s.feed = f.name
    ) s on true
    left join ingest.sftp_pulls p on p.submitter_id = f.submitter_id and p.feed = f.name
    where cast(:name as text) is null or f.name = :name
    order by f.submitter_id, f.name
""")
_FIND = text("select 1 from ingest.feeds where submitter_id = :submitter_id and name = :name")
_SUBMITTERS = text("select submitter_id from ingest.submitters_with_feeds()")
# Once a minute is often enough to know that a sender is alive, and seldom enough not to queue for the row.
_SEEN_AGAIN = text("""
    update ingest.feeds set last_duplicate_at = now()
    where submitter_id = :submitter_id and name = :name
        and (last_duplicate_at is null or last_duplicate_at < now() - interval '1 minute')
""")


async def create_feed(engine: AsyncEngine, *, submitter_id: UUID, name: str, settings: FeedSettings) -> bool:
    """Open a feed; False when it is there already. Raises InvalidInputError for a name of another form."""
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            "A feed's name has 1 to 63 lower-case letters, digits, dots, hyphens or underscores,"
            " and begins with a letter or a digit.",
            remedy="Choose such a name.",
        )
    async with transaction(engine, submitters=[submitter_id]) as connection:
        created = await connection.scalar(_CREATE, _columns(submitter_id, name, settings))
        return created is not None


async def edit_feed(
    engine: AsyncEngine, *, submitter_id: UUID, name: str, changes: Mapping[str, Any]
) -> Feed:
    """Change the settings that `changes` names and leave the others. Raises NotFoundError."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        asked = {"submitter_id": submitter_id, "name": name}
        await connection.execute(_LOCK, asked)
        feed = await _feed(connection, name)
        settings = FeedSettings(**{**asdict(feed.settings), **changes})
        await connection.execute(_EDIT, _columns(submitter_id, name, settings))
        return await _feed(connection, name)


async def get_feed(engine: AsyncEngine, *, submitter_id: UUID, name: str) -> Feed:
    """Give one feed. Raises NotFoundError."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        return await _feed(connection, name)


async def list_feeds(engine: AsyncEngine, *, submitters: Sequence[UUID]) -> list[Feed]:
    """Give the feeds of these submitters, by submitter and name."""
    async with transaction(engine, submitters=submitters) as connection:
        return [_read(row) for row in await connection.execute(_FEEDS, {"name": None})]


async def submitters_with_feeds(engine: AsyncEngine) -> list[UUID]:
    """Give every submitter that has a feed: for who looks after the installation."""
    async with transaction(engine) as connection:
        return list((await connection.execute(_SUBMITTERS)).scalars())


async def note_duplicate(connection: AsyncConnection, *, submitter_id: UUID, name: str) -> None:
    """Keep in mind that a feed is alive, though what it sent was here before."""
    await connection.execute(_SEEN_AGAIN, {"submitter_id": submitter_id, "name": name})


def no_such_feed() -> NotFoundError:
    """Make the answer to a feed that is not there, or not the caller's."""
    return NotFoundError(
        "You have no feed of this name.",
        remedy="`reprieve feeds list` shows yours; `reprieve feeds create NAME` opens one.",
    )


async def _feed(connection: AsyncConnection, name: str) -> Feed:
    row = (await connection.execute(_FEEDS, {"name": name})).one_or_none()
    if row is None:
        raise no_such_feed()
    return _read(row)


def _read(row: Any) -> Feed:
    return Feed(
        submitter_id=UUID(bytes=row.submitter_id.bytes),
        name=row.name,
        created_at=row.created_at,
        settings=FeedSettings(
            cadence_hours=row.cadence_hours,
            acknowledgment=row.acknowledgment,
            test_files=row.test_files,
            payer_aliases=row.payer_aliases,
        ),
        secrets=list(zip(row.secret_ids or (), row.secret_dates or (), strict=True)),
        last_received_at=row.last_received_at,
        fetched=Fetched(row.host, row.pulled_at, row.failing_since, row.failure) if row.host else None,
    )


def _columns(submitter_id: UUID, name: str, settings: FeedSettings) -> dict[str, Any]:
    aliases = msgspec.json.encode(settings.payer_aliases).decode()
    return {**asdict(settings), "payer_aliases": aliases, "submitter_id": submitter_id, "name": name}


async def require_feed(connection: AsyncConnection, *, submitter_id: UUID, name: str) -> None:
    """Raise NotFoundError unless the submitter has this feed."""
    if await connection.scalar(_FIND, {"submitter_id": submitter_id, "name": name}) is None:
        raise no_such_feed()
