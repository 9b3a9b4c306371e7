"""What people stated about a case: rows that are sent to triage until a decision weighs them."""

from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.store.outboxes import FACTS
from shared.contracts.fact_recorded import FactRecorded
from shared.kafka.outbox import Message, insert_messages


async def keep_fact(connection: AsyncConnection, fact: FactRecorded, *, role: str, note: str | None) -> None:
    """Keep a fact; the relay takes it from here. The note stays with us."""
    columns: dict[str, tuple[str, list[Any]]] = {
        "case_id": ("uuid", [fact.case_id]),
        "kind": ("text", [fact.kind]),
        "value": ("text", [fact.value]),
        "note": ("text", [note]),
        "recorded_by": ("uuid", [fact.recorded_by]),
        "recorded_role": ("text", [role]),
        "recorded_at": ("timestamptz", [fact.recorded_at]),
    }
    await insert_messages(connection, FACTS, [Message.of(fact)], extra=columns)


async def facts_of(connection: AsyncConnection, organization_id: UUID, case_id: UUID) -> list[RowMapping]:
    """Give the facts of a case, oldest first."""
    found = await connection.execute(
        text("""
            select message_id as fact_id, case_id, kind, value, note, recorded_by, recorded_role,
                recorded_at,
                case when settled_at is not null then 'weighed' when parked_at is not null then 'parked'
                    else 'sent' end as state
            from tracker.facts
            where organization_id = :organization_id and case_id = :case_id
            order by recorded_at, message_id
        """),
        {"organization_id": organization_id, "case_id": case_id},
    )
    return list(found.mappings())
