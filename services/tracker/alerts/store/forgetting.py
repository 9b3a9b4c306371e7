"""What alerts leave behind until it is old: resolved alerts, messages, silences, missed deadlines, marks."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# The condition is of an index each; a notification takes its attempts with it. Rules look back at missed
# deadlines for up to 60 business days, which candidates.py takes for 187.
_OLD = {
    "alerts": ("alert_id", "resolved_at < :before"),
    "notifications": ("notification_id", "state <> 'due' and created_at < :before"),
    "silences": ("silence_id", "ends_at < :before"),
    "missed_deadlines": ("ctid", "deadline_at < least(:before, now() - interval '190 days')"),
    "alert_marks": ("name", "name like 'jumps of %' and marked_at < :before"),
}
_FORGET = {
    table: text(f"""
        delete from tracker.{table} where organization_id = :organization_id and {key} = any (array(
            select {key} from tracker.{table}
            where organization_id = :organization_id and {old} limit :limit))
    """)
    for table, (key, old) in _OLD.items()
}


async def forget_old(
    connection: AsyncConnection, organization_id: UUID, *, before: datetime, limit: int
) -> dict[str, int]:
    """Delete some of what is older than an instant; gives how many rows of each table."""
    bound = {"organization_id": organization_id, "before": before, "limit": limit}
    return {
        table: (await connection.execute(statement, bound)).rowcount for table, statement in _FORGET.items()
    }


async def retentions(connection: AsyncConnection) -> list[tuple[UUID, int | None]]:
    """Give every organization with the days for which it keeps what it received; None: for ever."""
    found = await connection.execute(_RETENTIONS)
    return [(UUID(int=row.organization_id.int), row.retention_days) for row in found]


_RETENTIONS = text("select organization_id, retention_days from access.organization_retentions()")
