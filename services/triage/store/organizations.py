"""The organizations of this installation, as far as triage needs them."""

from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_ORGANIZATIONS = text("select organization_id, time_zone from access.organizations_of_installation()")


async def time_zones(connection: AsyncConnection) -> dict[UUID, ZoneInfo]:
    """Give each organization's time zone, in the order of their ids."""
    found = (await connection.execute(_ORGANIZATIONS)).all()
    return {row.organization_id: ZoneInfo(row.time_zone) for row in sorted(found)}
