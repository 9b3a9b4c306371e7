"""The audit log of ingest: who looked at, or changed, which claim. Rows are added, never changed."""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Action = Literal["quarantine_opened", "quarantine_supplied", "quarantine_dismissed", "replay_asked"]

_ADD = text("""
    insert into ingest.audit_log (organization_id, principal_id, action, subject_id, detail)
    values (:organization_id, :principal_id, :action, :subject_id, cast(:detail as jsonb))
""")


async def audit(
    connection: AsyncConnection,
    action: Action,
    *,
    organization_id: UUID,
    principal_id: UUID,
    subject_id: UUID,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write one row. `detail` names things, and never holds what is in a file."""
    await connection.execute(
        _ADD,
        {
            "organization_id": organization_id,
            "principal_id": principal_id,
            "action": action,
            "subject_id": subject_id,
            "detail": msgspec.json.encode(detail or {}).decode(),
        },
    )
