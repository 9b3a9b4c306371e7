"""The ledger: every decision that arrived, once, in the words in which it arrived, until they are purged."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.domain.observations import DecisionEvent, Observation
from shared.contracts.claim_outcome_seen import ClaimOutcomeSeen
from shared.contracts.denial_triaged import DenialTriaged
from shared.postgres.arrays import array_of, columns
from shared.postgres.bundles import bundle, payload_of


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


def ledger_key(event: Observation) -> LedgerKey:
    return LedgerKey(event.organization_id, event.event_id, event.revision, event.decision_revision)


def claim_key(event: Observation) -> ClaimKey:
    return ClaimKey(event.organization_id, event.claim_key)


Decisions = Mapping[LedgerKey, tuple[Observation, bytes]]
"""Decisions, each with the payload in which it came."""


async def record(
    connection: AsyncConnection, decisions: Decisions
) -> tuple[list[Observation], dict[ClaimKey, list[bytes]]]:
    """
    Write decisions, and give which of them are new.

    Also gives, for the claim keys with something new, what the ledger held before: the newest payload of each
    event, empty where it was purged. A repeated batch costs no more than the look that finds nothing new.
    The shards must be locked.
    """
    found = await connection.execute(_RECORD, _columns(decisions))
    new_rows = 0
    new: list[LedgerKey] = []
    before: dict[ClaimKey, list[bytes]] = {}
    for row in found:
        new_rows = row.new_rows
        if row.place is not None:
            payload = payload_of(row) if row.bundle is not None else b""
            before.setdefault(ClaimKey(row.organization_id, row.claim_key), []).append(payload)
        elif row.event_id is not None:
            new.append(LedgerKey(row.organization_id, row.event_id, row.revision, row.decision_revision))
    if new_rows == len(decisions):
        return [event for event, _ in decisions.values()], before
    return [decisions[key][0] for key in new], before


def _columns(decisions: Decisions) -> dict[str, Any]:
    events = [event for event, _ in decisions.values()]
    organizations = [event.organization_id for event in events]
    payloads = [payload for _, payload in decisions.values()]
    bundled = bundle(organizations, payloads)
    return {
        **{name: bundled[name] for name in ("bundle_organizations", "bundle_ids", "bundles")},
        "number": array_of(bundled["numbers"]),
        "place": array_of(bundled["places"]),
        "organization_id": organizations,
        "event_id": [event.event_id for event in events],
        "revision": array_of([event.revision for event in events]),
        "decision_revision": array_of([event.decision_revision for event in events]),
        "decision_id": [event.decision_id for event in events],
        "claim_key": [event.claim_key for event in events],
        "type": array_of([_type_of(event) for event in events]),
        "charge_amount": array_of([event.charge_amount for event in events]),
        "denied_amount": array_of([event.denied_amount for event in events]),
        "received_on": array_of([event.received_on for event in events]),
        "size": array_of([len(payload) for payload in payloads]),
        "given": len(events),
    }


_GIVEN = {
    "organization_id": "uuid",
    "event_id": "uuid",
    "revision": "integer",
    "decision_revision": "integer",
    "decision_id": "uuid",
    "claim_key": "uuid",
    "type": "text",
    "charge_amount": "numeric",
    "denied_amount": "numeric",
    "received_on": "date",
    "size": "integer",
    "number": "integer",
    "place": "smallint",
}


def _type_of(event: Observation) -> str:
    return DenialTriaged.__name__ if event.is_denial else ClaimOutcomeSeen.__name__


# One statement sees one snapshot: the ledger as it was before the insert, so that new rows are not read back.
# Mostly all are new, and then it is enough to count them.
# The lateral join looks each key up; a join that the planner may choose would read the whole organization.
# The wall names the organization already: saying it twice misleads the planner to just that (see cases.py).
_RECORD = text(f"""
    with inserted as (
        insert into tracker.ledger (organization_id, event_id, revision, decision_revision, decision_id,
            claim_key, type, charge_amount, denied_amount, received_on, size, bundle_id, place)
        select organization_id, event_id, revision, decision_revision, decision_id, claim_key, type,
            charge_amount, denied_amount, received_on, size, (cast(:bundle_ids as uuid[]))[number], place
        from ({columns(**_GIVEN)}) as given
        on conflict do nothing
        returning organization_id, event_id, revision, decision_revision, claim_key, bundle_id
    ),
    kept as (
        insert into tracker.ledger_bundles (organization_id, bundle_id, payloads)
        select * from unnest(cast(:bundle_organizations as uuid[]), cast(:bundle_ids as uuid[]),
            cast(:bundles as bytea[])) as made(organization_id, bundle_id, payloads)
        where bundle_id in (select bundle_id from inserted)
    ),
    counted as (select count(*) as new_rows from inserted)
    select counted.new_rows, found.* from counted left join (
        select organization_id, claim_key, event_id, revision, decision_revision,
            cast(null as bytea) as bundle, cast(null as smallint) as place
        from inserted
        where (select new_rows from counted) < cast(:given as integer)
        union all
        select known.organization_id, touched.claim_key, known.event_id, known.revision,
            known.decision_revision, b.payloads, known.place
        from (select distinct claim_key from inserted) as touched
        cross join lateral (
            select distinct on (l.event_id)
                l.organization_id, l.event_id, l.revision, l.decision_revision, l.bundle_id, l.place
            from tracker.ledger l
            where l.claim_key = touched.claim_key
            order by l.event_id, l.revision desc, l.decision_revision desc
        ) as known
        left join lateral (
            select payloads from tracker.ledger_bundles b
            where b.organization_id = known.organization_id and b.bundle_id = known.bundle_id
            limit 1
        ) as b on true
    ) as found on true
""")


async def newest_payloads(connection: AsyncConnection, claim_key: UUID) -> list[bytes]:
    """Give the newest payload of each event of a claim key, empty where it was purged."""
    found = await connection.execute(_NEWEST, {"claim_key": claim_key})
    return [payload_of(row) if row.bundle is not None else b"" for row in found]


_NEWEST = text("""
    select b.payloads as bundle, known.place
    from (
        select distinct on (l.event_id) l.organization_id, l.bundle_id, l.place
        from tracker.ledger l
        where l.claim_key = :claim_key
        order by l.event_id, l.revision desc, l.decision_revision desc
    ) as known
    left join lateral (
        select payloads from tracker.ledger_bundles b
        where b.organization_id = known.organization_id and b.bundle_id = known.bundle_id
        limit 1
    ) as b on true
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
    """Give every decision recorded for these events that was not purged, in the order of their recording."""
    found = await connection.execute(
        text("""
            select l.type, l.place, b.payloads as bundle, l.recorded_at
            from tracker.ledger l join tracker.ledger_bundles b using (organization_id, bundle_id)
            where organization_id = :organization_id and event_id = any (cast(:event_ids as uuid[]))
            order by recorded_at, event_id, revision, decision_revision
        """),
        {"organization_id": organization_id, "event_ids": list(event_ids)},
    )
    return [Entry(_decoders[row.type].decode(payload_of(row)), row.recorded_at) for row in found]


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


def organizations_of(decisions: Iterable[Observation]) -> frozenset[UUID]:
    return frozenset(event.organization_id for event in decisions)
