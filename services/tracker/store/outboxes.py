"""The tracker's outbox tables. Receipts and case events go at the ack, facts once a decision weighed them."""

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kafka.outbox import MessageId, OutboxTable
from shared.kafka.stamps import settle_messages

OUTBOX = OutboxTable("tracker", "tracker.outbox", receipted=False)
FACTS = OutboxTable("tracker", "tracker.facts")


async def settle_facts(connection: AsyncConnection, fact_ids: Mapping[UUID, Collection[UUID]]) -> int:
    """Stamp the facts, given by organization, that a decision has weighed; gives the number newly settled."""
    pairs = [(organization, fact) for organization, facts in fact_ids.items() for fact in facts]
    if not pairs:
        return 0
    found = await connection.execute(
        _WEIGHED, {"organization_ids": [one for one, _ in pairs], "fact_ids": [fact for _, fact in pairs]}
    )
    return await settle_messages(connection, FACTS, [MessageId(*row) for row in found])


_WEIGHED = text("""
    select f.organization_id, f.message_id, f.revision
    from unnest(cast(:organization_ids as uuid[]), cast(:fact_ids as uuid[]))
        as id(organization_id, message_id)
    join tracker.facts f using (organization_id, message_id)
    where f.settled_at is null
""")
