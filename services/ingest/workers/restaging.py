"""
Reading a released set again: what the present reader reads otherwise becomes a higher revision.

A claim is known by the byte at which it begins, and keeps the id that it was given first: so a fix of the
reader mends what was said of a claim, and never makes two of it. What reads as before is left as it is.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import get_args
from uuid import UUID

import structlog
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ingest.domain.claim import Claim, ClaimKind
from services.ingest.domain.events import ClaimEvent, event_or_quarantine
from services.ingest.domain.identity import event_id_as
from services.ingest.domain.remittance import ClaimQuarantined
from services.ingest.domain.revisions import revised
from services.ingest.store import claims, events, quarantine, remittances, rereading
from services.ingest.store.claims import ClaimRow
from services.ingest.store.rereading import KeptClaim
from services.ingest.workers.batches import ClaimBatch, Destination, PreparedBatch, context_of
from services.ingest.workers.staging import StagedSet, write_denials
from shared.kafka.outbox import Message
from shared.postgres import transaction

log = structlog.get_logger()


@dataclass(slots=True)
class _Changes:
    """What a batch changes of the kept claims; `left` are those of which the new reading makes nothing."""

    rows: list[tuple[ClaimRow, bool]] = field(default_factory=list)
    messages: list[tuple[ClaimRow, Message, Decimal]] = field(default_factory=list)
    left: dict[int, KeptClaim] = field(default_factory=dict)


async def restage(engine: AsyncEngine, staged: StagedSet, batch: ClaimBatch, prepared: PreparedBatch) -> None:
    """Compare one batch with what is kept of it, and write the differences in one transaction."""
    remittance = staged.remittance
    remittance_id = remittance.remittance_id
    read = dict(zip([row.byte_offset for row in prepared.rows], batch.claims, strict=True))
    offsets = [*read, *(one.byte_offset for one in batch.quarantined)]
    async with transaction(engine, organizations=[remittance.organization_id]) as connection:
        if not staged.in_database:
            await remittances.reopen_remittance(connection, remittance)
        kept = await rereading.kept_at(connection, remittance_id=remittance_id, offsets=offsets)
        sent = await rereading.last_sent(connection, [one.event_id for one in kept.values() if one.evented])
        changes = await asyncio.to_thread(_changes, staged.destination, batch, prepared.rows, kept, sent)
        changes.left |= {
            one.byte_offset: kept[one.byte_offset] for one in batch.quarantined if one.byte_offset in kept
        }
        duplicates = await _write_new(connection, staged, prepared, read, kept)
        await _write_changes(connection, remittance_id, changes)
        await _account_quarantine(connection, staged, batch, prepared, kept)
        staged.count(batch, duplicates, changes.left)
        if batch.closed:
            await remittances.release_remittance(connection, remittance, staged.totals(batch.closed))
    staged.in_database = True
    if changes.rows:
        log.info(
            "claims_reread",
            remittance_id=remittance_id,
            claims=len(changes.rows),
            events=len(changes.messages),
        )


def _changes(
    destination: Destination,
    batch: ClaimBatch,
    rows: Sequence[ClaimRow],
    kept: Mapping[int, KeptClaim],
    sent: Mapping[UUID, ClaimEvent],
) -> _Changes:
    """Find the kept claims that read otherwise now. Makes events, so it stands in a thread."""
    changes = _Changes()
    for fresh, claim in zip(rows, batch.claims, strict=True):
        if (old := kept.get(fresh.byte_offset)) is None:
            continue
        evented = old.evented or fresh.kind == "denied"
        row = replace(fresh, event_id=old.event_id, revision=old.revision + 1)
        event: ClaimEvent | None = None
        if evented and (old.event_id in sent or not old.evented):
            context = context_of(claim, batch, destination.context)
            made = event_or_quarantine(claim, destination.header, context, destination.sealer)
            if isinstance(made, ClaimQuarantined):
                log.error("replay_left", event_id=old.event_id, kind=claim.kind, exc_info=made.defect)
                changes.left[fresh.byte_offset] = old
                continue
            event = revised(sent.get(old.event_id), made, event_id=old.event_id, revision=row.revision)
        if event is not None:
            changes.messages.append((row, Message.of(event), claim.denied_amount))
        if event is not None or not old.says(fresh):
            changes.rows.append((row if event is not None else replace(row, revision=old.revision), evented))
    return changes


async def _write_new(
    connection: AsyncConnection,
    staged: StagedSet,
    prepared: PreparedBatch,
    read: Mapping[int, Claim],
    kept: Mapping[int, KeptClaim],
) -> frozenset[int]:
    """Write the claims of which nothing is kept here; gives the positions of those kept elsewhere."""
    remittance, header = staged.remittance, staged.destination.header
    new = [row for row in prepared.rows if row.byte_offset not in kept]
    if not new:
        return frozenset()
    # A duplicate has no row here. It stays one, also where a newer reader takes it for another kind.
    ids = {
        row.position: [
            event_id_as(remittance.organization_id, header, read[row.byte_offset], kind)
            for kind in get_args(ClaimKind)
        ]
        for row in new
    }
    known = await rereading.known_elsewhere(connection, [one for several in ids.values() for one in several])
    duplicates = frozenset(position for position, several in ids.items() if known.intersection(several))
    written = await claims.write_claims(
        connection,
        [row for row in new if row.position not in duplicates],
        organization_id=remittance.organization_id,
        remittance_id=remittance.remittance_id,
    )
    denials = [denial for denial in prepared.denials if denial.row.position in written.new]
    await write_denials(connection, remittance, denials, staged=False)
    return duplicates | written.duplicates


async def _write_changes(connection: AsyncConnection, remittance_id: UUID, changes: _Changes) -> None:
    await rereading.update_claims(connection, changes.rows)
    await events.write_events(
        connection,
        [message for _, message, _ in changes.messages],
        remittances=[remittance_id] * len(changes.messages),
        charges=[row.charge_amount for row, _, _ in changes.messages],
        denied=[denied for _, _, denied in changes.messages],
    )


async def _account_quarantine(
    connection: AsyncConnection,
    staged: StagedSet,
    batch: ClaimBatch,
    prepared: PreparedBatch,
    kept: Mapping[int, KeptClaim],
) -> None:
    remittance = staged.remittance
    await quarantine.keep_quarantined(
        connection,
        [one for one in batch.quarantined if one.byte_offset not in kept],
        organization_id=remittance.organization_id,
        remittance_id=remittance.remittance_id,
    )
    ids = {
        row.byte_offset: kept[row.byte_offset].event_id if row.byte_offset in kept else row.event_id
        for row in prepared.rows
    }
    await quarantine.close_quarantined(
        connection, remittance_id=remittance.remittance_id, events=ids, released=batch.corrected
    )
