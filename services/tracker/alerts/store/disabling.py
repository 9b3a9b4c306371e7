"""A channel ends, by its own word or after days of failure, and its organization hears of it elsewhere."""

from uuid import uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.content import Content, Kind
from services.tracker.alerts.store import channels, notifications
from services.tracker.alerts.store.channels import Channel
from services.tracker.store.audit import audit_nobodys

RUNBOOK = "channel_failing"
_RULE = "channel_disabled"

log = structlog.get_logger()

_WHY = {
    "gone": "its destination answered that it is gone",
    "failed_too_long": "it failed for days",
}


async def disable(connection: AsyncConnection, channel: Channel, *, reason: str) -> None:
    """Disable a channel, end what waits for it, and tell so through another one that works."""
    await channels.disable_channel(connection, channel.channel_id, reason=reason)
    dropped = await notifications.drop_waiting(connection, channel.channel_id, reason="channel_disabled")
    await audit_nobodys(
        connection,
        channel.organization_id,
        "channel_disabled",
        detail={"channel_id": str(channel.channel_id), "reason": reason, "dropped": dropped},
    )
    log.warning(
        "channel_disabled",
        channel=channel.kind,
        organization_id=channel.organization_id,
        reason=reason,
        count=dropped,
    )
    others = [
        one
        for one in await channels.list_channels(connection)
        if one.channel_id != channel.channel_id and one.state == "active" and one.failing_since is None
    ]
    if others:
        title = f"The alert channel “{channel.name}” was disabled: {_WHY[reason]}"
        await _tell(connection, channel, min(others, key=_last_resort), kind="firing", title=title)


async def tell_enabled(connection: AsyncConnection, channel: Channel) -> None:
    """Take back, where it was told, that a channel is disabled."""
    told = set(await notifications.channels_told(connection, _dedup_key(channel)))
    for other in await channels.list_channels(connection):
        if other.channel_id in told and other.state == "active":
            title = f"The alert channel “{channel.name}” is enabled again"
            await _tell(connection, channel, other, kind="resolved", title=title)


def _last_resort(channel: Channel) -> tuple[bool, float]:
    """Sort first what delivered last."""
    at = channel.delivered_at
    return (at is None, -at.timestamp() if at else 0.0)


async def _tell(
    connection: AsyncConnection, channel: Channel, through: Channel, *, kind: Kind, title: str
) -> None:
    key = _dedup_key(channel)
    await notifications.add_notification(
        connection,
        organization_id=channel.organization_id,
        notification_id=uuid4(),
        channel_id=through.channel_id,
        group_key=key,
        dedup_key=key,
        kind=kind,
        severity="error" if kind == "firing" else "info",
        content=Content(title=title, rule=_RULE, runbook=RUNBOOK),
    )


def _dedup_key(channel: Channel) -> str:
    return f"{channel.organization_id.hex[:8]}:{_RULE}:{channel.channel_id}"
