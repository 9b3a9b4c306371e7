"""What people did about cases: rows that are added and never changed, until a purge takes their words."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.domain.steps import Made, read_step, write_step
from services.tracker.store.ledger import ClaimKey

_COLUMNS = """
    organization_id, claim_key, case_id, number, step_id, cast(body as text) as body, evidence, made_at,
    made_by, made_role
"""
_OF_KEYS = text(f"""
    select {_COLUMNS} from tracker.steps
    where claim_key = any (cast(:claim_keys as uuid[])) and body <> '{{}}'
    order by claim_key, made_at, case_id, number
""")
_ADD = text("""
    insert into tracker.steps (organization_id, claim_key, case_id, number, step_id, kind, body, evidence,
        made_at, made_by, made_role)
    values (:organization_id, :claim_key, :case_id, :number, :step_id, :kind, cast(:body as jsonb), :evidence,
        :made_at, :made_by, :made_role)
""")
# The steps of a case and of those that turned out to be parts of it.
_OF_CASE = text(f"""
    select {_COLUMNS}, kind from tracker.steps s
    where claim_key = :claim_key and (case_id = :case_id or case_id in (
        select c.case_id from tracker.cases c
        where c.claim_key = :claim_key and c.merged_into = :case_id))
    order by made_at, case_id, number
""")


async def steps_of_keys(connection: AsyncConnection, keys: Iterable[ClaimKey]) -> dict[ClaimKey, list[Made]]:
    """Give the steps about the cases of these claim keys, in order; those that were purged are left out."""
    claim_keys = [key.claim_key for key in keys]
    if not claim_keys:
        return {}
    found = await connection.execute(_OF_KEYS, {"claim_keys": claim_keys})
    steps: dict[ClaimKey, list[Made]] = {}
    for row in found.mappings():
        key = ClaimKey(UUID(str(row["organization_id"])), UUID(str(row["claim_key"])))
        steps.setdefault(key, []).append(made_of(row))
    return steps


async def add_step(connection: AsyncConnection, key: ClaimKey, made: Made) -> None:
    """Keep a step. The shard must be locked, since the number is the next one of its case."""
    await connection.execute(
        _ADD,
        {
            **key._asdict(),
            **{name: getattr(made, name) for name in _KEPT},
            "kind": made.step.kind,
            "body": write_step(made.step),
        },
    )


_KEPT = ("case_id", "number", "step_id", "evidence", "made_at", "made_by", "made_role")


async def steps_of_case(connection: AsyncConnection, *, claim_key: UUID, case_id: UUID) -> list[RowMapping]:
    """Give the rows of a case's steps, in order, those of merged cases among them."""
    found = await connection.execute(_OF_CASE, {"claim_key": claim_key, "case_id": case_id})
    return list(found.mappings())


def made_of(row: Any) -> Made:
    """Read a row that was not purged."""
    return Made(
        step_id=UUID(str(row["step_id"])),
        case_id=UUID(str(row["case_id"])),
        number=row["number"],
        step=read_step(row["body"]),
        evidence=UUID(str(row["evidence"])),
        made_at=row["made_at"],
        made_by=UUID(str(row["made_by"])),
        made_role=row["made_role"],
    )
