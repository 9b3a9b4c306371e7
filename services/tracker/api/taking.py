"""A person's step: checked against the case as it stands, kept, folded in, told and audited, all at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.api.access import no_such_case, organization_of
from services.tracker.domain.allowed import (
    check_day,
    check_duplicate,
    check_files,
    check_given_up,
    check_step,
)
from services.tracker.domain.cases import Case
from services.tracker.domain.completing import completed
from services.tracker.domain.states import ENDED_BY_ITSELF
from services.tracker.domain.steps import Assign, FileRemoved, Made, Step
from services.tracker.store.audit import audit
from services.tracker.store.claims import load_claim
from services.tracker.store.feed import announce
from services.tracker.store.files import remove_file
from services.tracker.store.folding import write_folded
from services.tracker.store.ledger import ClaimKey
from services.tracker.store.search import find_case
from services.tracker.store.steps import add_step
from shared import clock
from shared.errors import ConflictError, InvalidInputError, StaleError
from shared.postgres import lock_shards
from shared.security.principals import Principal
from shared.values import shard_of

STEPS_MAX = 1_000
"""A person's work takes dozens; each further one makes the next fold slower."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was made, the case as it stands after it, and the row of that."""

    made: Made
    case: Case
    row: Mapping[str, Any]


async def take_step(
    connection: AsyncConnection,
    principal: Principal,
    case_id: UUID,
    step: Step,
    *,
    version: int | None = None,
) -> Taken:
    """
    Make a step on a case.

    Raises NotFoundError, StaleError where the case is not `version` any more, ConflictError where it does not
    allow the step, DeniedError where the principal may not make it, and InvalidInputError where its day is
    still to come.
    """
    organization_id = organization_of(principal)
    key, row = await lock_case(connection, organization_id, case_id)
    check_row(row, version)
    claim = await load_claim(connection, key)
    case, denied = claim.by_id.get(case_id), claim.denied(case_id)
    if case is None or denied is None:
        raise _ended()
    if case.steps_count >= STEPS_MAX:
        raise ConflictError(
            f"This case has {STEPS_MAX:,} steps, as many as one may have.",
            remedy="Something makes steps that no person makes: stop it. Remittances still move the case.",
        )
    check_step(case, step, role=principal.role, by=principal.principal_id)
    check_day(step, at=clock.now())
    check_given_up(case, step, at=clock.now())
    check_duplicate(step, claim.steps)
    check_files(step, claim.steps_of(case_id), role=principal.role)
    if isinstance(step, Assign):
        await _check_assignee(connection, organization_id, step.assignee_id)
    at = max([clock.now(), *(made.made_at for made in claim.steps)])
    made = Made(
        step_id=uuid4(),
        case_id=case_id,
        number=1 + max((made.number for made in claim.steps if made.case_id == case_id), default=0),
        step=completed(step, case, denied.standing),
        evidence=denied.standing.evidence,
        made_at=at,
        made_by=UUID(str(principal.principal_id)),
        made_role=principal.role,
    )
    await add_step(connection, key, made)
    if isinstance(step, FileRemoved):
        await remove_file(connection, step.file_id)
    folded = claim.folded(made)
    changes = await write_folded(connection, folded, claim.by_id, at=at, steps={case_id: step.kind})
    await audit(
        connection,
        principal,
        "step_made",
        case_id=case_id,
        detail={"step_id": str(made.step_id), "kind": step.kind, "number": made.number},
    )
    after = await find_case(connection, organization_id, case_id)
    if after is None:
        raise no_such_case()
    await announce(connection, changes)
    return Taken(made, next(one for one in folded if one.case_id == case_id), after)


async def lock_case(
    connection: AsyncConnection, organization_id: UUID, case_id: UUID
) -> tuple[ClaimKey, Mapping[str, Any]]:
    """Wait for whoever moves the case, and give it as it stands then."""
    row = await find_case(connection, organization_id, case_id)
    if row is None:
        raise no_such_case()
    key = ClaimKey(organization_id, UUID(str(row["claim_key"])))
    await lock_shards(connection, "tracker", [shard_of(key.claim_key)])
    row = await find_case(connection, organization_id, case_id)
    if row is None:
        raise no_such_case()
    return key, row


def check_row(row: Mapping[str, Any], version: int | None) -> None:
    """Raise StaleError where a case is not `version` any more, ConflictError where it takes no step."""
    if version is not None and row["version"] != version:
        raise StaleError(
            f"The case is version {row['version']} now, not {version}.",
            remedy="Get it again, look at what changed, and send its new version in If-Match.",
        )
    if row["purged_at"]:
        raise ConflictError(
            "What was said about this case was purged when its retention ended.",
            remedy="Send the payer's newer remittance, if there is one: it opens a case of its own.",
        )
    if row["closed_reason"] in ENDED_BY_ITSELF:
        raise _ended()


def _ended() -> ConflictError:
    return ConflictError(
        "This case has ended: its remittances belong to another case, or deny nothing any more.",
        remedy="Work on the case in `merged_into`, if there is one.",
    )


async def _check_assignee(connection: AsyncConnection, organization_id: UUID, assignee_id: UUID) -> None:
    found = await connection.execute(
        _WORKS_FOR, {"organization_id": organization_id, "principal_id": assignee_id}
    )
    if not found.scalar_one():
        raise InvalidInputError(
            "The assignee is nobody who works for this organization.",
            remedy="Name the principal_id of a biller, supervisor or admin of yours.",
        )


_WORKS_FOR = text("select access.works_for(:organization_id, :principal_id)")
