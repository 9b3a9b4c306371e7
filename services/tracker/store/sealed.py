"""The sealed patients of cases: they stand in the leading decisions, and nowhere else."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.domain.observations import read_observation
from shared.postgres.bundles import payload_of


async def sealed_patients(
    connection: AsyncConnection, organization_id: UUID, cases: Sequence[Mapping[str, Any]]
) -> dict[UUID, str]:
    """Give the sealed patient of each of these rows of tracker.cases that has one, by case."""
    found = await connection.execute(
        _LEADING, {"organization_id": organization_id, "case_ids": [one["case_id"] for one in cases]}
    )
    patients = {row.case_id: read_observation(payload_of(row)).patient for row in found}
    return {case_id: one.sealed for case_id, one in patients.items() if one and one.sealed}


_LEADING = text("""
    select c.case_id, decided.place, decided.payloads as bundle
    from unnest(cast(:case_ids as uuid[])) as wanted(case_id)
    cross join lateral (
        select * from tracker.cases c
        where c.organization_id = :organization_id and c.case_id = wanted.case_id limit 1
    ) as c
    cross join lateral (
        select l.place, b.payloads from tracker.ledger l
        join tracker.ledger_bundles b on b.organization_id = l.organization_id and b.bundle_id = l.bundle_id
        where l.organization_id = c.organization_id and l.event_id = c.current_event_id
            and l.revision = c.current_revision and l.decision_revision = c.current_decision_revision
        limit 1
    ) as decided
""")
