"""Asking that remittances be read again: the mark on each, and their files made due."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ingest.domain.events import READER_REVISION
from services.ingest.store import receipts
from services.ingest.store.audit import audit
from shared.postgres import transaction

_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """
    Which remittances to read again; what is set holds together.

    `quarantined`: those with claims that nobody could read. `outdated`: those that an older reader read.
    """

    remittance_id: UUID | None = None
    receipt_id: UUID | None = None
    quarantined: bool = False
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """How many remittances are read again, and of how many the file is gone."""

    asked: int
    unreadable: int


_SELECT = text("""
    select organization_id, remittance_id, submitter_id, receipt_id from ingest.remittances
    where released_at is not null
        and (organization_id, remittance_id) > (cast(:organization as uuid), cast(:remittance as uuid))
        and (cast(:only as uuid) is null or remittance_id = cast(:only as uuid))
        and (cast(:of_receipt as uuid) is null or receipt_id = cast(:of_receipt as uuid))
        and (not :quarantined or quarantined > 0)
        and (not :outdated or reader_revision < :reader_revision)
    order by organization_id, remittance_id
    limit :limit
""")
_MARK = text("update ingest.remittances set replay_asked_at = now() where remittance_id = :remittance_id")


async def ask_replays(
    engine: AsyncEngine, selection: Selection, *, organizations: Collection[UUID], by: UUID
) -> Asked:
    """Have what is selected read again by the worker. May be repeated, also while it is being read."""
    asked = unreadable = 0
    place = {"organization": UUID(int=0), "remittance": UUID(int=0)}
    wanted = {
        "only": selection.remittance_id,
        "of_receipt": selection.receipt_id,
        "quarantined": selection.quarantined,
        "outdated": selection.outdated,
        "reader_revision": READER_REVISION,
        "limit": _AT_ONCE,
    }
    while True:
        async with transaction(engine, organizations=organizations) as connection:
            page = (await connection.execute(_SELECT, {**wanted, **place})).all()
        for row in page:
            async with transaction(
                engine, organizations=[row.organization_id], submitters=[row.submitter_id]
            ) as connection:
                if await mark_replay(connection, row.remittance_id, row.submitter_id, row.receipt_id):
                    asked += 1
                    await audit(
                        connection,
                        "replay_asked",
                        organization_id=row.organization_id,
                        principal_id=by,
                        subject_id=row.remittance_id,
                    )
                else:
                    unreadable += 1
        if len(page) < _AT_ONCE:
            return Asked(asked, unreadable)
        place = {"organization": page[-1].organization_id, "remittance": page[-1].remittance_id}


async def mark_replay(
    connection: AsyncConnection, remittance_id: UUID, submitter_id: UUID, receipt_id: UUID
) -> bool:
    """Mark a remittance and make its file due, in one transaction; False when the bytes are gone."""
    due = await receipts.ask_replay(connection, submitter_id=submitter_id, receipt_id=receipt_id)
    if due:
        await connection.execute(_MARK, {"remittance_id": remittance_id})
    return due
