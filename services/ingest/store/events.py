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
from shared.kafka.outbox import Message, OutboxTable, insert_messages, release_staged

CLAIM_EVENTS = OutboxTable(service="ingest", name="ingest.claim_events")

_REWRITTEN_AT_ONCE = 500

_STAGED = text("""
    select message_id, revision, type, payload from ingest.claim_events
    where remittance_id = :remittance_id and due_at = 'infinity'
        and (message_id, revision) > (cast(:after as uuid), :after_revision)
    order by message_id, revision
    limit :limit
""")
_REWRITE = text("""
    update ingest.claim_events e set payload = again.payload, size = length(again.payload)
    from unnest(cast(:ids as uuid[]), cast(:revisions as integer[]), cast(:payloads as bytea[]))
        as again(message_id, revision, payload)
    where (e.message_id, e.revision) = (again.message_id, again.revision)
""")


async def write_events(
    connection: AsyncConnection,
    messages: Sequence[Message],
    *,
    remittances: Sequence[UUID],
    charges: Sequence[Decimal],
    denied: Sequence[Decimal],
    staged: bool,
) -> None:
    """Put events into the outbox; `remittances`, `charges` and `denied` have one entry per message."""
    await insert_messages(
        connection,
        CLAIM_EVENTS,
        messages,
        staged=staged,
        extra={
            "remittance_id": ("uuid", remittances),
            "charge_amount": ("numeric", charges),
            "denied_amount": ("numeric", denied),
        },
    )


async def release_events(connection: AsyncConnection, *, remittance_id: UUID) -> None:
    """Make the staged events of a remittance due."""
    await release_staged(connection, CLAIM_EVENTS, column="remittance_id", value=remittance_id)


async def mark_truncated(connection: AsyncConnection, *, remittance_id: UUID) -> None:
    """Write into staged events that their set ended without SE: nobody knew when they were staged."""
    after, after_revision = UUID(int=0), 0
    while True:
        page = {"after": after, "after_revision": after_revision, "limit": _REWRITTEN_AT_ONCE}
        found = (await connection.execute(_STAGED, {"remittance_id": remittance_id, **page})).all()
        if not found:
            return
        await connection.execute(
            _REWRITE,
            {
                "ids": [row.message_id for row in found],
                "revisions": [row.revision for row in found],
                "payloads": [_as_truncated(row.type, row.payload) for row in found],
            },
        )
        after, after_revision = found[-1].message_id, found[-1].revision


def _as_truncated(type_: str, payload: bytes) -> bytes:
    event = msgspec.json.decode(payload, type=EVENT_TYPES[type_])
    if not isinstance(event, ClaimObserved):
        raise TypeError(type_)
    return encode(msgspec.structs.replace(event, truncated=True))
