"""
What goes out: groups and their messages, written in one transaction.

Open alerts are read when a group may have something to say, and not before: a change waits for its group, a
repetition for its hour.
"""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from services.tracker.alerts.domain.groups import begin_groups, dedup_key, dispatch
from services.tracker.alerts.domain.messages import content_of
from services.tracker.alerts.domain.routing import matches
from services.tracker.alerts.store import alerts as store
from services.tracker.alerts.store.settings import silence_of, silences_of
from services.tracker.alerts.workers.looking import Found, Look, Telling, only_one
from shared.postgres import transaction

_UNINHIBITED = timedelta(seconds=30)
"""When what kept others quiet is gone, they are looked for after so long."""


async def tell(
    engine: AsyncEngine, look: Look, found: Found, *, before: Telling | None
) -> tuple[int, Telling]:
    """
    Write what goes out now; gives the messages' number, and what the groups wait for next.

    `before` is None when channels, routes or silences changed, or memory was lost: then all is gone through.
    """
    if before is None:
        return await _tell(engine, look)
    if found.opened:
        before = await _begin(engine, look, found, before)
    if found.gone and any(
        matches(one.source, alert) for one in look.chosen.routing.inhibitions for alert in found.gone
    ):
        soon = look.at + _UNINHIBITED
        before = replace(before, wake_at=min(before.wake_at or soon, soon))
    before = replace(before, changed=before.changed or bool(found.opened or found.resolved))
    due_at = before.flush_at if before.changed else None
    if any(one is not None and one <= look.at for one in (due_at, before.wake_at)):
        return await _tell(engine, look)
    return 0, before


async def _begin(engine: AsyncEngine, look: Look, found: Found, before: Telling) -> Telling:
    """Begin the groups of what opened, where there are none yet, without reading what is open."""
    async with transaction(engine, organizations=[look.organization_id]) as connection:
        await only_one(connection, look.organization_id)
        begun = begin_groups(
            found.opened,
            standing=before.standing,
            routing=look.chosen.routing,
            targets=await store.active_targets(connection, look.organization_id),
            at=look.at,
        )
        await store.keep_groups(connection, look.organization_id, begun, ())
    flushes = [one.flush_at for one in begun]
    return replace(
        before,
        standing=before.standing | {(one.channel_id, one.group_key) for one in begun},
        flush_at=min([*flushes, *([before.flush_at] if before.flush_at else [])], default=None),
        wake_at=min([*flushes, *([before.wake_at] if before.wake_at else [])], default=None),
    )


async def _tell(engine: AsyncEngine, look: Look) -> tuple[int, Telling]:
    """Go through every group, with all that is open."""
    async with transaction(engine, organizations=[look.organization_id]) as connection:
        await only_one(connection, look.organization_id)
        rows = await silences_of(connection, look.organization_id, ending_after=look.at)
        found = dispatch(
            await store.open_alerts(connection, look.organization_id),
            await store.groups_of(connection, look.organization_id),
            routing=look.chosen.routing,
            targets=await store.active_targets(connection, look.organization_id),
            silences=[silence_of(row) for row in rows],
            calendar=look.calendar,
            at=look.at,
        )
        await store.keep_groups(connection, look.organization_id, found.groups, found.ended)
        for message in found.messages:
            await store.write_notification(
                connection,
                look.organization_id,
                channel_id=message.group.channel_id,
                group_key=message.group.group_key,
                dedup_key=dedup_key(look.organization_id, message.group),
                kind=message.kind,
                severity=message.group.severity,
                content=content_of(message, at=look.at, case_link=look.case_link),
            )
    return len(found.messages), Telling(found.standing, found.flush_at, found.wake_at)
