"""
Follow-ups: once a claim key has a denial, its other observations become events too, whichever came first.

Every set looks after its own release for what its keys now have. Of two sets that are released at once the
later commit sees the earlier one, so both cannot miss; that both see it is harmless, because rows are locked
and marked. The events are made from the raw bytes, to which each claim's row points.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.domain.correcting import Supplied, corrected_loop
from services.ingest.domain.events import EventContext, event_or_quarantine
from services.ingest.domain.remittance import ClaimQuarantined, SetHeader
from services.ingest.domain.reread import reread_claim
from services.ingest.store import claims, events, receipts, remittances
from services.ingest.store.claims import Observation
from services.ingest.store.quarantine import supplied_for
from services.ingest.workers.payees import Organization
from shared.errors import InvalidInputError, UnreadableError
from shared.kafka.outbox import Message
from shared.postgres import transaction
from shared.security.keyring import Keyring
from shared.security.sealing import Sealer
from shared.storage.vault import StoredFile, Vault, VaultReader

_LOOKED_AT_ONCE = 5000  # positions of the released set
_PROMOTED_AT_ONCE = 500  # events in one transaction

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Source:
    """A remittance that observations stand in: its file and what its events share."""

    stored: StoredFile
    header: SetHeader
    context: EventContext
    sealer: Sealer
    supplied: dict[tuple[UUID, int], tuple[int, Supplied]]


async def follow_up(
    engine: AsyncEngine, vault: Vault, keyring: Keyring, *, organization: Organization, remittance_id: UUID
) -> int:
    """Make events of what waits for a denial in the keys of this released set; gives their number."""
    async with transaction(engine, organizations=[organization.organization_id]) as connection:
        last = await claims.last_position(connection, remittance_id=remittance_id)
    promoted = 0
    for after in range(0, last, _LOOKED_AT_ONCE):
        async with transaction(engine, organizations=[organization.organization_id]) as connection:
            waiting = await claims.waiting_observations(
                connection, remittance_id=remittance_id, after=after, through=after + _LOOKED_AT_ONCE
            )
        for start in range(0, len(waiting), _PROMOTED_AT_ONCE):
            chunk = waiting[start : start + _PROMOTED_AT_ONCE]
            promoted += await _promote(engine, vault, keyring, organization=organization, waiting=chunk)
    return promoted


async def _promote(
    engine: AsyncEngine,
    vault: Vault,
    keyring: Keyring,
    *,
    organization: Organization,
    waiting: Sequence[Observation],
) -> int:
    organization_id = organization.organization_id
    sources = await _sources(engine, keyring, organization=organization, waiting=waiting)
    async with transaction(engine, organizations=[organization_id]) as connection:
        siblings = await claims.earlier_siblings(
            connection,
            waiting,
            remittances=[one.remittance_id for one in waiting],
            received=[_received_at(sources, one) for one in waiting],
        )
    made = await asyncio.to_thread(_read_again, vault, sources, waiting, siblings)
    if not made:
        return 0
    async with transaction(engine, organizations=[organization_id]) as connection:
        free = await claims.lock_waiting(connection, [one for one, _ in made])
        mine = [(one, message) for one, message in made if (one.event_id, one.revision) in free]
        await events.write_events(
            connection,
            [message for _, message in mine],
            remittances=[one.remittance_id for one, _ in mine],
            charges=[one.charge_amount for one, _ in mine],
            denied=[Decimal(0)] * len(mine),
        )
        await claims.mark_evented(connection, [one for one, _ in mine])
    return len(mine)


async def _sources(
    engine: AsyncEngine, keyring: Keyring, *, organization: Organization, waiting: Sequence[Observation]
) -> dict[UUID, _Source]:
    """Give the remittances of the observations that are released and whose raw file may still be read."""
    wanted = {one.remittance_id for one in waiting}
    organization_id = organization.organization_id
    async with transaction(engine, organizations=[organization_id]) as connection:
        found = await remittances.remittance_sources(connection, remittances=list(wanted))
        supplied = await supplied_for(connection, remittances=wanted)
    submitters = {row.submitter_id for row in found}
    async with transaction(engine, submitters=submitters) as connection:
        stored = await receipts.stored_files(
            connection, submitters=list(submitters), receipts=[row.receipt_id for row in found]
        )
    sources: dict[UUID, _Source] = {}
    for row in found:
        if row.receipt_id in stored:
            received_on = row.received_at.astimezone(organization.zone).date()
            context = EventContext(
                organization_id=organization_id,
                remittance_id=_plain(row.remittance_id),
                received_at=row.received_at,
                received_on=received_on,
                submitter_id=_plain(row.submitter_id),
                feed=row.feed,
                receipt_id=_plain(row.receipt_id),
                truncated=row.truncated,
            )
            header = msgspec.json.decode(row.header, type=SetHeader)
            try:
                sealer = await keyring.sealer(organization_id, received_on)
            except InvalidInputError:  # the key of its month was deleted: what it sealed is gone on purpose
                log.exception("follow_up_source_sealed", remittance_id=row.remittance_id, month=received_on)
                continue
            sources[row.remittance_id] = _Source(stored[row.receipt_id], header, context, sealer, supplied)
    return sources


def _received_at(sources: dict[UUID, _Source], observation: Observation) -> datetime | None:
    source = sources.get(observation.remittance_id)
    return source.context.received_at if source else None


def _read_again(
    vault: Vault,
    sources: dict[UUID, _Source],
    waiting: Sequence[Observation],
    siblings: dict[UUID, UUID],
) -> list[tuple[Observation, Message]]:
    """Read the claims' bytes and make their events; `waiting` is ordered by remittance and offset."""
    made: list[tuple[Observation, Message]] = []
    for remittance_id in dict.fromkeys(one.remittance_id for one in waiting):
        if (source := sources.get(remittance_id)) is None:
            log.info("follow_up_left", remittance_id=remittance_id)  # released later, it looks for itself
            continue
        of_source = [one for one in waiting if one.remittance_id == remittance_id]
        try:
            with vault.open(source.stored) as reader:
                for one in of_source:
                    made.extend(_event(source, one, reader, siblings.get(one.event_id)))
        except InvalidInputError:
            # Its claims wait, and the reconciliation shows them: a lost old file must not stop a new one.
            log.exception("follow_up_source_lost", remittance_id=remittance_id, waiting=len(of_source))
    return made


def _event(
    source: _Source, one: Observation, reader: VaultReader, sibling_id: UUID | None
) -> list[tuple[Observation, Message]]:
    _, supplied = source.supplied.get((one.remittance_id, one.byte_offset), (0, None))
    context = msgspec.structs.replace(
        source.context,
        revision=one.revision,
        possible_duplicate_of=_plain(sibling_id) if sibling_id else None,
        supplied=supplied.names if supplied else (),
    )
    loop = reader.read(one.byte_offset, one.byte_length)
    if supplied:
        loop = corrected_loop(loop, source.header.delimiters, supplied)
    try:
        claim = reread_claim(
            source.header,
            loop,
            position=one.position,
            ordinal=one.ordinal,
            byte_offset=one.byte_offset,
            truncated=context.truncated,
        )
    except UnreadableError:
        # It was readable once, so the bytes or the reader changed: the row stays, and is reconciled as it is.
        log.exception("follow_up_unreadable", event_id=one.event_id, remittance_id=one.remittance_id)
        return []
    if claim.kind != one.kind:  # the reader changed: what was a payment must not go out as a denial
        log.error(
            "follow_up_differs", event_id=one.event_id, remittance_id=one.remittance_id, kind=claim.kind
        )
        return []
    event = event_or_quarantine(claim, source.header, context, source.sealer)
    if isinstance(event, ClaimQuarantined):
        log.error(
            "follow_up_failed",
            event_id=one.event_id,
            remittance_id=one.remittance_id,
            exc_info=event.defect,
        )
        return []
    if event.event_id != one.event_id:  # a newer reader: what was read once keeps the id it was given then
        event = msgspec.structs.replace(event, event_id=_plain(one.event_id))
    return [(one, Message.of(event))]


def _plain(found: UUID) -> UUID:
    """Make a UUID of the database's own kind a plain one, which every encoder knows."""
    return UUID(bytes=found.bytes)
