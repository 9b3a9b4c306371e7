"""The columns of tracker.cases that are there because people worked on a case, or money came back."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.domain.cases import WORK_FIELDS, Case

_TYPES = {
    "steps_count": "integer",
    "requests": "jsonb",
    "assignee_id": "uuid",
    "tags": "text[]",
    "documents_checked": "text[]",
    "follow_up_on": "date",
    "information_due_at": "timestamptz",
    "recovered_payer_amount": "numeric",
    "recovered_patient_amount": "numeric",
}
_COLUMNS = ", ".join(f"{name} {_TYPES[name]}" for name in WORK_FIELDS)
_WRITE = text(f"""
    update tracker.cases c set {", ".join(f"{name} = worked.{name}" for name in WORK_FIELDS)}
    from jsonb_to_recordset(cast(:worked as jsonb)) as worked(organization_id uuid, case_id uuid, {_COLUMNS})
    where c.organization_id = worked.organization_id and c.case_id = worked.case_id
""")
_KEPT = ("organization_id", "case_id", *WORK_FIELDS)


async def write_work(connection: AsyncConnection, cases: Iterable[Case]) -> None:
    """Write these columns of cases that are there. The shards must be locked."""
    worked = [{name: getattr(case, name) for name in _KEPT} for case in cases]
    if worked:
        await connection.execute(_WRITE, {"worked": msgspec.json.encode(worked).decode()})
