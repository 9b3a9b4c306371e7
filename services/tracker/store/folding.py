"""Cases that were folded anew: what changed is written, and what it means to others is told."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.domain.announcements import case_event
from services.tracker.domain.cases import WORK_FIELDS, Case, next_deadline
from services.tracker.store import cases
from services.tracker.store.case_services import write_services
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
    # To look up an id takes longer than most of what is done with a case that is not stored yet.
    known = [stored.get(case.case_id) for case in folded] if stored else [None] * len(folded)
    moved = [(case, before) for case, before in zip(folded, known, strict=True) if case != before]
    await cases.insert_cases(connection, [case for case, before in moved if before is None], at=at)
    changed = [case for case, before in moved if before is not None]
    versions = await cases.replace_cases(connection, changed, at=at)
    await write_services(connection, moved)
    await write_work(connection, [case for case, before in moved if _worked(case, before)])
    return [
        case_event(
            case,
            before,
            at=at,
            version=versions[case.case_id] if before else cases.FIRST_VERSION,
            next_deadline_at=next_deadline(case, at),
            step=steps.get(case.case_id) if steps else None,
        )
        for case, before in moved
    ]


def _worked(case: Case, before: Case | None) -> bool:
    if before is None:
        return bool(case.steps_count or case.closed_reason == "recovered")
    return any(getattr(before, name) != getattr(case, name) for name in WORK_FIELDS)
