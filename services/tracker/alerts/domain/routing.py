"""
Who hears of which alert: a tree of routes, inhibitions and silences, as Alertmanager taught people.

An alert goes down the tree as far as a route matches, and the deepest that matches decides; `keep_going`
lets the next sibling have it as well. What a route leaves out it has from the one above.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from services.tracker.alerts.domain.alerts import Alert
from services.tracker.alerts.domain.content import Severity
from services.tracker.alerts.domain.judging import names_payer
from services.tracker.alerts.domain.rules import NAMED_MAX, Dollars, Part, Word

Label = Literal["rule", "kind", "severity", "payer", "category", "tier", "case"]
Hours = Literal["always", "business"]
ROUTES_DEPTH_MAX = 10
"""What is kept as JSON must be read again, by parsers that have bounds of their own."""
Seconds = Annotated[int, Field(ge=0, le=30 * 86_400)]


class Match(Part):
    """All that is given must hold; of a list any. Empty matches every alert."""

    kinds: Annotated[tuple[Word, ...], Field(max_length=NAMED_MAX)] = ()
    rules: Annotated[tuple[UUID, ...], Field(max_length=NAMED_MAX)] = ()
    severities: Annotated[tuple[Severity, ...], Field(max_length=NAMED_MAX)] = ()
    payers: Annotated[tuple[Word, ...], Field(max_length=NAMED_MAX)] = ()
    categories: Annotated[tuple[Word, ...], Field(max_length=NAMED_MAX)] = ()
    amount_at_least: Dollars | None = None
    cases: Annotated[tuple[UUID, ...], Field(max_length=NAMED_MAX)] = ()


def matches(match: Match, alert: Alert) -> bool:
    """Tell whether an alert is one of those."""
    return (
        (not match.kinds or alert.kind in match.kinds)
        and (not match.rules or alert.rule_id in match.rules)
        and (not match.severities or alert.severity in match.severities)
        and (not match.payers or names_payer(match.payers, alert.payer, alert.payer_id))
        and (not match.categories or alert.category in match.categories)
        and (match.amount_at_least is None or (alert.amount or 0) >= match.amount_at_least)
        and (not match.cases or alert.case_id in match.cases)
    )


class Route(Part):
    """
    `channels`: ids, or every active channel: `all`, `paging` (PagerDuty), `quiet` (the others).

    A group is told `group_wait_seconds` after its first alert, of changes every `group_interval_seconds` at
    most, and again every `repeat_interval_seconds` while nobody acknowledged it; `hours` business holds
    everything until people are at work.
    """

    name: Word
    match: Match = Match()
    channels: Literal["all", "paging", "quiet"] | tuple[UUID, ...] | None = None
    group_by: tuple[Label, ...] | None = None
    group_wait_seconds: Seconds | None = None
    group_interval_seconds: Annotated[int, Field(ge=15, le=86_400)] | None = None
    repeat_interval_seconds: Annotated[int, Field(ge=300, le=30 * 86_400)] | None = None
    hours: Hours | None = None
    keep_going: bool = False
    routes: Annotated[tuple["Route", ...], Field(max_length=50)] = ()


class Inhibition(Part):
    """An alert of `source` keeps those of `target` quiet that have the same `equal` labels."""

    source: Match
    target: Match
    equal: Annotated[tuple[Label, ...], Field(min_length=1)] = ("case",)


class Routing(Part):
    """The whole of what an organization says about who hears what."""

    route: Route
    inhibitions: Annotated[tuple[Inhibition, ...], Field(max_length=50)] = ()

    @model_validator(mode="after")
    def _is_flat_enough(self) -> Self:
        level = [self.route]
        for _ in range(ROUTES_DEPTH_MAX + 1):
            level = [below for route in level for below in route.routes]
        if level:
            raise ValueError(f"routes stand at most {ROUTES_DEPTH_MAX} deep")
        return self


@dataclass(frozen=True, slots=True)
class Leaf:
    """A route with all that it has from above. `path` names it and those above it."""

    path: str
    channels: Literal["all", "paging", "quiet"] | tuple[UUID, ...]
    group_by: tuple[Label, ...]
    group_wait_seconds: int
    group_interval_seconds: int
    repeat_interval_seconds: int
    hours: Hours


_ROOT = Leaf("", (), ("rule",), 30, 300, 4 * 3600, "always")


def leaves_of(route: Route, alert: Alert, above: Leaf = _ROOT) -> Iterator[Leaf]:
    """Give the routes that decide about an alert."""
    if not matches(route.match, alert):
        return
    here = _inherit(route, above)
    decided = False
    for below in route.routes:
        found = list(leaves_of(below, alert, here))
        yield from found
        decided = decided or bool(found)
        if found and not below.keep_going:
            break
    if not decided:
        yield here


def _inherit(route: Route, above: Leaf) -> Leaf:
    def own(name: str) -> object:
        given = getattr(route, name)
        return getattr(above, name) if given is None else given

    return Leaf(
        f"{above.path}/{route.name}",
        own("channels"),  # type: ignore[arg-type]  # each name's own type
        own("group_by"),  # type: ignore[arg-type]
        own("group_wait_seconds"),  # type: ignore[arg-type]
        own("group_interval_seconds"),  # type: ignore[arg-type]
        own("repeat_interval_seconds"),  # type: ignore[arg-type]
        own("hours"),  # type: ignore[arg-type]
    )


@dataclass(frozen=True, slots=True)
class Target:
    """An active channel as routes see it."""

    channel_id: UUID
    kind: str


def channels_of(leaf: Leaf, targets: Sequence[Target]) -> list[UUID]:
    """Give the channels that a route leads to, of those that are active."""
    match leaf.channels:
        case "all":
            return [one.channel_id for one in targets]
        case "paging":
            return [one.channel_id for one in targets if one.kind == "pagerduty"]
        case "quiet":
            return [one.channel_id for one in targets if one.kind != "pagerduty"]
        case ids:
            return [one.channel_id for one in targets if one.channel_id in ids]


def label(alert: Alert, name: Label) -> str:
    """Give the value of a label; empty where the alert has none."""
    match name:
        case "rule":
            return str(alert.rule_id)
        case "case":
            return str(alert.case_id or "")
        case "payer":
            return alert.payer_id or alert.payer or ""
        case _:
            return str(getattr(alert, name) or "")


def inhibited(alerts: Sequence[Alert], inhibitions: Iterable[Inhibition]) -> frozenset[UUID]:
    """Give the alerts that others keep quiet. One that matches both sides never keeps itself quiet."""
    quiet: set[UUID] = set()
    for one in inhibitions:
        loud: dict[tuple[str, ...], set[UUID]] = {}
        for alert in alerts:
            key = tuple(label(alert, name) for name in one.equal)
            if all(key) and matches(one.source, alert):
                loud.setdefault(key, set()).add(alert.alert_id)
        quiet |= {
            alert.alert_id
            for alert in alerts
            if loud.get(tuple(label(alert, name) for name in one.equal), set()) - {alert.alert_id}
            and matches(one.target, alert)
        }
    return frozenset(quiet)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Alerts that match are kept quiet from `starts_at` to before `ends_at`. Maintenance matches all."""

    silence_id: UUID
    match: Match
    starts_at: datetime
    ends_at: datetime


def silenced(alerts: Iterable[Alert], silences: Iterable[Silence], *, at: datetime) -> frozenset[UUID]:
    """Give the alerts that somebody silenced."""
    active = [one for one in silences if one.starts_at <= at < one.ends_at]
    return frozenset(alert.alert_id for alert in alerts if any(matches(one.match, alert) for one in active))
