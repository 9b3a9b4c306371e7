"""The decisions. Their rows are the outbox: they are sent until the tracker's receipt settles them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.triage.store.events import EventKey, denied_amount, key_of
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.claim_outcome_seen import ClaimOutcomeSeen
from shared.contracts.decision import Decision
from shared.contracts.denial_triaged import DenialTriaged, Triaged
from shared.kafka.outbox import Message, MessageId, OutboxTable, insert_messages
from shared.kafka.parcels import payloads_of
from shared.kafka.received import Received
from shared.kafka.stamps import make_due
from shared.values import derived, shard_of

DECISIONS = OutboxTable(service="triage", name="triage.decisions")

NOTHING_RECEIVED: Mapping[Any, Received] = MappingProxyType({})

SETTLED_SECONDS_MIN = 30
"""A decision settled more recently is not sent again: whoever seems to miss its receipt will have it soon."""

# One look into the index per event, whatever the planner believes of the table's size.
_LATEST = """
    select latest.*
    from unnest(cast(:organizations as uuid[]), cast(:events as uuid[]), cast(:revisions as integer[]))
        as wanted(organization_id, event_id, event_revision)
    cross join lateral (
        select d.organization_id, d.message_id, d.revision from triage.decisions d
        where (d.organization_id, d.event_id, d.event_revision)
            = (wanted.organization_id, wanted.event_id, wanted.event_revision)
        order by d.revision desc
        limit 1
    ) latest
"""

_SETTLED = text(f"""
    select d.organization_id, d.message_id, d.revision from triage.decisions d
    join ({_LATEST}) latest using (organization_id, message_id, revision)
    where d.settled_at < now() - make_interval(secs => :seconds)
""")

_PARKED = text(f"""
    select d.organization_id, d.event_id, d.event_revision, d.parked_reason from triage.decisions d
    join ({_LATEST}) latest using (organization_id, message_id, revision)
    where d.parked_at is not null and d.settled_at is null
""")

_DECIDED = text(f"""
    select d.organization_id, d.event_id, d.event_revision, d.revision from triage.decisions d
    join ({_LATEST}) latest using (organization_id, message_id, revision)
""")

_OF_EVENT = text("""
    select p.types[d.place] as type, d.event_revision, d.revision, d.place, p.payloads, p.ends, d.created_at,
        case when d.settled_at is not null then 'settled'
            when d.parked_at is not null then 'parked' else 'open' end as state
    from triage.decisions d
    join triage.decisions_parcels p using (organization_id, parcel_id)
    where d.organization_id = any (cast(:organizations as uuid[])) and d.event_id = :event
    order by d.event_revision desc, d.revision desc
""")


_HAS_DECIDED = text("select exists (select 1 from triage.decisions where event_id = :event)")


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision as it was sent: `payload` is its JSON, `state` open, settled or parked."""

    type: str
    event_revision: int
    decision_revision: int
    payload: bytes
    created_at: datetime
    state: str


def decision_id(event_id: UUID, revision: int, decision_revision: int) -> UUID:
    """Identify a decision: always the same for an event, its revision and the decision's own."""
    return derived(event_id, f"{revision}:{decision_revision}")


async def insert_decisions(
    connection: AsyncConnection,
    decisions: Sequence[Triaged | ClaimOutcomeSeen],
    received: Mapping[Any, Received] = NOTHING_RECEIVED,
) -> None:
    """
    Keep decisions and make them due, in their order.

    `received` is how the events came, by key, where at hand: their bytes and traces go on as they are.
    """
    events = [one.event if isinstance(one, Triaged) else one for one in decisions]
    made = [one.decision if isinstance(one, Triaged) else None for one in decisions]
    await insert_messages(
        connection,
        DECISIONS,
        [_message(one, received.get(key)) for one, key in zip(decisions, map(key_of, events), strict=True)],
        extra={
            "event_id": ("uuid", [one.event_id for one in events]),
            "event_revision": ("integer", [one.revision for one in events]),
            "charge_amount": ("numeric", [one.charge_amount for one in events]),
            "denied_amount": ("numeric", [denied_amount(one) for one in events]),
            "category": ("text", [one.category if one else None for one in made]),
            "auth_related": ("boolean", [one is not None and one.auth_related for one in made]),
            "policy_id": ("text", [one.payer_match if one else None for one in made]),
        },
    )


def _message(one: Triaged | ClaimOutcomeSeen, received: Received | None) -> Message:
    trace_parent = None if received is None else received.envelope.trace_parent
    if isinstance(one, ClaimOutcomeSeen):
        return Message.of(one, trace_parent=trace_parent)
    event, decision = one
    return Message(
        organization_id=event.organization_id,
        message_id=decision.decision_id,
        revision=decision.decision_revision,
        type=DenialTriaged.__name__,
        topic=DenialTriaged.topic,
        message_key=event.claim_key,
        shard=shard_of(event.claim_key),
        payload=one.as_json(None if received is None else received.record.value),
        trace_parent=trace_parent,
    )


async def send_again(connection: AsyncConnection, keys: Collection[EventKey]) -> int:
    """
    Make the latest decision of each event due again if it was settled; gives how many.

    Whoever repeats an event misses its receipt, and the tracker gives one for every decision that it sees.
    """
    if not keys:
        return 0
    # Only what is settled is sent again: what is open goes again by itself, what is parked waits for people.
    # Anew, so that these wait for room in the window: a topic that is read again from its beginning asks for
    # everything at once.
    settled = await connection.execute(_SETTLED, {**_arrays(keys), "seconds": SETTLED_SECONDS_MIN})
    return await make_due(connection, DECISIONS, [MessageId(*row) for row in settled], anew=True)


async def parked_among(connection: AsyncConnection, keys: Collection[EventKey]) -> dict[EventKey, str]:
    """Of these events, give those whose latest decision is parked, with the reason."""
    if not keys:
        return {}
    found = await connection.execute(_PARKED, _arrays(keys))
    return {(row.organization_id, row.event_id, row.event_revision): row.parked_reason for row in found}


async def undecided_among(connection: AsyncConnection, keys: Collection[EventKey]) -> set[EventKey]:
    """Of these events, give those that have no decision: it was lost, since both are kept together."""
    if not keys:
        return set()
    return set(keys) - (await decided_among(connection, keys)).keys()


async def decided_among(connection: AsyncConnection, keys: Collection[EventKey]) -> dict[EventKey, int]:
    """Of these events, give those that have a decision, with the highest revision of it."""
    if not keys:
        return {}
    found = await connection.execute(_DECIDED, _arrays(keys))
    return {(row.organization_id, row.event_id, row.event_revision): row.revision for row in found}


async def has_decided(connection: AsyncConnection, event_id: UUID) -> bool:
    """Tell whether an event was decided, though its decisions may have been purged."""
    return bool(await connection.scalar(_HAS_DECIDED, {"event": event_id}))


async def decisions_of(
    connection: AsyncConnection, organizations: Sequence[UUID], event_id: UUID
) -> list[StoredDecision]:
    """Give the decisions of an event that were not purged, the newest first."""
    found = await connection.execute(_OF_EVENT, {"organizations": list(organizations), "event": event_id})
    return [
        StoredDecision(
            type=row.type,
            event_revision=row.event_revision,
            decision_revision=row.revision,
            payload=payloads_of(row)[row.place - 1],
            created_at=row.created_at,
            state=row.state,
        )
        for row in found
    ]


async def latest_denial(
    connection: AsyncConnection, organization: UUID, event_id: UUID
) -> tuple[ClaimDenied, Decision] | None:
    """Give a denial as it was last read, and its latest decision; None for what is no denial."""
    found = await decisions_of(connection, [organization], event_id)
    if not found or found[0].type != "DenialTriaged":
        return None
    return _denial.decode(found[0].payload), _decision.decode(found[0].payload)


_denial, _decision = msgspec.json.Decoder(ClaimDenied), msgspec.json.Decoder(Decision)


def _arrays(keys: Collection[EventKey]) -> dict[str, Any]:
    organizations, events, revisions = zip(*sorted(keys), strict=True)
    return {"organizations": list(organizations), "events": list(events), "revisions": list(revisions)}
