"""
The audit log of triage: who changed which policy, and what could not be decided again.

Rows are added, never changed.
"""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Action = Literal[
    "policy_drafted", "policy_published", "policy_retired", "policy_shipped", "redecision_failed"
]
NOBODY = UUID(int=0)
"""Acts where no person did: a release, or a message that arrived."""

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
    subject_id: str,
    detail: Mapping[str, Any],
) -> None:
    """Write one row, for the organization or the installation (`scope`) that the subject is of."""
    await connection.execute(
        _ADD,
        {
            "organization_id": scope,
            "principal_id": principal_id,
            "action": action,
            "subject_id": subject_id,
            "detail": msgspec.json.encode(detail).decode(),
        },
    )
