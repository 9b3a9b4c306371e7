"""The audit log of triage: who changed which policy, and who asked what. Rows are added, never changed."""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Action = Literal["policy_drafted", "policy_published", "policy_retired"]

_ADD = text("""
    insert into triage.audit_log (organization_id, principal_id, action, subject_id, detail)
    values (:organization_id, :principal_id, :action, :subject_id, cast(:detail as jsonb))
""")


async def audit(
    connection: AsyncConnection,
    action: Action,
    *,
    scope: UUID,
    principal_id: UUID,
    policy_id: str,
    detail: Mapping[str, Any],
) -> None:
    """Write one row, for the organization or the installation (`scope`) whose policy it is."""
    await connection.execute(
        _ADD,
        {
            "organization_id": scope,
            "principal_id": principal_id,
            "action": action,
            "subject_id": policy_id,
            "detail": msgspec.json.encode(detail).decode(),
        },
    )
