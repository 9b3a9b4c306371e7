"""Cases that were folded anew: what changed is written, and what it means to others is told."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.domain.announcements import case_event
from services.tracker.domain.cases import WORK_FIELDS, Case
from services.tracker.store import cases
from services.tracker.store.case_work import write_work
from shared.contracts.case_events import CaseEvent


async def write_folded(
    connection: AsyncConnection,
    folded: Sequence[Case],
    stored: Mapping[UUID, Case],
    *,
    at: datetime,
    steps: Mapping[UUID, str] | None = None,
) -> list[CaseEvent]:
    """
    Write the cases that are not as they are `stored`, and give what to announce.

    `steps` names, by case, the step of a person that moved it; the others a remittance or a decision moved.
    The shards must be locked.
    """
    changed = [case for case in folded if case.case_id in stored and stored[case.case_id] != case]
    opened = [case for case in folded if case.case_id not in stored]
    written = await cases.insert_cases(connection, opened) | await cases.replace_cases(connection, changed)
    await write_work(connection, [case for case in (*opened, *changed) if _worked(case, stored)])
    return [
        case_event(
            case,
            stored.get(case.case_id),
            at=at,
            version=written[case.case_id].version,
            next_deadline_at=written[case.case_id].next_deadline_at,
            step=(steps or {}).get(case.case_id),
        )
        for case in folded
        if case.case_id in written
    ]


def _worked(case: Case, stored: Mapping[UUID, Case]) -> bool:
    before = stored.get(case.case_id)
    if before is None:
        return bool(case.steps_count or case.closed_reason == "recovered")
    return any(getattr(before, name) != getattr(case, name) for name in WORK_FIELDS)
