"""
The sealed files of cases: what is kept of each. Its key is in its row, its bytes are in the vault.

Bytes that belong to no file (not yet, or not any more) have a row of their own in `tracker.loose_objects`,
which is there before the bytes are, and goes in the transaction that makes them a file's. So whatever is
killed, either a file has its bytes or the sweep finds them.
"""

import asyncio
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.tracker.domain.steps import FileAttached, Made
from services.tracker.store.ledger import ClaimKey
from shared.errors import ReprieveError, UnavailableError
from shared.postgres import transaction
from shared.storage.vault import StoredFile, Vault

UNDER_WAY = timedelta(days=1)
"""An upload that takes longer is given up: the slowest one that is let in takes seven hours."""
_AGAIN = timedelta(hours=1)
_OBJECTS_AT_ONCE = 20

log = structlog.get_logger()

# Of a case and of those that turned out to be parts of it, as in store/steps.py.
_OF_CASE = """
    claim_key = :claim_key and (case_id = :case_id or case_id in (
        select c.case_id from tracker.cases c
        where c.claim_key = :claim_key and c.merged_into = :case_id))
"""
_FILES = text(f"""
    select file_id, case_id, sealed_name, media_type, size_bytes, sha256, attached_at, attached_by,
        removed_at, shredded_at
    from tracker.files where {_OF_CASE} order by attached_at, file_id
""")
_FILE = text(f"""
    select file_id, storage_key, wrapped_key, sealed_name, media_type, size_bytes, removed_at
    from tracker.files where {_OF_CASE} and file_id = :file_id
""")
_ADD = text("""
    insert into tracker.files (organization_id, file_id, case_id, claim_key, storage_key, wrapped_key,
        sealed_name, media_type, size_bytes, sha256, attached_at, attached_by)
    values (:organization_id, :file_id, :case_id, :claim_key, :storage_key, :wrapped_key, :sealed_name,
        :media_type, :size_bytes, :sha256, :attached_at, :attached_by)
""")
_SHRED = """
    with shredded as (
        update tracker.files set wrapped_key = null, sealed_name = null, shredded_at = now(){more}
        where {which} and wrapped_key is not null returning organization_id, storage_key
    )
    insert into tracker.loose_objects (organization_id, storage_key, due_at)
    select organization_id, storage_key, now() from shredded
"""
_REMOVE = text(_SHRED.format(more=", removed_at = now()", which="file_id = :file_id"))
_SHRED_OF_CLAIMS = text(_SHRED.format(more="", which="claim_key = any (cast(:claim_keys as uuid[]))"))
_BEGIN = text("""
    insert into tracker.loose_objects (organization_id, storage_key, due_at)
    values (:organization_id, :storage_key, now() + :under_way)
""")
_TAKE = text("delete from tracker.loose_objects where storage_key = :storage_key and due_at > now()")
_GIVE_UP = text("update tracker.loose_objects set due_at = now() where storage_key = :storage_key")
_DUE = text("select organization_id, storage_key from tracker.due_loose_objects(:limit)")
# Held while its bytes go, so that no upload makes a file of them meanwhile.
_HOLD = text("""
    select storage_key from tracker.loose_objects
    where storage_key = any (cast(:storage_keys as text[])) and due_at <= now()
    for update skip locked
""")
_GONE = text("delete from tracker.loose_objects where storage_key = any (cast(:storage_keys as text[]))")
_LATER = text("""
    update tracker.loose_objects set due_at = now() + :again
    where storage_key = any (cast(:storage_keys as text[]))
""")


async def files_of_case(connection: AsyncConnection, *, claim_key: UUID, case_id: UUID) -> list[RowMapping]:
    """Give what is kept of a case's files, removed ones too, oldest first."""
    found = await connection.execute(_FILES, {"claim_key": claim_key, "case_id": case_id})
    return list(found.mappings())


async def find_file(
    connection: AsyncConnection, *, claim_key: UUID, case_id: UUID, file_id: UUID
) -> RowMapping | None:
    """Give one file of a case, with its key, which is null once it was removed or purged."""
    asked = {"claim_key": claim_key, "case_id": case_id, "file_id": file_id}
    return (await connection.execute(_FILE, asked)).mappings().one_or_none()


async def begin_upload(connection: AsyncConnection, organization_id: UUID, storage_key: str) -> None:
    """Note bytes that are about to come. Commit before they do."""
    await connection.execute(
        _BEGIN, {"organization_id": organization_id, "storage_key": storage_key, "under_way": UNDER_WAY}
    )


async def add_file(
    connection: AsyncConnection,
    key: ClaimKey,
    made: Made,
    step: FileAttached,
    *,
    stored: StoredFile,
    sealed_name: str,
) -> None:
    """Make uploaded bytes the file of a step. Raises UnavailableError where they were given up meanwhile."""
    taken = await connection.execute(_TAKE, {"storage_key": stored.storage_key})
    if not taken.rowcount:
        raise UnavailableError("The file came too slowly, and was given up.", remedy="Send it again.")
    await connection.execute(
        _ADD,
        {
            **key._asdict(),
            "file_id": step.file_id,
            "case_id": made.case_id,
            "storage_key": stored.storage_key,
            "wrapped_key": stored.wrapped_key,
            "sealed_name": sealed_name,
            "media_type": step.media_type,
            "size_bytes": step.size_bytes,
            "sha256": bytes.fromhex(step.sha256),
            "attached_at": made.made_at,
            "attached_by": made.made_by,
        },
    )


async def give_up(engine: AsyncEngine, organization_id: UUID, storage_key: str) -> None:
    """Let the sweep have uploaded bytes, unless they are a file's by now."""
    async with transaction(engine, organizations=[organization_id]) as connection:
        await connection.execute(_GIVE_UP, {"storage_key": storage_key})


async def remove_file(connection: AsyncConnection, file_id: UUID) -> None:
    """Destroy a file's key and name; its bytes go with the next sweep."""
    await connection.execute(_REMOVE, {"file_id": file_id})


async def shred_files_of_claims(connection: AsyncConnection, claim_keys: Collection[UUID]) -> None:
    """Destroy the keys and names of all files of these claims; their bytes go with the next sweep."""
    await connection.execute(_SHRED_OF_CLAIMS, {"claim_keys": list(claim_keys)})


async def clear_loose(engine: AsyncEngine, vault: Vault, *, limit: int = _OBJECTS_AT_ONCE) -> int:
    """Take away bytes that belong to no file; gives how many. What cannot be is tried again in an hour."""
    async with transaction(engine) as connection:
        due = (await connection.execute(_DUE, {"limit": limit})).all()
    if not due:
        return 0
    asked = {"storage_keys": [row.storage_key for row in due]}
    async with transaction(engine, organizations={row.organization_id for row in due}) as connection:
        held = (await connection.execute(_HOLD, asked)).scalars().all()
        stuck = []
        for storage_key in held:
            try:
                await asyncio.to_thread(vault.remove, storage_key)
            except ReprieveError as error:
                log.warning("file_not_cleared", error_class=type(error.__cause__ or error).__name__)
                stuck.append(storage_key)
        gone = [one for one in held if one not in stuck]
        await connection.execute(_GONE, {"storage_keys": gone})
        await connection.execute(_LATER, {"storage_keys": stuck, "again": _AGAIN})
    return len(gone)
