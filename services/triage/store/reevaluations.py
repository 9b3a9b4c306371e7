"""Re-evaluations: what is to be decided again because a policy changed, and how far that has come."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.triage.store.policy_versions import Layer, PolicyVersion

Cause = Literal["policy_published", "policy_retired"]

_ASK = text("""
    insert into triage.reevaluations (organization_id, reevaluation_id, cause, policy_id, number, version,
        layer, reason, requested_role, requested_at)
    select organization_id, reevaluation_id, :cause, :policy_id, :number, :version, :layer, :reason, :role,
        :at
    from unnest(cast(:organizations as uuid[]), cast(:ids as uuid[]))
        as asked(organization_id, reevaluation_id)
""")
# The later one goes through all of it again, so the earlier one would only find what is not there any more.
_SUPERSEDE = text("""
    update triage.reevaluations set finished_at = now()
    where organization_id = any (cast(:organizations as uuid[])) and policy_id = :policy_id
        and finished_at is null
""")
_DUE = text("select * from triage.due_reevaluations(:limit)")
_TAKE = text("""
    select * from triage.reevaluations
    where organization_id = :organization and reevaluation_id = :id and finished_at is null
    for update skip locked
""")
_BOUND = text("""
    update triage.reevaluations set until_parcel = (
        select coalesce(max(parcel_id), 0) from triage.decisions_parcels
        where organization_id = :organization)
    where organization_id = :organization and reevaluation_id = :id
    returning until_parcel
""")
_ADVANCE = text("""
    update triage.reevaluations set after_parcel = :after, looked = looked + :looked,
        changed = changed + :changed, finished_at = case when :finished then now() end
    where organization_id = :organization and reevaluation_id = :id
""")
_LIST = text("""
    select * from triage.reevaluations
    where organization_id = any (cast(:organizations as uuid[]))
    order by requested_at desc, organization_id, reevaluation_id limit :limit
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reevaluation:
    """
    One organization's decisions, to be looked at again. `after_parcel` is how far it came of `until_parcel`.

    `until_parcel` None: not begun. `looked` and `changed` count denials. One that is finished before its end
    was superseded by a later change of the same policy.
    """

    organization_id: UUID
    reevaluation_id: UUID
    cause: Cause
    policy_id: str
    number: int
    version: str
    layer: Layer
    reason: str
    requested_role: str
    requested_at: datetime
    until_parcel: int | None
    after_parcel: int
    looked: int
    changed: int
    finished_at: datetime | None


async def ask_reevaluations(
    connection: AsyncConnection,
    version: PolicyVersion,
    organizations: Collection[UUID],
    *,
    cause: Cause,
    reason: str,
    role: str,
    at: datetime,
) -> int:
    """
    Have these organizations' denials decided again; gives how many organizations.

    What an earlier change of the same policy left to do is left to this one.
    """
    await connection.execute(
        _SUPERSEDE, {"organizations": list(organizations), "policy_id": version.policy_id}
    )
    await connection.execute(
        _ASK,
        {
            "organizations": list(organizations),
            "ids": [uuid4() for _ in organizations],
            "cause": cause,
            "policy_id": version.policy_id,
            "number": version.number,
            "version": version.version,
            "layer": version.layer,
            "reason": reason,
            "role": role,
            "at": at,
        },
    )
    return len(organizations)


async def due_reevaluations(connection: AsyncConnection, *, limit: int) -> list[tuple[UUID, UUID]]:
    """Find what is to be done over all walls, as (organization, re-evaluation), the oldest first."""
    found = await connection.execute(_DUE, {"limit": limit})
    return [(row.organization_id, row.reevaluation_id) for row in found]


async def take_reevaluation(
    connection: AsyncConnection, organization_id: UUID, reevaluation_id: UUID
) -> Reevaluation | None:
    """Hold one until the transaction ends; None if it is finished or somebody else holds it."""
    found = await connection.execute(_TAKE, {"organization": organization_id, "id": reevaluation_id})
    row = found.one_or_none()
    return None if row is None else _of(row)


async def bound(connection: AsyncConnection, one: Reevaluation) -> int:
    """
    Fix where it ends: at the last parcel of decisions that is there now. What comes later knows the change.

    The caller holds all shards' locks, so that nobody is about to commit what was decided before the change.
    """
    found = await connection.scalar(_BOUND, {"organization": one.organization_id, "id": one.reevaluation_id})
    return int(found or 0)


async def advance(
    connection: AsyncConnection, one: Reevaluation, *, after: int, looked: int, changed: int, finished: bool
) -> None:
    """Write down how far it came, in the transaction that did the work."""
    await connection.execute(
        _ADVANCE,
        {
            "organization": one.organization_id,
            "id": one.reevaluation_id,
            "after": after,
            "looked": looked,
            "changed": changed,
            "finished": finished,
        },
    )


async def list_reevaluations(
    connection: AsyncConnection, organizations: Sequence[UUID], *, limit: int
) -> list[Reevaluation]:
    """Give the latest re-evaluations of these organizations."""
    found = await connection.execute(_LIST, {"organizations": list(organizations), "limit": limit})
    return [_of(row) for row in found]


def _of(row: Any) -> Reevaluation:
    return Reevaluation(**row._mapping)  # noqa: SLF001  SQLAlchemy's public name
