"""Who may call a route. The key was checked at the door (app.py); here the role is."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypedDict
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from shared.errors import DeniedError, UnauthenticatedError
from shared.security.principals import Authenticator, Principal, Role

_BEARER = HTTPBearer(
    scheme_name="api_key",
    auto_error=False,
    description="`rpv_…`, from `reprieve keys create`, or a token of the issuer",
)


def require(*roles: Role) -> Any:
    """
    Let these roles in, or every known caller when none is named.

    Stands in a signature as `principal: Annotated[Principal, require("biller", "admin")]`.
    Answers 401 to strangers and 403 to other roles.
    """
    return Depends(_checker(roles))


def _checker(roles: tuple[Role, ...]) -> Callable[..., Awaitable[Principal]]:
    async def check(request: Request, _shown_in_openapi: Annotated[Any, Security(_BEARER)]) -> Principal:
        principal = await principal_of(request)
        if roles and principal.role not in roles:
            raise DeniedError(
                f"The role {principal.role} may not do this.",
                remedy=f"Use a key of one of these roles: {', '.join(roles)}.",
            )
        return principal

    return check


async def principal_of(request: Request) -> Principal:
    """Give the caller that the door let in. Raises UnauthenticatedError where there was no door."""
    known = request.scope.get("state", {}).get("principal")
    if isinstance(known, Principal):
        return known
    authenticator = getattr(request.app.state, "authenticator", None)
    if not isinstance(authenticator, Authenticator):
        raise UnauthenticatedError("A valid API key is needed.")
    return await authenticator.authenticate(request.headers.get("authorization"))


class Scope(TypedDict):
    """Whose rows a transaction sees."""

    organizations: tuple[UUID, ...]
    submitters: tuple[UUID, ...]


def scope_of(principal: Principal) -> Scope:
    """Give the walls behind which a principal works, as keywords of shared.postgres.transaction()."""
    return {
        "organizations": (principal.organization_id,) if principal.organization_id else (),
        "submitters": (principal.submitter_id,) if principal.submitter_id else (),
    }
