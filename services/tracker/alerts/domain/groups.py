"""
One message for what belongs together: groups, their waiting, their changes, their repeats, their end.

A group is what one channel is told together. It begins with its first alert and ends when none is left;
what it was told is kept with it, in the transaction that writes the message, so that a restart neither
loses nor doubles one. A new alert on a later day begins a new window: the old message is resolved, and a
new one stands where people look, instead of an edit in yesterday's channel.
"""

import hashlib
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from services.tracker.alerts.domain.alerts import Alert
from services.tracker.alerts.domain.calendar import Calendar, next_opening, today
from services.tracker.alerts.domain.content import Severity
from services.tracker.alerts.domain.routing import (
    Leaf,
    Routing,
    Silence,
    Target,
    channels_of,
    inhibited,
    label,
    leaves_of,
    silenced,
)
from services.tracker.alerts.domain.rules import rank

CATCH_UP = "catch_up"
"""The kind of a group of what was found after an outage, and the name of its page."""
_PATIENCE = timedelta(days=3650)
_SHOW_WHO_HAS_IT = frozenset({"pagerduty", "slack_bot", "webhook"})
"""Kinds of channels in which an acknowledgment changes what stands there. Others would only hear twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """
    `told` are the alerts that the last message spoke of; `window` names this life of the group.

    `kind` and `rule_name` are those that it began with; `severity` is the worst that was told last.
    """

    channel_id: UUID
    group_key: str
    kind: str
    rule_name: str
    severity: Severity
    window: str
    began_at: datetime
    flush_at: datetime
    notified_at: datetime | None = None
    told: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a channel is to be told of a group: the alerts that stand, how many are new, how many gone."""

    group: Group
    kind: Literal["firing", "update", "resolved"]
    alerts: tuple[Alert, ...]
    new: int
    gone: int


@dataclass(frozen=True, slots=True)
class Dispatch:
    """
    `groups` as they are now, those that changed; `ended` are over; `messages` go out, in order.

    `standing` are the places of all groups that are not over. `flush_at` is when the first of them may tell a
    change; without any change nothing goes out before `wake_at`. None: never.
    """

    groups: tuple[Group, ...]
    ended: tuple[Group, ...]
    messages: tuple[Message, ...]
    standing: frozenset["Place"] = frozenset()
    flush_at: datetime | None = None
    wake_at: datetime | None = None


def dispatch(
    alerts: Sequence[Alert],
    groups: Sequence[Group],
    *,
    routing: Routing,
    targets: Sequence[Target],
    silences: Sequence[Silence],
    calendar: Calendar,
    at: datetime,
) -> Dispatch:
    """Say what goes out now. `alerts` are all that are open, `groups` all that there are."""
    quiet = inhibited(alerts, routing.inhibitions) | silenced(alerts, silences, at=at)
    open_ids = {alert.alert_id for alert in alerts}
    before = {(group.channel_id, group.group_key): group for group in groups}
    members = _members([one for one in alerts if one.alert_id not in quiet], routing, targets)
    showing = {target.channel_id for target in targets if target.kind in _SHOW_WHO_HAS_IT}
    changed: list[Group] = []
    ended: list[Group] = []
    messages: list[Message] = []
    flushes: dict[Place, datetime] = {}
    wakes: list[datetime] = []
    for place in sorted({*before, *members}):
        leaf, found = members.get(place, (None, []))
        old = before.get(place)
        if old is None:
            assert leaf is not None  # noqa: S101  a place has a group or members
            changed.append(_begin(place, leaf, found, at=at))
            flushes[place] = changed[-1].flush_at
        elif at < old.flush_at and not _outlived(old, leaf, calendar=calendar, at=at):
            flushes[place] = old.flush_at
        elif leaf is not None and leaf.hours == "business" and (opens := next_opening(calendar, at)) > at:
            changed.append(replace(old, flush_at=opens))
            flushes[place] = opens
        else:
            timing = leaf or _last_words()
            step = _flush(old, timing, found, open_ids=open_ids, calendar=calendar, at=at)
            if not step.messages and step.group and place[0] in showing and _was_taken(old, found):
                told = replace(step.group, notified_at=at)
                step = _Step(told, (_message(told, "update", found),))
            messages += step.messages
            (changed if step.group else ended).append(step.group or old)
            if step.group:
                flushes[place] = step.group.flush_at
                wakes.append(_repeats_at(step.group, timing, at=at))
                continue
        wakes += [flushes[place]] if place in flushes else []
    return Dispatch(
        tuple(changed),
        tuple(ended),
        tuple(messages),
        frozenset(flushes),
        min(flushes.values(), default=None),
        min(wakes, default=None),
    )


def begin_groups(
    alerts: Sequence[Alert],
    *,
    standing: Container["Place"],
    routing: Routing,
    targets: Sequence[Target],
    at: datetime,
) -> list[Group]:
    """Begin the groups of new alerts that have none. What keeps an alert quiet is asked when it is told."""
    members = _members(alerts, routing, targets)
    return [
        _begin(place, leaf, found, at=at)
        for place, (leaf, found) in sorted(members.items(), key=lambda one: one[0])
        if place not in standing
    ]


def first_messages(
    alerts: Sequence[Alert],
    *,
    routing: Routing,
    targets: Sequence[Target],
    silences: Sequence[Silence],
    at: datetime,
) -> list[Message]:
    """Give what would go out if nothing had been told yet, without waiting for anything."""
    quiet = inhibited(alerts, routing.inhibitions) | silenced(alerts, silences, at=at)
    members = _members([one for one in alerts if one.alert_id not in quiet], routing, targets)
    return [
        _message(_begin(place, leaf, found, at=at), "firing", found, new=len(found))
        for place, (leaf, found) in sorted(members.items(), key=lambda one: one[0])
    ]


Place = tuple[UUID, str]


def _members(
    alerts: Sequence[Alert], routing: Routing, targets: Sequence[Target]
) -> dict[Place, tuple[Leaf, list[Alert]]]:
    members: dict[Place, tuple[Leaf, list[Alert]]] = {}
    for alert in alerts:
        for leaf in leaves_of(routing.route, alert):
            key = _group_key(leaf, alert)
            for channel_id in channels_of(leaf, targets):
                found = members.setdefault((channel_id, key), (leaf, []))[1]
                if alert not in found[-1:]:  # two routes may lead one alert to one channel
                    found.append(alert)
    return members


def _group_key(leaf: Leaf, alert: Alert) -> str:
    if alert.caught_up_at is not None:
        return f"{CATCH_UP}:{alert.caught_up_at:%Y%m%dT%H%M%S}"
    return f"{leaf.path}:" + ",".join(f"{name}={label(alert, name)}" for name in leaf.group_by)


def _begin(place: Place, leaf: Leaf, found: Sequence[Alert], *, at: datetime) -> Group:
    worst = max(found, key=lambda alert: rank(alert.severity))
    return Group(
        channel_id=place[0],
        group_key=place[1],
        kind=CATCH_UP if worst.caught_up_at else worst.kind,
        rule_name=worst.rule_name,
        severity=worst.severity,
        window=f"{at:%Y%m%dT%H%M%S}",
        began_at=at,
        flush_at=at + timedelta(seconds=leaf.group_wait_seconds),
    )


def _last_words() -> Leaf:
    """Give the timing of a group that no route leads to any more: it is told of its end, and no more."""
    return Leaf("", (), (), 0, 300, int(_PATIENCE.total_seconds()), "always")


def _outlived(old: Group, leaf: Leaf | None, *, calendar: Calendar, at: datetime) -> bool:
    """Tell whether a group waits longer than its route asks for: for hours that were changed meanwhile."""
    if leaf is None:
        return False
    begins = next_opening(calendar, at) if leaf.hours == "business" else at
    longest = timedelta(seconds=max(leaf.group_wait_seconds, leaf.group_interval_seconds))
    return old.flush_at > begins + longest


@dataclass(frozen=True, slots=True)
class _Step:
    group: Group | None
    messages: tuple[Message, ...] = ()


def _flush(
    old: Group,
    leaf: Leaf,
    found: Sequence[Alert],
    *,
    open_ids: set[UUID],
    calendar: Calendar,
    at: datetime,
) -> _Step:
    """
    Decide about a group whose time has come.

    What is silenced or inhibited is not spoken of, but is not gone either: it stays among what was told
    until it resolves.
    """
    firing = {alert.alert_id for alert in found}
    standing = old.told & open_ids
    gone = len(old.told - open_ids)
    new = len(firing - old.told)
    later = at + timedelta(seconds=leaf.group_interval_seconds)
    if not firing and not standing:
        return _Step(None, (_message(old, "resolved", (), gone=gone),) if old.told else ())
    worst = max((alert.severity for alert in found), key=rank, default=old.severity)
    told = replace(old, flush_at=later, notified_at=at, told=frozenset(firing | standing), severity=worst)
    if new and old.told and today(calendar, at) > today(calendar, old.began_at):
        again = replace(told, window=f"{at:%Y%m%dT%H%M%S}", began_at=at)
        over = _message(old, "resolved", (), gone=len(old.told))
        return _Step(again, (over, _message(again, "firing", found, new=new, gone=gone)))
    if new or gone:
        kind: Literal["firing", "update"] = "update" if old.notified_at else "firing"
        if not old.told and not firing:
            return _Step(replace(old, flush_at=later))
        return _Step(told, (_message(told, kind, found, new=new, gone=gone),))
    if _is_due_again(old, leaf, found, at=at):
        return _Step(told, (_message(told, "firing", found),))
    return _Step(replace(old, flush_at=later))


def _is_due_again(old: Group, leaf: Leaf, found: Sequence[Alert], *, at: datetime) -> bool:
    return (
        old.notified_at is not None
        and at - old.notified_at >= timedelta(seconds=leaf.repeat_interval_seconds)
        and any(alert.acknowledged_at is None for alert in found)
    )


def _was_taken(old: Group, found: Sequence[Alert]) -> bool:
    """Tell whether somebody took the last of what stands since it was told."""
    taken = [alert.acknowledged_at for alert in found if alert.acknowledged_at]
    return old.notified_at is not None and len(taken) == len(found) > 0 and max(taken) > old.notified_at


def _repeats_at(group: Group, leaf: Leaf, *, at: datetime) -> datetime:
    """Give when a group that was told all may be told again; one that is not repeated now, a turn later."""
    turn = timedelta(seconds=leaf.repeat_interval_seconds)
    due_at = (group.notified_at or at) + turn
    return due_at if due_at > at else at + turn


def _message(
    group: Group,
    kind: Literal["firing", "update", "resolved"],
    alerts: Sequence[Alert],
    *,
    new: int = 0,
    gone: int = 0,
) -> Message:
    return Message(group=group, kind=kind, alerts=tuple(alerts), new=new, gone=gone)


def dedup_key(organization_id: UUID, group: Group) -> str:
    """Name one life of a group, the same over all its messages and tries; at most 255 characters."""
    digest = hashlib.sha256(group.group_key.encode()).hexdigest()[:16]
    return f"{organization_id.hex[:12]}:{group.kind}:{digest}:{group.window}"
