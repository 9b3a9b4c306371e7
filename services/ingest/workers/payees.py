"""Whose remittance is it: the organization that registered the payee's NPI or TIN."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.postgres import transaction

_REMEMBERED_SECONDS = 10.0
_REMEMBERED_PAYEES = 10_000

_RESOLVE = text("select organization_id, time_zone from access.resolve_payee(cast(:identifiers as text[]))")

_ZONE = text("""
    select time_zone from access.organizations_of_installation() where organization_id = :organization_id
""")


@dataclass(frozen=True, slots=True)
class Organization:
    """`zone` is where its people work: it decides on which day a file was received."""

    organization_id: UUID
    zone: ZoneInfo


class Payees:
    """Resolves payees. Only those that are registered are remembered, so a registration counts at once."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._known: dict[tuple[str, ...], tuple[float, Organization]] = {}

    async def resolve(self, identifiers: Sequence[str]) -> Organization | None:
        """Give the organization of the first identifier that is registered, else that of `*`, else None."""
        wanted = tuple(identifiers)
        until, organization = self._known.get(wanted, (0.0, None))
        if organization is not None and until > time.monotonic():
            return organization
        async with transaction(self._engine) as connection:
            found = (await connection.execute(_RESOLVE, {"identifiers": list(wanted)})).one_or_none()
        if found is None:
            return None
        organization = Organization(UUID(bytes=found.organization_id.bytes), ZoneInfo(found.time_zone))
        if len(self._known) >= _REMEMBERED_PAYEES:
            self._known.clear()
        self._known[wanted] = (time.monotonic() + _REMEMBERED_SECONDS, organization)
        return organization

    async def organization(self, organization_id: UUID) -> Organization:
        """Give an organization to which a set went already, whoever its payee belongs to by now."""
        async with transaction(self._engine) as connection:
            zone = (await connection.execute(_ZONE, {"organization_id": organization_id})).scalar_one()
        return Organization(organization_id, ZoneInfo(zone))
