"""Services that are denied besides the leading one: rows of their own, so that an index finds them."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.domain.cases import Case
from shared.postgres.arrays import array_of

_FORGET = text("delete from tracker.case_services where case_id = any (cast(:case_ids as uuid[]))")
_ADD = text("""
    insert into tracker.case_services (organization_id, service_code, case_id)
    select * from unnest(cast(:organization_ids as uuid[]),
        cast(cast(:codes as text) as text[]), cast(:case_ids as uuid[])) as one
""")


async def write_services(connection: AsyncConnection, moved: Sequence[tuple[Case, Case | None]]) -> None:
    """Write the further codes of cases, each with what is stored of it. The shards must be locked."""
    changed = [
        (case, before)
        for case, before in moved
        if case.further_service_codes != (before.further_service_codes if before else ())
    ]
    stale = [case.case_id for case, before in changed if before and before.further_service_codes]
    if stale:
        await connection.execute(_FORGET, {"case_ids": stale})
    fresh = [(case, code) for case, _ in changed for code in case.further_service_codes]
    if fresh:
        await connection.execute(
            _ADD,
            {
                "organization_ids": [case.organization_id for case, _ in fresh],
                "codes": array_of([code for _, code in fresh]),
                "case_ids": [case.case_id for case, _ in fresh],
            },
        )
