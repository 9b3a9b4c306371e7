"""
Acknowledgments: due with every receipt whose file was read, then made or declined, or given up as failed.

A receipt's answers and their control numbers come to be in one transaction, so none is made twice or lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ingest.acknowledgments.rendering import Acknowledgment, Draft, draft, render
from services.ingest.acknowledgments.verdicts import FileVerdict
from shared.errors import NotFoundError
from shared.postgres import transaction
from shared.storage.vault import StoredFile

Preference = Literal["none", "negative", "all"]
"""Which acknowledgments a feed is sent unasked. With none no file is looked at for them."""

_NUMBERS = 999_999_999  # ISA13 has nine digits; then it begins anew

_DUE = text("select submitter_id, receipt_id from ingest.due_acknowledgments(:limit)")
_BEGIN = text("""
    with begun as (
        update ingest.receipts set acknowledgment_attempts = acknowledgment_attempts + 1
        where (submitter_id, receipt_id) = (:submitter_id, :receipt_id) and acknowledgment = 'due'
        returning submitter_id, receipt_id, feed, acknowledgment_attempts as attempts,
            storage_key, wrapped_key, size_bytes
    )
    select b.*, f.acknowledgment as preference
    from begun b join ingest.feeds f on f.submitter_id = b.submitter_id and f.name = b.feed
""")
_CLOSE = text("""
    update ingest.receipts set acknowledgment = :state
    where (submitter_id, receipt_id) = (:submitter_id, :receipt_id) and acknowledgment = 'due'
    returning 1
""")
_LEAVE = text("""
    update ingest.receipts set acknowledgment_attempts = greatest(acknowledgment_attempts - 1, 0),
        acknowledgment_due_at = now() + make_interval(secs => :seconds)
    where (submitter_id, receipt_id) = (:submitter_id, :receipt_id)
""")
_FAIL = text("""
    update ingest.receipts set acknowledgment_attempts = greatest(acknowledgment_attempts - 1, 0),
        acknowledgment_failures = acknowledgment_failures + 1,
        acknowledgment_due_at = now() + make_interval(secs => power(2, acknowledgment_failures))
    where (submitter_id, receipt_id) = (:submitter_id, :receipt_id)
    returning acknowledgment_failures
""")
_KEEP = text("""
    insert into ingest.acknowledgments (submitter_id, receipt_id, made_at, sets, sets_checked, cut_short,
        verdict)
    values (:submitter_id, :receipt_id, :made_at, :sets, :sets_checked, :cut_short, cast(:verdict as jsonb))
""")
_DRAW = text("""
    insert into ingest.acknowledgment_numbers as n (submitter_id, last_number) values (:submitter_id, :count)
    on conflict (submitter_id) do update set last_number = n.last_number + excluded.last_number
    returning last_number
""")
_KEEP_FILES = text("""
    insert into ingest.acknowledgment_files (submitter_id, receipt_id, ordinal, kind, code, control_number,
        acknowledges, content)
    select :submitter_id, :receipt_id, one.* from unnest(cast(:ordinals as integer[]), cast(:kinds as text[]),
        cast(:codes as text[]), cast(:numbers as bigint[]), cast(:acknowledged as text[]),
        cast(:contents as bytea[])) as one
""")
_STATE = text("""
    select r.acknowledgment as state, f.acknowledgment as preference, a.made_at, a.sets, a.sets_checked,
        a.cut_short, a.verdict
    from ingest.receipts r
    join ingest.feeds f on f.submitter_id = r.submitter_id and f.name = r.feed
    left join ingest.acknowledgments a on a.submitter_id = r.submitter_id and a.receipt_id = r.receipt_id
    where r.submitter_id = :submitter_id and r.receipt_id = :receipt_id
""")
_FILES = text("""
    select receipt_id, ordinal, kind, code, control_number, acknowledges, content, delivered_at
    from ingest.acknowledgment_files
    where submitter_id = :submitter_id and receipt_id = :receipt_id order by ordinal
""")
_UNDELIVERED = text("""
    select a.receipt_id, a.ordinal, a.kind, a.code, a.control_number, a.acknowledges, a.content,
        a.delivered_at
    from ingest.acknowledgment_files a
    join ingest.receipts r on r.submitter_id = a.submitter_id and r.receipt_id = a.receipt_id
    join ingest.feeds f on f.submitter_id = r.submitter_id and f.name = r.feed
    where a.submitter_id = :submitter_id and a.delivered_at is null and r.feed = :feed
        and (f.acknowledgment = 'all' or (f.acknowledgment = 'negative' and a.code <> 'A'))
    order by a.control_number limit :limit
""")
_DELIVERED = text("""
    update ingest.acknowledgment_files set delivered_at = :delivered_at
    where submitter_id = :submitter_id and receipt_id = :receipt_id and delivered_at is null
        and ordinal = any (cast(:ordinals as integer[]))
""")


@dataclass(frozen=True, slots=True)
class DueAcknowledgment:
    """A file to be acknowledged. `stored` None: its key was shredded, there is nothing to look at."""

    submitter_id: UUID
    receipt_id: UUID
    attempts: int
    preference: Preference
    stored: StoredFile | None


@dataclass(frozen=True, slots=True)
class AcknowledgmentFile:
    """One interchange to be sent back. `code` A, E, P or R; `acknowledges` is the ISA13 that it answers."""

    receipt_id: UUID
    ordinal: int
    kind: Literal["TA1", "999", "997"]
    code: str
    control_number: int
    acknowledges: str
    content: bytes
    delivered_at: datetime | None

    @property
    def name(self) -> str:
        """Give the name of the file: unique, and in the order in which a receipt's were made."""
        return f"{self.receipt_id}.{self.ordinal:03d}.{self.kind.lower()}"


async def due_acknowledgments(engine: AsyncEngine, *, limit: int) -> list[tuple[UUID, UUID]]:
    """Give (submitter_id, receipt_id) of what is to be acknowledged now, those that wait longest first."""
    async with transaction(engine) as connection:
        found = await connection.execute(_DUE, {"limit": limit})
        return [(row.submitter_id, row.receipt_id) for row in found]


async def begin(engine: AsyncEngine, *, submitter_id: UUID, receipt_id: UUID) -> DueAcknowledgment | None:
    """Count an attempt; None when it was made meanwhile. The caller holds the lock."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        row = (await connection.execute(_BEGIN, _ids(submitter_id, receipt_id))).one_or_none()
    if row is None:
        return None
    stored = StoredFile(row.storage_key, row.wrapped_key, row.size_bytes) if row.wrapped_key else None
    return DueAcknowledgment(
        UUID(bytes=row.submitter_id.bytes),
        UUID(bytes=row.receipt_id.bytes),
        row.attempts,
        row.preference,
        stored,
    )


async def make(
    engine: AsyncEngine, due: DueAcknowledgment, verdict: FileVerdict, *, made_at: datetime
) -> int:
    """Number, write and keep the answers, once; gives how many."""
    drafted = draft(verdict)
    async with transaction(engine, submitters=[due.submitter_id]) as connection:
        if not await _close(connection, due, "made"):
            return 0
        ids = _ids(due.submitter_id, due.receipt_id)
        await connection.execute(_KEEP, {**ids, **_kept(verdict), "made_at": made_at})
        if drafted:
            await _keep_files(connection, due, drafted, made_at)
    return len(drafted)


async def decline(engine: AsyncEngine, due: DueAcknowledgment) -> None:
    """Leave a file unacknowledged, as its feed wants it or because its bytes are gone."""
    async with transaction(engine, submitters=[due.submitter_id]) as connection:
        await _close(connection, due, "declined")


async def give_up(engine: AsyncEngine, due: DueAcknowledgment) -> None:
    """Stop trying: the receipt says so."""
    async with transaction(engine, submitters=[due.submitter_id]) as connection:
        await _close(connection, due, "failed")


async def leave(engine: AsyncEngine, due: DueAcknowledgment, *, seconds: float) -> None:
    """Take an attempt back that ended for no fault of the file, and let it wait."""
    async with transaction(engine, submitters=[due.submitter_id]) as connection:
        await connection.execute(_LEAVE, {**_ids(due.submitter_id, due.receipt_id), "seconds": seconds})


async def fail(engine: AsyncEngine, due: DueAcknowledgment) -> int:
    """Count a failure, after which the file waits longer each time; gives how many there were."""
    async with transaction(engine, submitters=[due.submitter_id]) as connection:
        found = await connection.execute(_FAIL, _ids(due.submitter_id, due.receipt_id))
        return int(found.scalar_one())


async def acknowledgment_state(
    engine: AsyncEngine, *, submitter_id: UUID, receipt_id: UUID
) -> tuple[dict[str, Any], list[AcknowledgmentFile]]:
    """Give what is known of a receipt's acknowledgment, and its files. Raises NotFoundError."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        found = (await connection.execute(_STATE, _ids(submitter_id, receipt_id))).one_or_none()
        if found is None:
            raise NotFoundError(
                "You have no such receipt.", remedy="Compare the id with the answer to your push."
            )
        return dict(found._mapping), await _files(connection, submitter_id, receipt_id)  # noqa: SLF001


async def acknowledgments_of(
    engine: AsyncEngine, *, submitter_id: UUID, receipt_id: UUID
) -> list[AcknowledgmentFile]:
    """Give a receipt's files, delivered or not; none while they are due."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        return await _files(connection, submitter_id, receipt_id)


async def undelivered(
    engine: AsyncEngine, *, submitter_id: UUID, feed: str, limit: int = 100
) -> list[AcknowledgmentFile]:
    """Give what a feed is to be sent unasked, by its preference as it is now, oldest number first."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        asked = {"submitter_id": submitter_id, "feed": feed, "limit": limit}
        return [AcknowledgmentFile(*row) for row in await connection.execute(_UNDELIVERED, asked)]


async def mark_delivered(
    engine: AsyncEngine,
    *,
    submitter_id: UUID,
    receipt_id: UUID,
    ordinals: Sequence[int],
    delivered_at: datetime,
) -> None:
    """Note that files lie where their receiver finds them. May be repeated; the first time stands."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        told = {"ordinals": list(ordinals), "delivered_at": delivered_at}
        await connection.execute(_DELIVERED, {**_ids(submitter_id, receipt_id), **told})


async def _files(
    connection: AsyncConnection, submitter_id: UUID, receipt_id: UUID
) -> list[AcknowledgmentFile]:
    found = await connection.execute(_FILES, _ids(submitter_id, receipt_id))
    return [AcknowledgmentFile(*row) for row in found]


async def _close(connection: AsyncConnection, due: DueAcknowledgment, state: str) -> bool:
    """Leave the queue; False when it was left before."""
    asked = {**_ids(due.submitter_id, due.receipt_id), "state": state}
    return await connection.scalar(_CLOSE, asked) is not None


async def _keep_files(
    connection: AsyncConnection, due: DueAcknowledgment, drafted: list[Draft], made_at: datetime
) -> None:
    last = await connection.scalar(_DRAW, {"submitter_id": due.submitter_id, "count": len(drafted)})
    files: list[Acknowledgment] = [
        render(one, control_number=(number - 1) % _NUMBERS + 1, made_at=made_at)
        for number, one in enumerate(drafted, int(last or 0) - len(drafted) + 1)
    ]
    columns = {
        "ordinals": list(range(1, len(files) + 1)),
        "kinds": [one.kind for one in files],
        "codes": [one.code for one in files],
        "numbers": [one.control_number for one in files],
        "acknowledged": [one.acknowledges for one in files],
        "contents": [one.content for one in files],
    }
    await connection.execute(_KEEP_FILES, {**_ids(due.submitter_id, due.receipt_id), **columns})


def _kept(verdict: FileVerdict) -> dict[str, Any]:
    return {
        "sets": verdict.sets,
        "sets_checked": verdict.sets_checked,
        "cut_short": verdict.cut_short,
        "verdict": msgspec.json.encode(verdict).decode(),
    }


def _ids(submitter_id: UUID, receipt_id: UUID) -> dict[str, Any]:
    return {"submitter_id": submitter_id, "receipt_id": receipt_id}
