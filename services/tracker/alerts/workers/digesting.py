"""A team's morning summary: written once a working day, for the channels that its route leads to."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.alerts import other_alert
from services.tracker.alerts.domain.calendar import Calendar, today
from services.tracker.alerts.domain.digests import (
    digest_due,
)
from services.tracker.alerts.domain.routing import channels_of, leaves_of, silenced
from services.tracker.alerts.domain.rules import MorningDigest, Rule
from services.tracker.alerts.store.alerts import active_targets, mark, marked_at, write_notification
from services.tracker.alerts.store.settings import chosen_by, silence_of, silences_of
from services.tracker.alerts.summaries import write_digest


async def send_digest(
    connection: AsyncConnection,
    organization_id: UUID,
    rule: Rule,
    *,
    at: datetime,
    calendar: Calendar,
    case_link: str | None,
) -> int:
    """Write today's digest of a rule, if its hour has come and it was not written yet; gives the messages."""
    settings = rule.settings
    assert isinstance(settings, MorningDigest)  # noqa: S101  the caller asks for this kind
    name = f"digest {rule.rule_id}"
    told_at = await marked_at(connection, organization_id, name)
    if not digest_due(settings, told_at=told_at, at=at, calendar=calendar):
        return 0
    await mark(connection, organization_id, name, at)
    chosen = await chosen_by(connection, organization_id)
    routed = other_alert(rule, "digest", severity="info", label=rule.name, at=at)
    rows = await silences_of(connection, organization_id, ending_after=at)
    if silenced([routed], [silence_of(row) for row in rows], at=at):
        return 0
    targets = await active_targets(connection, organization_id)
    channel_ids = {
        one for leaf in leaves_of(chosen.routing.route, routed) for one in channels_of(leaf, targets)
    }
    if not channel_ids:
        return 0
    content = await write_digest(
        connection, organization_id, rule, told_at=told_at, at=at, calendar=calendar, case_link=case_link
    )
    day = today(calendar, at)
    for channel_id in sorted(channel_ids):
        await write_notification(
            connection,
            organization_id,
            channel_id=channel_id,
            group_key=f"digest:{rule.rule_id}",
            dedup_key=f"{organization_id.hex[:12]}:morning_digest:{rule.rule_id.hex[:16]}:{day}",
            kind="digest",
            severity="info",
            content=content,
        )
    return len(channel_ids)
