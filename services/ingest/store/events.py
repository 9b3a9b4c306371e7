"""Claim events: the outbox of ingest. Staged while their transaction set streams, due from its release on."""

from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.base import encode
from shared.contracts.claim import ClaimObserved
from shared.contracts.topics import EVENT_TYPES
from shared.kafka.outbox import Message, OutboxTable, insert_messages, join_payloads, release_staged
from shared.kafka.parcels import payloads_of

CLAIM_EVENTS = OutboxTable(service="ingest", name="ingest.claim_events")

_STAGED = text("""
    select parcel_id, types, payloads, ends from ingest.claim_events_parcels
    where staged_for = :remittance_id and due_at = 'infinity' and parcel_id > :after
    order by parcel_id
    limit 1
""")
# What the window counts stays as it was: a payload's length changes by a byte.
_REWRITE = text("""
    update ingest.claim_events_parcels set payloads = :payloads, ends = cast(:ends as integer[])
    where staged_for = :remittance_id and parcel_id = :parcel_id
""")


async def write_events(
    connection: AsyncConnection,
    messages: Sequence[Message],
    *,
    remittances: Sequence[UUID],
    charges: Sequence[Decimal],
    denied: Sequence[Decimal],
    staged_for: UUID | None = None,
) -> None:
    """
    Put events into the outbox; `remittances`, `charges` and `denied` have one entry per message.

    Those `staged_for` a remittance are due once release_events() is called for it.
    """
    await insert_messages(
        connection,
        CLAIM_EVENTS,
        messages,
        staged_for=staged_for,
        extra={
            "remittance_id": ("uuid", remittances),
            "charge_amount": ("numeric", charges),
            "denied_amount": ("numeric", denied),
        },
    )


async def release_events(connection: AsyncConnection, *, remittance_id: UUID) -> None:
    """Make the staged events of a remittance due."""
    await release_staged(connection, CLAIM_EVENTS, remittance_id)


async def mark_truncated(connection: AsyncConnection, *, remittance_id: UUID) -> None:
    """Write into staged events that their set ended without SE: nobody knew when they were staged."""
    after = 0
    while True:
        found = await connection.execute(_STAGED, {"remittance_id": remittance_id, "after": after})
        parcel = found.one_or_none()
        if parcel is None:
            return
        rewritten = [
            _as_truncated(type_, payload)
            for type_, payload in zip(parcel.types, payloads_of(parcel), strict=True)
        ]
        after = parcel.parcel_id
        await connection.execute(
            _REWRITE, {"remittance_id": remittance_id, "parcel_id": after, **join_payloads(rewritten)}
        )


def _as_truncated(type_: str, payload: bytes) -> bytes:
    event = msgspec.json.decode(payload, type=EVENT_TYPES[type_])
    if not isinstance(event, ClaimObserved):
        raise TypeError(type_)
    return encode(msgspec.structs.replace(event, truncated=True))
