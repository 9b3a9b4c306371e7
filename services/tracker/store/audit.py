"""The audit log: who did what to which case. Rows are added with what they tell, and never changed."""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.security.principals import Principal

Action = Literal[
    "identifiers_opened",
    "fact_recorded",
    "patient_searched",
    "cases_exported",
    "step_made",
    "file_opened",
    "alert_acknowledged",
    "alert_unacknowledged",
    "alert_rule_changed",
    "alert_rule_removed",
    "alert_routes_changed",
    "alerts_silenced",
    "alert_silence_ended",
    "channel_created",
    "channel_changed",
    "channel_secret_rotated",
    "channel_enabled",
    "channel_disabled",
    "channel_tested",
    "notification_resent",
    "reconciliation_failed",
    "reconciliation_agreed",
]

_ADD = text("""
    insert into tracker.audit_log (organization_id, principal_id, action, subject_id, detail)
    values (:organization_id, :principal_id, :action, :subject_id, cast(:detail as jsonb))
""")


NOBODY = UUID(int=0)
"""Acts where no person did."""


async def audit(
    connection: AsyncConnection,
    principal: Principal,
    action: Action,
    *,
    case_id: UUID | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write one row. `detail` names things by id and kind, and never holds what it is about."""
    entry = _entry(principal.organization_id, principal.principal_id, action=action, detail=detail)
    await connection.execute(_ADD, entry | {"subject_id": case_id})


async def audit_nobodys(
    connection: AsyncConnection, organization_id: UUID, action: Action, *, detail: Mapping[str, Any]
) -> None:
    """Write one row of what happened by itself. `detail` as in audit()."""
    await connection.execute(_ADD, _entry(organization_id, NOBODY, action=action, detail=detail))


def _entry(
    organization_id: UUID | None, principal_id: UUID, *, action: Action, detail: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {
        "organization_id": organization_id,
        "principal_id": principal_id,
        "action": action,
        "subject_id": None,
        "detail": msgspec.json.encode(detail or {}).decode(),
    }
