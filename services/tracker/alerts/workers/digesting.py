"""A team's morning summary: written once a working day, for the channels that its route leads to."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.alerts import other_alert
from services.tracker.alerts.domain.calendar import today
from services.tracker.alerts.domain.routing import channels_of, leaves_of, silenced
from services.tracker.alerts.domain.rules import Rule
from services.tracker.alerts.store.alerts import active_targets, mark, write_notification
from services.tracker.alerts.store.settings import silence_of, silences_of
from services.tracker.alerts.summaries import write_digest
from services.tracker.alerts.workers.looking import Look


def digest_mark(rule: Rule) -> str:
    """Name the mark of when a rule's digest was written last."""
    return f"digest {rule.rule_id}"


async def send_digest(
    connection: AsyncConnection, look: Look, rule: Rule, *, told_at: datetime | None
) -> int:
    """Write today's digest of a rule, and note it; gives the messages. `told_at` is the one before."""
    organization_id, at = look.organization_id, look.at
    await mark(connection, organization_id, digest_mark(rule), at)
    routed = other_alert(rule, "digest", severity="info", label=rule.name, at=at)
    rows = await silences_of(connection, organization_id, ending_after=at)
    if silenced([routed], [silence_of(row) for row in rows], at=at):
        return 0
    targets = await active_targets(connection, organization_id)
    leaves = leaves_of(look.chosen.routing.route, routed)
    channel_ids = {one for leaf in leaves for one in channels_of(leaf, targets)}
    if not channel_ids:
        return 0
    content = await write_digest(
        connection,
        organization_id,
        rule,
        told_at=told_at,
        at=at,
        calendar=look.calendar,
        case_link=look.case_link,
    )
    day = today(look.calendar, at)
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
