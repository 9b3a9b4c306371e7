"""Who may do what here. The operator and submitters see no patient facts, so they see no case."""

from typing import Annotated
from uuid import UUID

from fastapi import Path

from shared.errors import DeniedError, NotFoundError
from shared.http.auth import require
from shared.security.principals import Principal

CaseId = Annotated[UUID, Path(description="The case.")]
Reader = Annotated[Principal, require("viewer", "biller", "supervisor", "auditor", "admin")]
Supervisor = Annotated[Principal, require("supervisor", "admin")]
Worker = Annotated[Principal, require("biller", "supervisor", "admin")]

_MAY_OPEN = frozenset({"biller", "supervisor", "admin"})


def organization_of(principal: Principal) -> UUID:
    """Give the organization behind whose walls the principal works."""
    if principal.organization_id is None:
        raise DeniedError("This key belongs to no organization.", remedy="Use a key of an organization.")
    return principal.organization_id


def check_may_open(principal: Principal) -> None:
    """Raise DeniedError for a role that may not see names and member ids."""
    if principal.role not in _MAY_OPEN:
        raise DeniedError(
            f"The role {principal.role} may not open names and member ids.",
            remedy="Ask without `reveal`, or use a key of a biller, supervisor or admin.",
        )


def no_such_case() -> NotFoundError:
    """Make the one answer for a case that is not there and for one behind another wall."""
    return NotFoundError("There is no such case.", remedy="`GET /v1/cases` lists the cases that you may see.")
