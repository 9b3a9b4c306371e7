"""Goes through a rule again over the past days, as far as what it looks at is still known."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.calendar import ONE_DAY, Calendar, today, works_on
from services.tracker.alerts.domain.digests import calendar_of
from services.tracker.alerts.domain.messages import content_of
from services.tracker.alerts.domain.patterns import first_day
from services.tracker.alerts.domain.replay import (
    Turn,
    case_turns,
    jump_turns,
    replay,
    spells,
)
from services.tracker.alerts.domain.routing import Target
from services.tracker.alerts.domain.rules import (
    DenialJump,
    MorningDigest,
    Pipeline,
    Rule,
)
from services.tracker.alerts.store.alerts import active_targets
from services.tracker.alerts.store.history import (
    counted_denials,
    past_attempts,
    past_cases,
    past_reconciliations,
)
from services.tracker.alerts.store.settings import Chosen, chosen_by

CASES_MAX = 20_000
_SAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """
    What a rule would have sent. `messages` counts new and changed ones, over all channels once; None when the
    past is not known. `left_out` says what of it is not gone through.
    """

    messages: int | None
    alerts: int = 0
    by_day: dict[date, int] = field(default_factory=dict)
    samples: tuple[str, ...] = ()
    cases: int = 0
    truncated: bool = False
    left_out: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a rule's past, to be gone through without a database; `past` is clear already."""

    since: datetime
    until: datetime
    chosen: Chosen
    targets: Sequence[Target]
    past: Past
    turns: Iterable[Turn] | None = None


async def known_past(
    connection: AsyncConnection, organization_id: UUID, rule: Rule, *, since: datetime, at: datetime
) -> Known:
    """Read what is known of the past that a rule looks at."""
    known = Known(
        since=since,
        until=at,
        chosen=await chosen_by(connection, organization_id),
        targets=await active_targets(connection, organization_id),
        past=Past(messages=0),
    )
    match rule.settings:
        case MorningDigest():
            return replace(known, past=_digests(rule.settings, known.chosen.calendar, since=since, at=at))
        case DenialJump():
            return await _denials(connection, organization_id, rule, known)
        case Pipeline(kind="channel_failing"):
            return await _deliveries(connection, organization_id, rule, known)
        case Pipeline(kind="reconciliation_failed"):
            runs = await past_reconciliations(connection, organization_id, since=since)
            seen = [(run.at, run.well) for run in runs]
            turns = spells(rule, "reconciliation", seen, label="a reconciliation failed", until=at)
            return replace(known, turns=turns)
        case Pipeline():
            return replace(known, past=Past(messages=None, left_out=_FIGURES))
        case _:
            return await _cases(connection, organization_id, rule, known)


_FIGURES = "The figures of the pipeline are kept for an hour only."
_DECISIONS = "Deadlines are those of today's decisions; what was sent and came back counts as sent."
_FAILED = "What was to go out over a channel while it failed counts as told."


def go_through(known: Known) -> Past:
    """Go through the past again, with today's routes."""
    if known.turns is None:
        return known.past
    calendar = known.chosen.calendar
    found = replay(
        known.turns,
        routing=known.chosen.routing,
        targets=known.targets,
        calendar=calendar,
        since=known.since,
        until=known.until,
    )
    # What two channels are told is one message here.
    messages = {
        (sent_at, message.group.group_key): message
        for sent_at, message in found.messages
        if message.kind != "resolved"
    }
    by_day = Counter(today(calendar, sent_at) for sent_at, _ in messages)
    last = list(messages.items())[-_SAMPLES:]
    return replace(
        known.past,
        messages=len(messages),
        alerts=found.alerts,
        by_day=dict(sorted(by_day.items())),
        samples=tuple(content_of(message, at=sent_at).title for (sent_at, _), message in last),
    )


async def _cases(connection: AsyncConnection, organization_id: UUID, rule: Rule, known: Known) -> Known:
    calendar = known.chosen.calendar
    cases = await past_cases(
        connection,
        organization_id,
        rule,
        since=known.since,
        at=known.until,
        calendar=calendar,
        limit=CASES_MAX + 1,
    )
    shown = cases[:CASES_MAX]
    return replace(
        known,
        turns=case_turns(rule, shown, calendar=calendar, since=known.since, until=known.until),
        past=Past(messages=0, cases=len(shown), truncated=len(cases) > len(shown), left_out=_DECISIONS),
    )


async def _denials(connection: AsyncConnection, organization_id: UUID, rule: Rule, known: Known) -> Known:
    assert isinstance(rule.settings, DenialJump)  # noqa: S101  the caller asks for this kind
    calendar = known.chosen.calendar
    first = first_day(rule.settings, today(calendar, known.since))
    rows = await counted_denials(connection, organization_id, first_day=first, calendar=calendar)
    return replace(
        known,
        turns=jump_turns(rule, rows, calendar=calendar, since=known.since, until=known.until),
        past=Past(messages=0, cases=sum(row.denials for row in rows)),
    )


async def _deliveries(connection: AsyncConnection, organization_id: UUID, rule: Rule, known: Known) -> Known:
    by_channel: dict[UUID, list[tuple[datetime, bool]]] = defaultdict(list)
    for one in await past_attempts(connection, organization_id, since=known.since):
        by_channel[one.channel_id].append((one.ended_at, one.well))
    turns = [
        turn
        for channel_id, seen in by_channel.items()
        for turn in spells(rule, str(channel_id), seen, label="an alert channel failed", until=known.until)
    ]
    return replace(known, turns=turns, past=Past(messages=0, left_out=_FAILED))


def _digests(settings: MorningDigest, calendar: Calendar, *, since: datetime, at: datetime) -> Past:
    own = calendar_of(settings, calendar)
    begins = today(own, since)
    days = (begins + number * ONE_DAY for number in range(1, (at - since) // ONE_DAY + 1))
    by_day = {day: 1 for day in days if works_on(own, day)}
    return Past(messages=len(by_day), by_day=by_day)
