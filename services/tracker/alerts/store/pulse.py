"""
Whether anything changed since the last look: one small question for each organization, answered from indexes.

What time alone brings is not asked here: that is ripening.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Pulse:
    """
    `fed` is the feed's last entry; `rules`, `routing`, `channels` and `silences` differ when those do.

    `marks` is how far the evaluator came with things, by name.
    """

    fed: int
    rules: str
    routing: int
    channels: str
    silences: str
    marks: Mapping[str, datetime]


async def pulse_of(connection: AsyncConnection, organization_id: UUID, *, at: datetime) -> Pulse:
    """Feel an organization's pulse."""
    row: Any = (await connection.execute(_PULSE, {"organization_id": organization_id, "at": at})).one()
    return Pulse(row.fed, row.rules, row.routing, row.channels, row.silences, _read_marks(row.marks))


_read_marks = msgspec.json.Decoder(dict[str, datetime]).decode

_OWN = "where organization_id = :organization_id"
_PULSE = text(f"""
    select
        coalesce((select number from tracker.feed {_OWN} order by number desc limit 1), 0) as fed,
        (select cast(row(count(*), sum(version)) as text) from tracker.alert_rules {_OWN}) as rules,
        coalesce((select version from tracker.alert_settings {_OWN}), 0) as routing,
        coalesce((
            select string_agg(
                cast(row(channel_id, state, failing_since is null, last_failure is null) as text), ' '
                order by channel_id)
            from tracker.channels {_OWN}), '') as channels,
        (select cast(row(count(*), count(*) filter (where starts_at <= :at), max(made_at)) as text)
            from tracker.silences {_OWN} and ends_at > :at) as silences,
        coalesce((select cast(jsonb_object_agg(name, marked_at) as text) from tracker.alert_marks {_OWN}),
            '{{}}') as marks
""")
