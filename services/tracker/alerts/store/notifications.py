"""Notifications that wait for a channel, their leases, and every attempt to deliver one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.content import Content, Kind, Severity, decode_content, encode_content
from services.tracker.alerts.domain.notification import Notification
from services.tracker.alerts.domain.outcomes import Delivered, Outcome, Rejected, TryLater
from shared.errors import ConflictError, NotFoundError

NotificationState = Literal["due", "sent", "rejected", "superseded"]


@dataclass(frozen=True, slots=True)
class DueNotification:
    """What the finder gives: ids, and nothing of what is told."""

    organization_id: UUID
    channel_id: UUID
    notification_id: UUID


_ADD = text("""
    insert into tracker.notifications (organization_id, notification_id, channel_id, group_key, dedup_key,
        kind, severity, content)
    values (:organization_id, :notification_id, :channel_id, :group_key, :dedup_key, :kind, :severity,
        cast(:content as jsonb))
    on conflict do nothing
""")
_DUE = text("select * from tracker.due_notifications(:limit)")
# What only repeats a group is pointless once something newer of it waits; what begins or ends it never is.
_SUPERSEDE = text("""
    update tracker.notifications o set state = 'superseded', last_outcome = 'superseded'
    where o.channel_id = :channel_id and o.state = 'due' and o.kind = 'update'
        and coalesce(o.leased_until, '-infinity') <= now()
        and exists (
            select 1 from tracker.notifications n
            where n.organization_id = o.organization_id and n.channel_id = o.channel_id
                and n.group_key = o.group_key and n.dedup_key = o.dedup_key and n.state = 'due'
                and n.kind in ('firing', 'update', 'resolved') and n.position > o.position)
""")
_LEASE = text("""
    with taken as (
        select organization_id, notification_id from tracker.notifications
        where notification_id = :notification_id and state = 'due' and due_at <= now()
            and coalesce(leased_until, '-infinity') <= now()
        for update skip locked
    )
    update tracker.notifications n
    set attempts = n.attempts + 1, leased_until = now() + make_interval(secs => :lease_seconds)
    from taken
    where n.organization_id = taken.organization_id and n.notification_id = taken.notification_id
    returning n.notification_id, n.channel_id, n.dedup_key, n.kind, n.severity, n.content::text as content,
        n.attempts, n.remote_ref, n.created_at,
        (select e.remote_ref from tracker.notifications e
         where e.organization_id = n.organization_id and e.channel_id = n.channel_id
            and e.dedup_key = n.dedup_key and e.remote_ref is not null
            and e.notification_id <> n.notification_id
         order by e.position desc limit 1) as group_ref
""")
_RECORD = text("""
    insert into tracker.delivery_attempts
        (organization_id, notification_id, attempt, channel_id, begun_at, outcome, status, reason)
    values (:organization_id, :notification_id, :attempt, :channel_id, :begun_at, :outcome, :status, :reason)
    on conflict do nothing
""")
# The attempt is a fence: who was so slow that its lease went to another changes nothing any more.
_SETTLE = text("""
    update tracker.notifications
    set state = :state, due_at = coalesce(:due_at, due_at), leased_until = null, last_outcome = :last_outcome,
        remote_ref = coalesce(:remote_ref, remote_ref),
        sent_at = case when :state = 'sent' then now() else sent_at end
    where notification_id = :notification_id and attempts = :attempt and state = 'due'
    returning notification_id
""")
# A destination that is well again need not wait for what was planned while it was ill.
_HASTEN = text("""
    update tracker.notifications set due_at = now()
    where channel_id = :channel_id and state = 'due' and attempts > 0 and due_at > now()
        and leased_until is null
""")
_DROP_WAITING = text("""
    update tracker.notifications set state = 'rejected', last_outcome = :reason
    where channel_id = :channel_id and state = 'due' and coalesce(leased_until, '-infinity') <= now()
""")
_LIST = text("""
    select notification_id, position, kind, severity, dedup_key, state, due_at, attempts, last_outcome,
        content->>'title' as title, created_at, sent_at
    from tracker.notifications
    where channel_id = :channel_id and (cast(:before as uuid) is null or position < (
        select b.position from tracker.notifications b where b.notification_id = cast(:before as uuid)))
    order by position desc limit :limit
""")
_GET = text("""
    select notification_id, channel_id, kind, severity, dedup_key, state, due_at, attempts, last_outcome,
        content->>'title' as title, created_at, sent_at
    from tracker.notifications where notification_id = :notification_id
""")
_ATTEMPTS = text("""
    select attempt, begun_at, ended_at, outcome, status, reason from tracker.delivery_attempts
    where notification_id = :notification_id order by attempt
""")
_CHANNEL_ATTEMPTS = text("""
    select notification_id, attempt, begun_at, ended_at, outcome, status, reason
    from tracker.delivery_attempts where channel_id = :channel_id
    order by ended_at desc, notification_id, attempt desc limit :limit
""")
_RESEND = text("""
    update tracker.notifications set state = 'due', due_at = now(), leased_until = null
    where notification_id = :notification_id and state <> 'due'
""")
_TOLD_AND_OPEN = text("""
    select distinct on (channel_id) channel_id, kind from tracker.notifications
    where dedup_key = :dedup_key order by channel_id, position desc
""")
_LAST_WORD = text("""
    select l.notification_id from tracker.notifications n
    join tracker.notifications l using (organization_id, channel_id, dedup_key)
    where n.notification_id = :notification_id and l.position > n.position
        and n.kind in ('firing', 'update', 'resolved') and l.kind in ('firing', 'update', 'resolved')
    order by l.position desc limit 1
""")
_WAITING = text("select * from tracker.waiting_notifications()")


async def add_notification(
    connection: AsyncConnection,
    *,
    organization_id: UUID,
    notification_id: UUID,
    channel_id: UUID,
    group_key: str,
    dedup_key: str,
    kind: Kind,
    severity: Severity,
    content: Content,
) -> None:
    """Have something told as soon as may be; one whose id is there already stays as it is."""
    await connection.execute(
        _ADD,
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


async def due_notifications(connection: AsyncConnection, *, limit: int) -> list[DueNotification]:
    """Look over all walls for what is due, of every channel the oldest first."""
    found = await connection.execute(_DUE, {"limit": limit})
    return [DueNotification(*(UUID(bytes=one.bytes) for one in row)) for row in found]


async def lease(
    connection: AsyncConnection, due: DueNotification, *, lease_seconds: float
) -> Notification | None:
    """Take a notification for one attempt; None when another process has it, or it is due no more."""
    await connection.execute(_SUPERSEDE, {"channel_id": due.channel_id})
    found = await connection.execute(
        _LEASE, {"notification_id": due.notification_id, "lease_seconds": lease_seconds}
    )
    row = found.one_or_none()
    if row is None:
        return None
    return Notification(
        organization_id=due.organization_id,
        channel_id=due.channel_id,
        notification_id=due.notification_id,
        dedup_key=row.dedup_key,
        kind=row.kind,
        severity=row.severity,
        content=decode_content(row.content),
        created_at=row.created_at,
        attempt=row.attempts,
        remote_ref=row.remote_ref,
        group_ref=row.group_ref,
    )


async def settle(
    connection: AsyncConnection,
    notification: Notification,
    outcome: Outcome,
    *,
    begun_at: datetime,
    due_at: datetime | None,
) -> bool:
    """Log an attempt and what comes of it; `due_at` None ends the notification. False: its lease was lost."""
    name = {Delivered: "delivered", TryLater: "try_later", Rejected: "rejected"}[type(outcome)]
    reason = None if isinstance(outcome, Delivered) else outcome.reason
    state = "sent" if isinstance(outcome, Delivered) else "rejected" if due_at is None else "due"
    asked = {"notification_id": notification.notification_id, "attempt": notification.attempt}
    await connection.execute(
        _RECORD,
        {
            **asked,
            "organization_id": notification.organization_id,
            "channel_id": notification.channel_id,
            "begun_at": begun_at,
            "outcome": name,
            "status": outcome.status,
            "reason": reason,
        },
    )
    settled = await connection.scalar(
        _SETTLE,
        {
            **asked,
            "state": state,
            "due_at": due_at,
            "last_outcome": reason or name,
            "remote_ref": None if isinstance(outcome, Rejected) else outcome.remote_ref,
        },
    )
    return settled is not None


async def hasten(connection: AsyncConnection, channel_id: UUID) -> None:
    """Make due what waits because the channel failed."""
    await connection.execute(_HASTEN, {"channel_id": channel_id})


async def drop_waiting(connection: AsyncConnection, channel_id: UUID, *, reason: str) -> int:
    """End what waits for a channel that ends; it can be sent again by hand. Gives how many."""
    dropped = await connection.execute(_DROP_WAITING, {"channel_id": channel_id, "reason": reason})
    return int(dropped.rowcount)


async def list_notifications(
    connection: AsyncConnection, channel_id: UUID, *, before: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """Give notifications of a channel, the newest first: of all, or of those before one of them."""
    found = await connection.execute(_LIST, {"channel_id": channel_id, "before": before, "limit": limit})
    return [dict(row) for row in found.mappings()]


async def get_notification(connection: AsyncConnection, notification_id: UUID) -> dict[str, Any]:
    """Give one with its attempts. Raises NotFoundError for an unknown one."""
    asked = {"notification_id": notification_id}
    row = (await connection.execute(_GET, asked)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(
            "There is no such notification.",
            remedy="`GET /v1/alerts/channels/{channel_id}/notifications` lists those of a channel.",
        )
    attempts = (await connection.execute(_ATTEMPTS, asked)).mappings()
    return {**row, "tries": [dict(one) for one in attempts]}


async def attempts_of(connection: AsyncConnection, channel_id: UUID, *, limit: int) -> list[dict[str, Any]]:
    """Give the last attempts of a channel, the newest first."""
    found = await connection.execute(_CHANNEL_ATTEMPTS, {"channel_id": channel_id, "limit": limit})
    return [dict(row) for row in found.mappings()]


async def resend(connection: AsyncConnection, notification_id: UUID) -> None:
    """
    Make a notification due again, under its old key; one that is due stays as it is.

    Raises ConflictError where its group was told something later: what began it would open an incident again
    that the later word has ended, and what ended it would end one that stands.
    """
    asked = {"notification_id": notification_id}
    last = await connection.scalar(_LAST_WORD, asked)
    if last is not None:
        raise ConflictError(
            "Its group was told something later, which this would contradict.",
            remedy=f"The last word of the group is {UUID(bytes=last.bytes)}: send that one again.",
        )
    await connection.execute(_RESEND, asked)


async def channels_told(connection: AsyncConnection, dedup_key: str) -> Sequence[UUID]:
    """Give the channels in which this group stands open."""
    found = await connection.execute(_TOLD_AND_OPEN, {"dedup_key": dedup_key})
    return [UUID(bytes=row.channel_id.bytes) for row in found if row.kind != "resolved"]


async def waiting(connection: AsyncConnection) -> Any:
    """Count what waits and which channels are ill, over all walls: for metrics."""
    return (await connection.execute(_WAITING)).one()
