"""Alerts, groups and marks as rows; what goes out as notifications, in the same transaction."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.alerts import Alert, Change
from services.tracker.alerts.domain.content import Content, Kind, Severity, encode_content
from services.tracker.alerts.domain.groups import Group
from services.tracker.alerts.domain.routing import Target

_ALERT_COLUMNS = ", ".join(f"a.{one.name}" for one in fields(Alert))
_GROUP_NAMES = [f'"{one.name}"' for one in fields(Group)]


async def open_alerts(connection: AsyncConnection, organization_id: UUID) -> list[Alert]:
    """Give every alert that is open."""
    rows = await connection.execute(_OPEN, {"organization_id": organization_id})
    return [_alert(row) for row in rows]


_OPEN = text(f"""
    select {_ALERT_COLUMNS} from tracker.alerts a
    where a.organization_id = :organization_id and a.resolved_at is null
    order by a.opened_at, a.alert_id
""")


class AlertPlace(NamedTuple):
    """Where a page of alerts ended."""

    opened_at: datetime
    alert_id: UUID


async def list_alerts(
    connection: AsyncConnection,
    organization_id: UUID,
    *,
    resolved: bool,
    kinds: Collection[str],
    severities: Collection[str],
    after: AlertPlace | None,
    limit: int,
) -> Sequence[Any]:
    """Give a page of alerts with how they ended, the newest first; empty leaves a filter out."""
    return (
        await connection.execute(
            _LIST,
            {
                "organization_id": organization_id,
                "resolved": resolved,
                "kinds": list(kinds),
                "severities": list(severities),
                "after_at": after and after.opened_at,
                "after_id": after and after.alert_id,
                "limit": limit,
            },
        )
    ).all()


_LIST = text(f"""
    select {_ALERT_COLUMNS}, a.resolved_at, a.resolved_reason from tracker.alerts a
    where a.organization_id = :organization_id and (a.resolved_at is not null) = :resolved
        and (cardinality(cast(:kinds as text[])) = 0 or a.kind = any (cast(:kinds as text[])))
        and (cardinality(cast(:severities as text[])) = 0 or a.severity = any (cast(:severities as text[])))
        and (cast(:after_at as timestamptz) is null
            or (a.opened_at, a.alert_id) < (cast(:after_at as timestamptz), cast(:after_id as uuid)))
    order by a.opened_at desc, a.alert_id desc
    limit :limit
""")


async def alerts_by_id(
    connection: AsyncConnection, organization_id: UUID, alert_ids: Collection[UUID]
) -> dict[UUID, Alert]:
    """Give those of the alerts that are open."""
    rows = await connection.execute(
        _BY_ID, {"organization_id": organization_id, "alert_ids": list(alert_ids)}
    )
    return {alert.alert_id: alert for alert in map(_alert, rows)}


_BY_ID = text(f"""
    select {_ALERT_COLUMNS} from tracker.alerts a
    where a.organization_id = :organization_id and a.alert_id = any (cast(:alert_ids as uuid[]))
        and a.resolved_at is null
""")


async def open_of_rule(connection: AsyncConnection, organization_id: UUID, rule_id: UUID) -> dict[str, Alert]:
    """Give the open alerts of a rule by subject."""
    rows = await connection.execute(_OF_RULE, {"organization_id": organization_id, "rule_id": rule_id})
    return {alert.subject: alert for alert in map(_alert, rows)}


_OF_RULE = text(f"""
    select {_ALERT_COLUMNS} from tracker.alerts a
    where a.organization_id = :organization_id and a.rule_id = :rule_id and a.resolved_at is null
""")


async def open_of_cases(
    connection: AsyncConnection, organization_id: UUID, case_ids: Collection[UUID]
) -> dict[tuple[UUID, str], Alert]:
    """Give the open alerts of cases, by rule and subject."""
    rows = await connection.execute(
        _OF_CASES, {"organization_id": organization_id, "case_ids": list(case_ids)}
    )
    return {(alert.rule_id, alert.subject): alert for alert in map(_alert, rows)}


_OF_CASES = text(f"""
    select {_ALERT_COLUMNS} from unnest(cast(:case_ids as uuid[])) as asked(case_id)
    join tracker.alerts a
        on a.organization_id = :organization_id and a.case_id = asked.case_id and a.resolved_at is null
""")


def _alert(row: Any) -> Alert:
    given: dict[str, Any] = {
        name: UUID(int=value.int) if isinstance(value, UUID) else value
        for name, value in row._mapping.items()  # noqa: SLF001  SQLAlchemy's own name for it
    }
    return Alert(**given)


async def apply(
    connection: AsyncConnection, organization_id: UUID, changes: Sequence[Change], *, at: datetime
) -> int:
    """Write what became of alerts; gives how many opened. One that is open already is not opened again."""
    resolved = [change.resolved for change in changes if change.resolved]
    if resolved:
        await connection.execute(
            _RESOLVE,
            {
                "organization_id": organization_id,
                "alert_ids": [alert.alert_id for alert, _ in resolved],
                "reasons": [reason for _, reason in resolved],
                "at": at,
            },
        )
    kept = [change.kept for change in changes if change.kept]
    if kept:
        await connection.execute(_KEEP, {"rows": _rows(organization_id, kept)})
    opened = [change.opened for change in changes if change.opened]
    if not opened:
        return 0
    written = await connection.execute(_INSERT, {"rows": _rows(organization_id, opened)})
    return written.rowcount


_RESOLVE = text("""
    update tracker.alerts a set resolved_at = :at, resolved_reason = gone.reason
    from unnest(cast(:alert_ids as uuid[]), cast(:reasons as text[])) as gone(alert_id, reason)
    where a.organization_id = :organization_id and a.alert_id = gone.alert_id and a.resolved_at is null
""")
_NAMES = [one.name for one in fields(Alert)]
_INSERT = text(f"""
    insert into tracker.alerts (organization_id, {", ".join(_NAMES)})
    select organization_id, {", ".join(_NAMES)}
    from jsonb_populate_recordset(null::tracker.alerts, cast(:rows as jsonb))
    on conflict (organization_id, rule_id, subject) where resolved_at is null do nothing
""")
# Who acknowledged it meanwhile is not undone.
_MOVING = [name for name in _NAMES if not name.startswith(("acknowledged_", "alert_id", "opened_at"))]
_KEEP = text(f"""
    update tracker.alerts a set {", ".join(f"{name} = now.{name}" for name in _MOVING)}
    from jsonb_populate_recordset(null::tracker.alerts, cast(:rows as jsonb)) as now
    where a.organization_id = now.organization_id and a.alert_id = now.alert_id and a.resolved_at is null
""")


def _rows(organization_id: UUID, values: Sequence[Alert] | Sequence[Group]) -> str:
    names = [one.name for one in fields(values[0])]
    return _encode(
        [
            {"organization_id": organization_id, **{name: getattr(one, name) for name in names}}
            for one in values
        ]
    ).decode()


_encode = msgspec.json.Encoder(decimal_format="number").encode


async def resolve_all_but(
    connection: AsyncConnection, organization_id: UUID, rule_ids: Collection[UUID], *, at: datetime
) -> int:
    """Resolve the alerts of rules that are switched off or removed: of all but these."""
    resolved = await connection.execute(
        _RESOLVE_OTHERS,
        {"organization_id": organization_id, "rule_ids": list(rule_ids), "at": at},
    )
    return resolved.rowcount


_RESOLVE_OTHERS = text("""
    update tracker.alerts set resolved_at = :at, resolved_reason = 'rule_changed'
    where organization_id = :organization_id and resolved_at is null
        and rule_id <> all (cast(:rule_ids as uuid[]))
""")


async def acknowledge(
    connection: AsyncConnection,
    organization_id: UUID,
    alert_id: UUID,
    *,
    by: UUID | None,
    at: datetime | None,
) -> bool:
    """Say that somebody has an alert; with None that nobody has it any more. False when it is not open."""
    written = await connection.execute(
        _ACKNOWLEDGE, {"organization_id": organization_id, "alert_id": alert_id, "by": by, "at": at}
    )
    return written.rowcount == 1


ACKNOWLEDGED = "acknowledged"
"""The mark of the last word on who has an alert: what stands in channels says so too."""

_ACKNOWLEDGE = text("""
    update tracker.alerts set acknowledged_at = :at, acknowledged_by = :by
    where organization_id = :organization_id and alert_id = :alert_id and resolved_at is null
""")


async def active_targets(connection: AsyncConnection, organization_id: UUID) -> list[Target]:
    """Give the channels that are active."""
    rows = await connection.execute(_TARGETS, {"organization_id": organization_id})
    return [Target(UUID(int=row.channel_id.int), row.kind) for row in rows]


_TARGETS = text("""
    select channel_id, kind from tracker.channels
    where organization_id = :organization_id and state = 'active' order by channel_id
""")


async def failing_channels(connection: AsyncConnection, organization_id: UUID) -> list[Any]:
    """Give the channels that fail, and those that their failures disabled."""
    return list((await connection.execute(_FAILING, {"organization_id": organization_id})).all())


_FAILING = text("""
    select channel_id, name, kind, state, failing_since, changed_at from tracker.channels
    where organization_id = :organization_id
        and (failing_since is not null or (state = 'disabled' and last_failure is not null))
""")


async def groups_of(connection: AsyncConnection, organization_id: UUID) -> list[Group]:
    """Give every group that is not over."""
    rows = await connection.execute(_GROUPS, {"organization_id": organization_id})
    return [
        Group(
            **{
                **row._mapping,  # noqa: SLF001  SQLAlchemy's own name for it
                "channel_id": UUID(int=row.channel_id.int),
                "told": frozenset(UUID(int=one.int) for one in row.told),
            }
        )
        for row in rows
    ]


_GROUPS = text(f"""
    select {", ".join(_GROUP_NAMES)} from tracker.alert_groups where organization_id = :organization_id
""")


async def keep_groups(
    connection: AsyncConnection, organization_id: UUID, groups: Sequence[Group], ended: Sequence[Group]
) -> None:
    """Write groups as they are now, and forget those that are over."""
    if groups:
        await connection.execute(_KEEP_GROUPS, {"rows": _rows(organization_id, groups)})
    if ended:
        await connection.execute(
            _END_GROUPS,
            {
                "organization_id": organization_id,
                "channel_ids": [group.channel_id for group in ended],
                "keys": [group.group_key for group in ended],
            },
        )


# jsonb_populate_recordset reads an array of JSON as an array of PostgreSQL.
_KEEP_GROUPS = text(f"""
    insert into tracker.alert_groups (organization_id, {", ".join(_GROUP_NAMES)})
    select organization_id, {", ".join(_GROUP_NAMES)}
    from jsonb_populate_recordset(null::tracker.alert_groups, cast(:rows as jsonb))
    on conflict (organization_id, channel_id, group_key) do update set
        {", ".join(f"{name} = excluded.{name}" for name in _GROUP_NAMES)}
""")
_END_GROUPS = text("""
    delete from tracker.alert_groups g
    using unnest(cast(:channel_ids as uuid[]), cast(:keys as text[])) as ended(channel_id, group_key)
    where g.organization_id = :organization_id and g.channel_id = ended.channel_id
        and g.group_key = ended.group_key
""")


async def write_notification(
    connection: AsyncConnection,
    organization_id: UUID,
    *,
    channel_id: UUID,
    group_key: str,
    dedup_key: str,
    kind: Kind,
    severity: Severity,
    content: Content,
) -> UUID:
    """Leave a message for delivery. Those of a group go out in the order in which they are written."""
    notification_id = uuid4()
    await connection.execute(
        _NOTIFY,
        {
            "organization_id": organization_id,
            "notification_id": notification_id,
            "channel_id": channel_id,
            "group_key": group_key,
            "dedup_key": dedup_key,
            "kind": kind,
            "severity": severity,
            "content": encode_content(content).decode(),
        },
    )
    return notification_id


_NOTIFY = text("""
    insert into tracker.notifications
        (organization_id, notification_id, channel_id, group_key, dedup_key, kind, severity, content)
    values (:organization_id, :notification_id, :channel_id, :group_key, :dedup_key, :kind, :severity,
        cast(:content as jsonb))
""")


async def marked_at(connection: AsyncConnection, organization_id: UUID, name: str) -> datetime | None:
    """Give how far the evaluator has come with something."""
    found: datetime | None = await connection.scalar(
        _MARKED, {"organization_id": organization_id, "name": name}
    )
    return found


_MARKED = text("""
    select marked_at from tracker.alert_marks where organization_id = :organization_id and name = :name
""")


async def mark(connection: AsyncConnection, organization_id: UUID, name: str, at: datetime) -> None:
    """Note how far the evaluator has come with something."""
    await connection.execute(_MARK, {"organization_id": organization_id, "name": name, "at": at})


_MARK = text("""
    insert into tracker.alert_marks (organization_id, name, marked_at) values (:organization_id, :name, :at)
    on conflict (organization_id, name) do update set marked_at = excluded.marked_at
""")


RECONCILIATION = "reconciliation failed"
"""The mark of a run that found something missing; the next that finds nothing takes it away."""


async def forget_mark(connection: AsyncConnection, organization_id: UUID, name: str) -> None:
    """Take a mark away."""
    await connection.execute(_FORGET, {"organization_id": organization_id, "name": name})


_FORGET = text("delete from tracker.alert_marks where organization_id = :organization_id and name = :name")


async def zones(connection: AsyncConnection) -> list[tuple[UUID, str]]:
    """Give every organization with its zone."""
    return [(UUID(int=row.organization_id.int), row.time_zone) for row in await connection.execute(_ZONES)]


_ZONES = text("select organization_id, time_zone from access.organization_zones() order by 1")
