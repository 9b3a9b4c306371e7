"""The ledger: every decision that arrived, once, in the words in which it arrived. Rows are never changed."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.domain.observations import DecisionEvent
from shared.contracts.claim_outcome_seen import ClaimOutcomeSeen
from shared.contracts.denial_triaged import DenialTriaged


class LedgerKey(NamedTuple):
    """The primary key of the ledger: the arbiter of what is new."""

    organization_id: UUID
    event_id: UUID
    revision: int
    decision_revision: int


class ClaimKey(NamedTuple):
    """A claim key behind its wall: what is folded as one."""

    organization_id: UUID
    claim_key: UUID


def ledger_key(event: DecisionEvent) -> LedgerKey:
    return LedgerKey(event.organization_id, event.event_id, event.revision, event.decision_revision)


def claim_key(event: DecisionEvent) -> ClaimKey:
    return ClaimKey(event.organization_id, event.claim_key)


async def record(
    connection: AsyncConnection, decisions: Sequence[tuple[DecisionEvent, bytes]]
) -> tuple[frozenset[LedgerKey], dict[ClaimKey, list[bytes]]]:
    """
    Write decisions, each with its payload, and give which of them are new.

    Also gives, for the claim keys with something new, what the ledger held before: the newest payload of each
    event. A repeated batch costs no more than the look that finds nothing new. The shards must be locked.
    """
    found = await connection.execute(_RECORD, _columns(decisions))
    new: set[LedgerKey] = set()
    before: dict[ClaimKey, list[bytes]] = {}
    for row in found:
        if row.payload is None:
            new.add(LedgerKey(row.organization_id, row.event_id, row.revision, row.decision_revision))
        else:
            before.setdefault(ClaimKey(row.organization_id, row.claim_key), []).append(row.payload)
    return frozenset(new), before


def _columns(decisions: Sequence[tuple[DecisionEvent, bytes]]) -> dict[str, list[Any]]:
    return {
        "organization_ids": [event.organization_id for event, _ in decisions],
        "event_ids": [event.event_id for event, _ in decisions],
        "revisions": [event.revision for event, _ in decisions],
        "decision_revisions": [event.decision_revision for event, _ in decisions],
        "decision_ids": [event.decision_id for event, _ in decisions],
        "claim_keys": [event.claim_key for event, _ in decisions],
        "types": [type(event).__name__ for event, _ in decisions],
        "payloads": [payload for _, payload in decisions],
        "charge_amounts": [event.charge_amount for event, _ in decisions],
        "denied_amounts": [_denied_amount(event) for event, _ in decisions],
    }


def _denied_amount(event: DecisionEvent) -> Decimal:
    return (
        sum((one.amount for one in event.denied), Decimal(0))
        if isinstance(event, DenialTriaged)
        else Decimal(0)
    )


async def stay_on_indexes(connection: AsyncConnection) -> None:
    """
    Plan this transaction's statements for a large ledger.

    A prepared plan made while the tables were small reads them whole, and is kept long after they grew.
    """
    await connection.execute(text("select set_config('enable_seqscan', 'off', true)"))


# One statement sees one snapshot: the ledger as it was before the insert, so that new rows are not read back.
# The lateral join looks each key up; a join that the planner may choose would read the whole organization.
# The wall names the organization already: saying it twice misleads the planner to just that (see cases.py).
_RECORD = text("""
    with inserted as (
        insert into tracker.ledger (organization_id, event_id, revision, decision_revision, decision_id,
            claim_key, type, payload, charge_amount, denied_amount)
        select * from unnest(cast(:organization_ids as uuid[]), cast(:event_ids as uuid[]),
            cast(:revisions as integer[]), cast(:decision_revisions as integer[]),
            cast(:decision_ids as uuid[]), cast(:claim_keys as uuid[]),
            cast(:types as text[]), cast(:payloads as bytea[]),
            cast(:charge_amounts as numeric[]), cast(:denied_amounts as numeric[]))
        on conflict do nothing
        returning organization_id, event_id, revision, decision_revision, claim_key
    )
    select organization_id, claim_key, event_id, revision, decision_revision, cast(null as bytea) as payload
    from inserted
    union all
    select known.organization_id, touched.claim_key, known.event_id, known.revision,
        known.decision_revision, known.payload
    from (select distinct claim_key from inserted) as touched
    cross join lateral (
        select distinct on (l.event_id)
            l.organization_id, l.event_id, l.revision, l.decision_revision, l.payload
        from tracker.ledger l
        where l.claim_key = touched.claim_key
        order by l.event_id, l.revision desc, l.decision_revision desc
    ) as known
""")


class Entry(NamedTuple):
    """A decision as it stands in the ledger, and since when it stands there."""

    event: DecisionEvent
    recorded_at: datetime


_decoders: dict[str, msgspec.json.Decoder[DecisionEvent]] = {
    "DenialTriaged": msgspec.json.Decoder(DenialTriaged),
    "ClaimOutcomeSeen": msgspec.json.Decoder(ClaimOutcomeSeen),
}


async def decisions_of(
    connection: AsyncConnection, organization_id: UUID, event_ids: Collection[UUID]
) -> list[Entry]:
    """Give every decision ever recorded for these events, in the order of their recording."""
    found = await connection.execute(
        text("""
            select type, payload, recorded_at from tracker.ledger
            where organization_id = :organization_id and event_id = any (cast(:event_ids as uuid[]))
            order by recorded_at, event_id, revision, decision_revision
        """),
        {"organization_id": organization_id, "event_ids": list(event_ids)},
    )
    return [Entry(_decoders[row.type].decode(row.payload), row.recorded_at) for row in found]


async def denials_among(
    connection: AsyncConnection, organization_id: UUID, event_ids: Collection[UUID]
) -> list[UUID]:
    """Give those of the events whose newest reading denies something."""
    found = await connection.execute(
        text("""
            select event_id from (
                select distinct on (event_id) event_id, type from tracker.ledger
                where organization_id = :organization_id and event_id = any (cast(:event_ids as uuid[]))
                order by event_id, revision desc, decision_revision desc
            ) as newest where type = 'DenialTriaged'
        """),
        {"organization_id": organization_id, "event_ids": list(event_ids)},
    )
    return [UUID(str(one)) for one in found.scalars()]


def organizations_of(decisions: Iterable[DecisionEvent]) -> frozenset[UUID]:
    return frozenset(event.organization_id for event in decisions)
