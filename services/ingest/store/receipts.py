"""
Receipts: one per file and submitter. A receipt is due while something of its file waits to be read.
`due_at` is its place in the queue: a file that has to wait stands behind those that came meanwhile.

Finding due receipts looks over all walls and gives ids only; everything else needs the submitter in scope.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ingest.store.feeds import note_duplicate
from services.ingest.store.idempotency import keep_key
from shared.errors import NotFoundError
from shared.postgres import transaction
from shared.storage.vault import StoredFile

_FRESH_COLUMNS = ("submitter_id", "receipt_id", "feed", "file_name", "received_by", "received_at", "sha256")
_STORED_COLUMNS = ("size_bytes", "storage_key", "wrapped_key")

HELD_SHOWN = 100
"""So many held sets stand in a receipt; it counts them all, and GET /v1/held lists them."""

DEFECT = "defect"
"""The refusal of a file on which the reader itself fails: after an upgrade sending the bytes again helps."""

EXPIRED = "expired"
"""What is left of a file to be read is unreadable for ever: its retention ended and its key was destroyed."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    A file to be read. `attempts` counts this attempt and those that ended with their process.

    `processed_before`: every transaction set was read already, only held ones can still add something.
    `refuses_tests` and `payer_aliases` are its feed's (FeedSettings) at the begin of the attempt.
    `stored` None: the file's key was shredded.
    """

    submitter_id: UUID
    receipt_id: UUID
    feed: str
    received_at: datetime
    attempts: int
    processed_before: bool
    refuses_tests: bool
    payer_aliases: Mapping[str, str]
    stored: StoredFile | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReceipt:
    """A file that came, with its raw bytes durable already. `key`: the sender's own name for the request."""

    submitter_id: UUID
    receipt_id: UUID
    feed: str
    file_name: str | None
    received_by: UUID
    received_at: datetime
    sha256: bytes
    stored: StoredFile
    key: str | None = None


@dataclass(frozen=True, slots=True)
class KeptReceipt:
    """What a submitter may know of its receipt; not `is_new`: its bytes were here before."""

    summary: dict[str, Any]
    is_new: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file. `findings` is a JSON array, cut to a readable number; `finding_count` is not."""

    status: Literal["processed", "refused"]
    refused_reason: str | None
    bytes_read: int
    transaction_sets: int
    claims_read: int
    finding_count: int
    findings: str


_INSERT = text("""
    insert into ingest.receipts (submitter_id, receipt_id, feed, file_name, received_by, received_at, sha256,
        size_bytes, storage_key, wrapped_key, acknowledgment)
    select fresh.*, coalesce((
            select 'declined' from ingest.feeds f
            where f.submitter_id = fresh.submitter_id and f.name = fresh.feed and f.acknowledgment = 'none'
        ), 'due')
    from unnest(cast(:submitter_id as uuid[]), cast(:receipt_id as uuid[]), cast(:feed as text[]),
        cast(:file_name as text[]), cast(:received_by as uuid[]), cast(:received_at as timestamptz[]),
        cast(:sha256 as bytea[]), cast(:size_bytes as bigint[]), cast(:storage_key as text[]),
        cast(:wrapped_key as bytea[])) as fresh(submitter_id, receipt_id, feed, file_name, received_by,
        received_at, sha256, size_bytes, storage_key, wrapped_key)
    order by submitter_id, sha256  -- in one order everywhere: two that insert the same must not deadlock
    on conflict (submitter_id, sha256) do nothing returning receipt_id
""")
_TRY_AGAIN = text("""
    update ingest.receipts r set due = true, due_at = now(), status = 'received', attempts = 0, failures = 0,
        refused_reason = null, processed_at = null
    where submitter_id = :submitter_id and sha256 = :sha256 and (refused_reason = :defect
        or refused_reason = 'test_refused' and exists (
            select from ingest.feeds f
            where (f.submitter_id, f.name) = (r.submitter_id, r.feed) and f.test_files <> 'refuse'
        ))
""")
_SUMMARY = f"""
    select r.receipt_id, r.feed, r.file_name, r.received_at, encode(r.sha256, 'hex') as sha256, r.size_bytes,
        r.status, r.processed_at, r.bytes_read, r.transaction_sets, r.claims_read,
        h.sets as held_transaction_sets, h.claims as held_claims, held_first.sets as held,
        r.refused_reason, r.finding_count, r.findings, r.acknowledgment,
        a.cut_short as acknowledgment_cut_short
    from ingest.receipts r
    left join ingest.acknowledgments a on a.submitter_id = r.submitter_id and a.receipt_id = r.receipt_id
    cross join lateral (
        select count(*) as sets, coalesce(sum(claims_read), 0) as claims from ingest.held_remittances h
        where h.submitter_id = r.submitter_id and h.receipt_id = r.receipt_id
    ) h
    cross join lateral (
        select coalesce(jsonb_agg(to_jsonb(f)), '[]') as sets from (
            select set_ordinal, payee_identifiers, claims_read, charge_amount::text as charge_amount, held_at
            from ingest.held_remittances h
            where h.submitter_id = r.submitter_id and h.receipt_id = r.receipt_id
            order by set_ordinal limit {HELD_SHOWN}
        ) f
    ) held_first
"""
_BY_HASHES = text(f"""
    select found.* from unnest(cast(:submitter_id as uuid[]), cast(:sha256 as bytea[])) with ordinality
        as wanted(submitter_id, sha256, number)
    cross join lateral (
        {_SUMMARY} where r.submitter_id = wanted.submitter_id and r.sha256 = wanted.sha256 limit 1
    ) found
    order by wanted.number
""")
_BY_ID = text(_SUMMARY + "where r.submitter_id = :submitter_id and r.receipt_id = :receipt_id")
_FINISHED = text("""
    select wanted.submitter_id, wanted.receipt_id
    from unnest(cast(:submitters as uuid[]), cast(:receipts as uuid[])) as wanted(submitter_id, receipt_id)
    cross join lateral (
        select status from ingest.receipts r
        where r.submitter_id = wanted.submitter_id and r.receipt_id = wanted.receipt_id limit 1
    ) found
    where found.status in ('processed', 'refused')
""")
_DUE = text("select submitter_id, receipt_id from ingest.due_receipts(:limit)")
_COUNT_DUE = text("select ingest.count_due_receipts()")
_BEGIN = text("""
    update ingest.receipts r set status = 'processing', attempts = attempts + 1, replay_asked = false
    from ingest.feeds f
    where (r.submitter_id, r.receipt_id) = (:submitter_id, :receipt_id) and r.due
        and (f.submitter_id, f.name) = (r.submitter_id, r.feed)
    returning r.submitter_id, r.receipt_id, r.feed, r.received_at, r.attempts, r.storage_key, r.wrapped_key,
        r.size_bytes, r.processed_at is not null as processed_before,
        f.test_files = 'refuse' as refuses_tests, f.payer_aliases
""")
_LEAVE = text("""
    update ingest.receipts set attempts = greatest(attempts - 1, 0)
    where (submitter_id, receipt_id) = (:submitter_id, :receipt_id) and due
""")
_FAIL = text("""
    update ingest.receipts set attempts = greatest(attempts - 1, 0), failures = failures + 1,
        due_at = now() + make_interval(secs => power(2, failures))
    where (submitter_id, receipt_id) = (:submitter_id, :receipt_id)
    returning failures
""")
_PUT_OFF = text("""
    update ingest.receipts set due_at = now() + make_interval(secs => :seconds)
    where (submitter_id, receipt_id) = (:submitter_id, :receipt_id) and due
""")
_FINISH = text("""
    update ingest.receipts set status = :status, due = replay_asked, attempts = 0, failures = 0,
        processed_at = now(), bytes_read = :bytes_read, transaction_sets = :transaction_sets,
        claims_read = :claims_read, finding_count = :finding_count,
        findings = cast(:findings as jsonb), refused_reason = :refused_reason
    where (submitter_id, receipt_id) = (:submitter_id, :receipt_id)
""")
# What was given up as a defect at its first reading is tried again, too, from the first byte on.
_ASK_REPLAY = text("""
    update ingest.receipts set due = true, due_at = now(), replay_asked = true, attempts = 0, failures = 0,
        refused_reason = case when refused_reason = :defect then null else refused_reason end,
        processed_at =
            case when refused_reason = :defect and status = 'refused' then null else processed_at end,
        status = case when refused_reason = :defect and status = 'refused' then 'received' else status end
    where (submitter_id, receipt_id) = (:submitter_id, :receipt_id) and wrapped_key is not null
    returning 1
""")
_GIVE_UP = text("""
    update ingest.receipts set due = false, refused_reason = :defect,
        status = case when processed_at is null then 'refused' else 'processed' end
    where (submitter_id, receipt_id) = (:submitter_id, :receipt_id)
""")
_EXPIRE = text("""
    update ingest.receipts set due = false, refused_reason = :expired,
        status = case when processed_at is null then 'refused' else 'processed' end,
        finding_count = finding_count + 1, findings = findings || cast(:finding as jsonb)
    where (submitter_id, receipt_id) = (:submitter_id, :receipt_id) and due
""")
_MAKE_DUE = text("""
    update ingest.receipts set due = true, due_at = now()
    where (submitter_id, receipt_id) = (:submitter_id, :receipt_id) and not due
        and refused_reason is distinct from :defect and refused_reason is distinct from :expired
""")
# Read from its first byte on: what follows from it may have failed on the lost file, which nobody noted.
_REPLACE = text("""
    update ingest.receipts set storage_key = :storage_key, wrapped_key = :wrapped_key, due = true,
        due_at = now(), status = 'received', processed_at = null, attempts = 0, failures = 0,
        refused_reason = null
    where submitter_id = :submitter_id and receipt_id = :receipt_id and storage_key = :lost_key
""")
_STORED = text("""
    select receipt_id, storage_key, wrapped_key, size_bytes from ingest.receipts
    where submitter_id = any (cast(:submitters as uuid[])) and receipt_id = any (cast(:receipts as uuid[]))
""")


async def add_receipts(engine: AsyncEngine, fresh: Sequence[NewReceipt]) -> list[KeptReceipt]:
    """
    Keep receipts in one transaction, or find the ones of the same bytes.

    Of several with the same bytes, also in other transactions at the same time, exactly one is new. Raises
    KeyReusedError when a key stands for other bytes, IntegrityError for an unknown feed; none is kept then.

    Rows are locked in one order, whatever the order of `fresh`: of two doors that keep the same receipts and
    keys, one waits for the other, and never both for each other.
    """
    in_turn = sorted(fresh, key=lambda one: (one.submitter_id, one.sha256))
    async with transaction(engine, submitters={one.submitter_id for one in fresh}) as connection:
        columns = {name: [getattr(one, name) for one in in_turn] for name in _FRESH_COLUMNS}
        stored = {name: [getattr(one.stored, name) for one in in_turn] for name in _STORED_COLUMNS}
        added = set((await connection.execute(_INSERT, columns | stored)).scalars())
        again = [one for one in in_turn if one.receipt_id not in added]
        for one in again:
            asked = {"submitter_id": one.submitter_id, "sha256": one.sha256}
            await connection.execute(_TRY_AGAIN, {**asked, "defect": DEFECT})
        for one in sorted(again, key=lambda one: (one.submitter_id, one.feed)):
            await note_duplicate(connection, submitter_id=one.submitter_id, name=one.feed)
        hashes = {name: columns[name] for name in ("submitter_id", "sha256")}
        rows = await connection.execute(_BY_HASHES, hashes)
        found = {
            one.receipt_id: dict(row._mapping)  # noqa: SLF001
            for one, row in zip(in_turn, rows, strict=True)
        }
        for one in sorted(fresh, key=lambda one: (one.submitter_id, one.key or "")):
            if one.key is not None:
                await keep_key(
                    connection,
                    submitter_id=one.submitter_id,
                    key=one.key,
                    receipt_id=found[one.receipt_id]["receipt_id"],
                )
    return [KeptReceipt(found[one.receipt_id], is_new=one.receipt_id in added) for one in fresh]


async def finished_receipts(
    engine: AsyncEngine, wanted: Sequence[tuple[UUID, UUID]]
) -> list[tuple[UUID, UUID]]:
    """Give those of (submitter_id, receipt_id) whose files were read or refused."""
    submitters = [submitter_id for submitter_id, _ in wanted]
    asked = {"submitters": submitters, "receipts": [receipt_id for _, receipt_id in wanted]}
    async with transaction(engine, submitters=submitters) as connection:
        return [
            (UUID(bytes=row.submitter_id.bytes), UUID(bytes=row.receipt_id.bytes))
            for row in await connection.execute(_FINISHED, asked)
        ]


async def receipts_of_hashes(
    engine: AsyncEngine, *, submitter_id: UUID, hashes: Sequence[bytes], feed: str | None = None
) -> list[dict[str, Any]]:
    """
    Give the receipts of these bytes (SHA-256); those that the submitter never sent are left out.

    `feed`: the one through which they come again; where one is there, the feed is not silent.
    """
    asked = {"submitter_id": [submitter_id] * len(hashes), "sha256": list(hashes)}
    async with transaction(engine, submitters=[submitter_id]) as connection:
        found = [dict(row._mapping) for row in await connection.execute(_BY_HASHES, asked)]  # noqa: SLF001
        if found and feed is not None:
            await note_duplicate(connection, submitter_id=submitter_id, name=feed)
        return found


async def receipt_summary(engine: AsyncEngine, *, submitter_id: UUID, receipt_id: UUID) -> dict[str, Any]:
    """Give what a submitter may know of its receipt. Raises NotFoundError, for other submitters' too."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        asked = {"submitter_id": submitter_id, "receipt_id": receipt_id}
        found = (await connection.execute(_BY_ID, asked)).one_or_none()
    if found is None:
        raise NotFoundError(
            "You have no such receipt.", remedy="Compare the id with the answer to your push."
        )
    return dict(found._mapping)  # noqa: SLF001


async def due_receipts(engine: AsyncEngine, *, limit: int) -> list[tuple[UUID, UUID]]:
    """Give (submitter_id, receipt_id) of the files that may be read now, those that wait longest first."""
    async with transaction(engine) as connection:
        return [
            (row.submitter_id, row.receipt_id) for row in await connection.execute(_DUE, {"limit": limit})
        ]


async def count_due(engine: AsyncEngine) -> int:
    """Count all files that wait or are being read, also those that may not be read yet."""
    async with transaction(engine) as connection:
        return int(await connection.scalar(_COUNT_DUE) or 0)


async def begin(engine: AsyncEngine, *, submitter_id: UUID, receipt_id: UUID) -> Receipt | None:
    """Count an attempt; None when the file was finished meanwhile. The caller holds the receipt's lock."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        asked = {"submitter_id": submitter_id, "receipt_id": receipt_id}
        row = (await connection.execute(_BEGIN, asked)).one_or_none()
    if row is None:
        return None
    return Receipt(
        submitter_id=UUID(bytes=row.submitter_id.bytes),
        receipt_id=UUID(bytes=row.receipt_id.bytes),
        feed=row.feed,
        received_at=row.received_at,
        attempts=row.attempts,
        processed_before=row.processed_before,
        refuses_tests=row.refuses_tests,
        payer_aliases=row.payer_aliases,
        stored=_stored(row),
    )


async def leave(engine: AsyncEngine, receipt: Receipt) -> None:
    """Take an attempt back that ended for no fault of the file."""
    await _write(engine, _LEAVE, receipt)


async def put_off(engine: AsyncEngine, *, submitter_id: UUID, receipt_id: UUID, seconds: float) -> None:
    """Let a file wait before its next attempt, here and in every other worker."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        asked = {"submitter_id": submitter_id, "receipt_id": receipt_id, "seconds": seconds}
        await connection.execute(_PUT_OFF, asked)


async def fail(engine: AsyncEngine, receipt: Receipt) -> int:
    """
    Count an attempt in which the reader failed; gives how often it did so far.

    The file waits a second before its next attempt, and twice as long after every further failure.
    """
    async with transaction(engine, submitters=[receipt.submitter_id]) as connection:
        asked = {"submitter_id": receipt.submitter_id, "receipt_id": receipt.receipt_id}
        return int((await connection.execute(_FAIL, asked)).scalar_one())


async def finish(engine: AsyncEngine, receipt: Receipt, outcome: Outcome) -> None:
    """Close a receipt with what was found."""
    await _write(
        engine,
        _FINISH,
        receipt,
        status=outcome.status,
        refused_reason=outcome.refused_reason,
        bytes_read=outcome.bytes_read,
        transaction_sets=outcome.transaction_sets,
        claims_read=outcome.claims_read,
        finding_count=outcome.finding_count,
        findings=outcome.findings,
    )


async def give_up(engine: AsyncEngine, receipt: Receipt) -> None:
    """Refuse a file on which the reader fails again and again."""
    await _write(engine, _GIVE_UP, receipt, defect=DEFECT)


async def expire(engine: AsyncEngine, receipt: Receipt, finding: str) -> None:
    """Close a receipt whose file can never be read to its end; `finding`, JSON, says why."""
    await _write(engine, _EXPIRE, receipt, expired=EXPIRED, finding=finding)


async def make_due(engine: AsyncEngine, *, submitter_id: UUID, receipt_id: UUID) -> bool:
    """Let a file be read again; False when it waits already, or can never be read."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        asked = {"submitter_id": submitter_id, "receipt_id": receipt_id}
        result = await connection.execute(_MAKE_DUE, {**asked, "defect": DEFECT, "expired": EXPIRED})
        return bool(result.rowcount)


async def ask_replay(connection: AsyncConnection, *, submitter_id: UUID, receipt_id: UUID) -> bool:
    """Let a file be read again for what its remittances ask; False when its bytes are gone."""
    asked = {"submitter_id": submitter_id, "receipt_id": receipt_id, "defect": DEFECT}
    return await connection.scalar(_ASK_REPLAY, asked) is not None


async def stored_files(
    connection: AsyncConnection, *, submitters: Sequence[UUID], receipts: Sequence[UUID]
) -> dict[UUID, StoredFile]:
    """Give where the files of these receipts lie; those whose key was shredded are left out."""
    found = await connection.execute(_STORED, {"submitters": list(submitters), "receipts": list(receipts)})
    return {row.receipt_id: stored for row in found if (stored := _stored(row)) is not None}


async def stored_file(engine: AsyncEngine, *, submitter_id: UUID, receipt_id: UUID) -> StoredFile | None:
    """Give where a receipt's file lies; None when its key was shredded."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        found = await stored_files(connection, submitters=[submitter_id], receipts=[receipt_id])
    return found.get(receipt_id)


async def replace_file(
    engine: AsyncEngine, *, submitter_id: UUID, receipt_id: UUID, lost: StoredFile, fresh: StoredFile
) -> bool:
    """Let a receipt have another copy of its bytes, to be read again; False when it has one already."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        replaced = await connection.execute(
            _REPLACE,
            {
                "submitter_id": submitter_id,
                "receipt_id": receipt_id,
                "lost_key": lost.storage_key,
                "storage_key": fresh.storage_key,
                "wrapped_key": fresh.wrapped_key,
            },
        )
    return bool(replaced.rowcount)


def _stored(row: Any) -> StoredFile | None:
    if row.wrapped_key is None:
        return None
    return StoredFile(row.storage_key, row.wrapped_key, row.size_bytes)


async def _write(engine: AsyncEngine, statement: Any, receipt: Receipt, **columns: Any) -> None:
    async with transaction(engine, submitters=[receipt.submitter_id]) as connection:
        await connection.execute(
            statement, {"submitter_id": receipt.submitter_id, "receipt_id": receipt.receipt_id, **columns}
        )
