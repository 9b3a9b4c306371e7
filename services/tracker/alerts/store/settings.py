"""What an organization set: its rules, its routing, its calendar, its silences. Every change is audited."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.calendar import Calendar
from services.tracker.alerts.domain.defaults import DEFAULT_ROUTING, default_rules
from services.tracker.alerts.domain.routing import Match, Routing, Silence
from services.tracker.alerts.domain.rules import Only, Rule, read_settings

INSTALLATION_ZONE = "UTC"
RULES_MAX = 200
SILENCES_MAX = 500
"""Of one organization: one process looks at all of them, every few seconds."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Routing and calendar as they stand; `version` rises with each change; 0: the defaults."""

    routing: Routing
    calendar: Calendar
    version: int


async def rules_of(connection: AsyncConnection, organization_id: UUID) -> list[Rule]:
    """
    Give the rules that were not removed; an organization that has none yet gets the defaults.

    Whoever has them gets those as well that came with a later release. One that was removed stays removed.
    """
    rows = (await connection.execute(_RULES, {"organization_id": organization_id})).all()
    defaults = default_rules(organization_id)
    missing = {rule.rule_id for rule in defaults} - {UUID(str(row.rule_id)) for row in rows}
    if missing and (not rows or len(missing) < len(defaults)):
        for rule in defaults:
            await keep_rule(connection, organization_id, rule)
        rows = (await connection.execute(_RULES, {"organization_id": organization_id})).all()
    return [
        Rule(
            rule_id=UUID(str(row.rule_id)),
            name=row.name,
            settings=read_settings(row.settings),
            only=Only.model_validate_json(row.only_about),
            enabled=row.enabled,
            version=row.version,
        )
        for row in rows
        if row.removed_at is None
    ]


_RULES = text("""
    select rule_id, name, cast(settings as text) as settings, cast(only_about as text) as only_about, enabled,
        version, removed_at
    from tracker.alert_rules where organization_id = :organization_id
    order by name, rule_id
""")


async def keep_rule(connection: AsyncConnection, organization_id: UUID, rule: Rule) -> bool:
    """Write a rule. One that is there must be of the version before; False when it is not."""
    written = await connection.execute(
        _KEEP_RULE,
        {
            "organization_id": organization_id,
            "rule_id": rule.rule_id,
            "name": rule.name,
            "settings": rule.settings.model_dump_json(),
            "only_about": rule.only.model_dump_json(),
            "enabled": rule.enabled,
            "version": rule.version,
        },
    )
    return written.rowcount == 1


_KEEP_RULE = text("""
    insert into tracker.alert_rules as r
        (organization_id, rule_id, name, settings, only_about, enabled, version)
    values (:organization_id, :rule_id, :name, cast(:settings as jsonb), cast(:only_about as jsonb), :enabled,
        :version)
    on conflict (organization_id, rule_id) do update set
        name = excluded.name, settings = excluded.settings, only_about = excluded.only_about,
        enabled = excluded.enabled, version = excluded.version, changed_at = now()
    where r.version = excluded.version - 1 and r.removed_at is null
""")


async def remove_rule(connection: AsyncConnection, organization_id: UUID, rule_id: UUID) -> bool:
    """Remove a rule; its open alerts resolve at the evaluator's next look. False when there is none."""
    removed = await connection.execute(_REMOVE_RULE, {"organization_id": organization_id, "rule_id": rule_id})
    return removed.rowcount == 1


_REMOVE_RULE = text("""
    update tracker.alert_rules set removed_at = now(), version = version + 1, enabled = false
    where organization_id = :organization_id and rule_id = :rule_id and removed_at is null
""")


async def chosen_by(connection: AsyncConnection, organization_id: UUID) -> Chosen:
    """Give routing and calendar; the defaults, in the organization's zone, where nothing was chosen."""
    zone = await connection.scalar(_ZONE, {"organization_id": organization_id}) or INSTALLATION_ZONE
    row = (await connection.execute(_CHOSEN, {"organization_id": organization_id})).one_or_none()
    if row is None:
        return Chosen(DEFAULT_ROUTING, Calendar(zone=zone), 0)
    calendar = msgspec.convert({"zone": zone, **msgspec.json.decode(row.calendar)}, Calendar, strict=False)
    return Chosen(Routing.model_validate_json(row.routing), calendar, row.version)


_ZONE = text("select time_zone from access.organization_zones() where organization_id = :organization_id")
_CHOSEN = text("""
    select cast(routing as text) as routing, cast(calendar as text) as calendar, version
    from tracker.alert_settings where organization_id = :organization_id
""")


async def choose(
    connection: AsyncConnection,
    organization_id: UUID,
    *,
    routing: Routing,
    calendar: dict[str, Any],
    version: int,
) -> bool:
    """Write routing and calendar as `version`, which must follow the one that is there; False if not."""
    written = await connection.execute(
        _CHOOSE,
        {
            "organization_id": organization_id,
            "routing": routing.model_dump_json(exclude_none=True),
            "calendar": msgspec.json.encode(calendar).decode(),
            "version": version,
        },
    )
    return written.rowcount == 1


_CHOOSE = text("""
    insert into tracker.alert_settings as s (organization_id, routing, calendar, version)
    select :organization_id, cast(:routing as jsonb), cast(:calendar as jsonb), cast(:version as integer)
    on conflict (organization_id) do update set
        routing = excluded.routing, calendar = excluded.calendar, version = excluded.version,
        changed_at = now()
    where s.version = excluded.version - 1
""")


async def silences_of(
    connection: AsyncConnection, organization_id: UUID, *, ending_after: datetime
) -> Sequence[Any]:
    """Give the rows of silences that end after an instant, the next to end first."""
    return (
        await connection.execute(
            _SILENCES, {"organization_id": organization_id, "ending_after": ending_after}
        )
    ).all()


def silence_of(row: Any) -> Silence:
    """Read a row as routing sees it."""
    return Silence(
        silence_id=UUID(str(row.silence_id)),
        match=Match.model_validate_json(row.match),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
    )


_SILENCES = text(f"""
    select silence_id, cast(match as text) as match, maintenance, reason, starts_at, ends_at, made_by,
        made_by_name, made_at
    from tracker.silences
    where organization_id = :organization_id and ends_at > :ending_after
    order by ends_at, silence_id
    limit {SILENCES_MAX}
""")


async def add_silence(connection: AsyncConnection, organization_id: UUID, **columns: Any) -> None:
    """Write a silence. `columns` are those of the table; `match` is JSON."""
    await connection.execute(_SILENCE, {"organization_id": organization_id, **columns})


_SILENCE = text("""
    insert into tracker.silences
        (organization_id, silence_id, match, maintenance, reason, starts_at, ends_at, made_by, made_by_name)
    values (:organization_id, :silence_id, cast(:match as jsonb), :maintenance, :reason, :starts_at, :ends_at,
        :made_by, :made_by_name)
""")


async def end_silence(
    connection: AsyncConnection, organization_id: UUID, silence_id: UUID, *, at: datetime
) -> bool:
    """End a silence now; one that had not begun never begins. False when none is running or ahead."""
    ended = await connection.execute(
        _END, {"organization_id": organization_id, "silence_id": silence_id, "at": at}
    )
    return ended.rowcount == 1


_END = text("""
    update tracker.silences
    set ended_at = :at, starts_at = least(starts_at, cast(:at as timestamptz) - interval '1 microsecond'),
        ends_at = :at
    where organization_id = :organization_id and silence_id = :silence_id and ends_at > :at
""")
