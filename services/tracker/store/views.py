"""Lists under a name: one's own, and those that others share."""

from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

_COLUMNS = "view_id, owner_id, name, shared, cast(filters as text) as filters, sort, created_at, updated_at"
VIEWS_MAX = 200
"""Views that one person may keep."""


async def views_of(connection: AsyncConnection, owner_id: UUID) -> list[RowMapping]:
    """Give the views that this person may use, by name."""
    found = await connection.execute(
        text(f"""
            select {_COLUMNS} from tracker.views where shared or owner_id = :owner_id
            order by name, view_id limit 1000
        """),
        {"owner_id": owner_id},
    )
    return list(found.mappings())


async def keep_view(
    connection: AsyncConnection, organization_id: UUID, owner_id: UUID, told: dict[str, Any]
) -> RowMapping | None:
    """Keep a view, or change the one that this person has under the name. None where there are too many."""
    found = await connection.execute(
        _KEEP,
        {
            "organization_id": organization_id,
            "owner_id": owner_id,
            **told,
            "filters": msgspec.json.encode(told["filters"]).decode(),
            "most": VIEWS_MAX,
        },
    )
    return found.mappings().one_or_none()


_KEEP = text(f"""
    insert into tracker.views as v (organization_id, owner_id, name, shared, filters, sort)
    select cast(:organization_id as uuid), cast(:owner_id as uuid), cast(:name as text),
        cast(:shared as boolean), cast(:filters as jsonb), cast(:sort as text)
    where (
        select count(*) from tracker.views
        where owner_id = cast(:owner_id as uuid) and name <> cast(:name as text)
    ) < :most
    on conflict (organization_id, owner_id, name) do update
        set shared = excluded.shared, filters = excluded.filters, sort = excluded.sort, updated_at = now()
    returning {_COLUMNS}
""")


async def forget_view(connection: AsyncConnection, view_id: UUID, *, owner_id: UUID | None) -> bool:
    """Delete a view; `owner_id` None: whoever's, if it is shared. Tells whether there was one."""
    found = await connection.execute(
        text("""
            delete from tracker.views where view_id = :view_id
                and (owner_id = :owner_id or (cast(:owner_id as uuid) is null and shared))
        """),
        {"view_id": view_id, "owner_id": owner_id},
    )
    return found.rowcount > 0
