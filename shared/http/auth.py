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
    return known if isinstance(known, Principal) else await principal_now(request)


async def principal_now(request: Request) -> Principal:
    """Give who the caller is now. Raises UnauthenticatedError."""
    authenticator = getattr(request.app.state, "authenticator", None)
    if not isinstance(authenticator, Authenticator):
        raise UnauthenticatedError("A valid API key is needed.")
    return await authenticator.authenticate(request.headers.get("authorization"))


async def is_still(request: Request, principal: Principal) -> bool:
    """Tell whether the caller is there and is who they were: a revoked key ends a long answer in seconds."""
    if await request.is_disconnected():
        return False
    try:
        return await principal_now(request) == principal
    except UnauthenticatedError:
        return False


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
