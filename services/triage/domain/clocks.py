"""The clocks of one denial: each of the payer's time limits, with its date or its bounds, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

import msgspec

from services.triage.domain.anchors import Dates, Day, Start, last_moment, start_of
from services.triage.domain.calendars import Calendar
from services.triage.domain.conditions import Known, all_of, any_of
from services.triage.domain.cues import NO_APPEAL, appeal_cues
from services.triage.domain.policies import PayerMatch
from services.triage.domain.policy import ClockRule
from services.triage.domain.ways import APPEALS, KINDS, WAYS
from services.triage.domain.windows import End, Window, end_of
from shared.contracts.decision import Clock, ClockKind, FactKind

State = Literal["open", "perhaps_open", "closed", "forbidden", "unknown"]

_FAR = datetime.max.replace(tzinfo=UTC)
_RETRO: ClockKind = "retro_authorization"
_SILENT_LABEL = "Retroactive request: the policy states no window, ask the payer"
SILENT = "the payer's policy states no window for a retroactive request: ask the payer"
"""Why a person must look where only the default policy's range stands for a way that cures the denial."""


@dataclass(frozen=True, slots=True)
class RunningClock:
    """A clock with the policy's rule that made it; no rule where a remark on the remittance did."""

    clock: Clock
    rule: ClockRule | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """Whether the payer allows a way, why not, and what is missing to know."""

    permitted: bool | None
    reasons: tuple[str, ...] = ()
    missing: tuple[FactKind, ...] = ()


_PERMITTED = Permission(permitted=True)


def clocks_of(
    match: PayerMatch, dates: Dates, calendar: Calendar, remarks: frozenset[str]
) -> list[RunningClock]:
    """
    Compute every clock that concerns the denial, the next to end first, forbidden ones last.

    A more specific policy (a delegate's) replaces the payer's clocks of the same kind. The payer's own words
    on the remittance (MA01, MA02) run beside the policy: both are shown, the earlier comes first. Where the
    payer's policies are silent about a retroactive request that would cure the denial, the default's range
    is shown: silence does not forbid.
    """
    known = Known(event=dates.event, facts=dates.facts, category=dates.category)
    running = [
        RunningClock(clock, rule)
        for rule in _rules(match, dates)
        if (clock := _clock(rule, known, dates, calendar, remarks)) is not None
    ]
    running += _where_silent(match, running, known, dates, calendar, remarks)
    if remarks:
        zone = match.policies[0].file.zone if match.policies else "UTC"
        running += [RunningClock(clock, None) for clock in appeal_cues(dates, calendar, remarks, zone=zone)]
    if len(running) > 1:
        running.sort(key=_order)
    return running


def state_of(clock: Clock, as_of: date) -> State:
    """Say whether a clock still runs on a day. Its last day counts; no lower bound: only perhaps open."""
    if clock.permitted is False:
        return "forbidden"
    end = clock.deadline_at or clock.latest
    if end is not None and end.date() < as_of:
        return "closed"
    if clock.permitted is None:
        return "unknown"
    begin = clock.deadline_at or clock.earliest
    return "open" if begin is not None and begin.date() >= as_of else "perhaps_open"


def plan_for(clock: Clock, as_of: date) -> datetime | None:
    """Give the instant to plan for: the deadline, else the earliest bound not past, else the latest."""
    if clock.deadline_at is not None:
        return clock.deadline_at
    if clock.earliest is not None and (clock.earliest.date() >= as_of or clock.latest is None):
        return clock.earliest
    return clock.latest


def _order(running: RunningClock) -> tuple[bool, datetime, str]:
    clock = running.clock
    return clock.permitted is False, clock.deadline_at or clock.earliest or clock.latest or _FAR, clock.kind


def _rules(match: PayerMatch, dates: Dates) -> Iterator[ClockRule]:
    taken: set[str] = set()
    relevant = KINDS[dates.category]
    for policy in match.policies:
        for rule in policy.rules:
            if rule.entry.kind in relevant and rule.entry.kind not in taken:
                yield rule
        taken |= policy.kinds


def _where_silent(
    match: PayerMatch,
    running: Sequence[RunningClock],
    known: Known,
    dates: Dates,
    calendar: Calendar,
    remarks: frozenset[str],
) -> list[RunningClock]:
    if match.fallback is None or not any(kind == _RETRO for kind, _ in WAYS[dates.category].first):
        return []
    if any(one.clock.kind == _RETRO for one in running):
        return []
    return [
        RunningClock(_by_silence(clock), rule)
        for rule in match.fallback.rules
        if rule.entry.kind == _RETRO and (clock := _clock(rule, known, dates, calendar, remarks)) is not None
    ]


def _by_silence(clock: Clock) -> Clock:
    if clock.permitted is False:
        return clock
    return msgspec.structs.replace(clock, label=_SILENT_LABEL, reasons=(SILENT,))


def _clock(
    rule: ClockRule, known: Known, dates: Dates, calendar: Calendar, remarks: frozenset[str]
) -> Clock | None:
    concerns, _, missing_to_concern = all_of(rule.when, known)
    if concerns is False:
        return None
    entry, policy = rule.entry, rule.policy
    permission = _permission(rule, known, missing_to_concern, remarks)
    start = low = high = None
    missing = list(permission.missing)
    reasons = list(permission.reasons)
    if rule.window is not None:
        later = entry.after is not None
        start = start_of(entry.anchors, entry.choose, dates, later_level=later)
        low, high = _ends(rule, start, dates, calendar)
        if start.missing:
            missing.append(start.missing)
        if start.exact is not None and low is not None and high is not None and low.at != high.at:
            reasons += _why_a_range(rule, start, missing)
        if later and start.earliest is None and permission.permitted is not False:
            reasons.append(f"it opens with the decision on the {str(entry.after).replace('_', ' ')}")
    settled = low is not None and high is not None and low.at == high.at
    waits = entry.after is not None and start is not None and start.earliest is None
    return Clock(
        kind=entry.kind,
        permitted=None if waits and permission.permitted else permission.permitted,
        policy_id=policy.id,
        policy_version=policy.version,
        policy_status=policy.status,
        zone=policy.zone,
        label=entry.label,
        deadline_at=low.at if settled and low else None,
        earliest=None if settled or low is None else low.at,
        latest=None if settled or high is None else high.at,
        anchor=start.anchor if start else None,
        anchor_date=_anchor_date(start),
        anchor_source=start.source if start else None,
        steps=_steps(start, low, high),
        reasons=tuple(reasons),
        missing_facts=tuple(dict.fromkeys(missing)),
        consequence=entry.consequence,
    )


def _permission(
    rule: ClockRule, known: Known, missing_to_concern: Sequence[FactKind], remarks: frozenset[str]
) -> Permission:
    entry = rule.entry
    barred = _barred(rule, remarks)
    if barred is not None:
        return barred
    if entry.certain and not (missing_to_concern or rule.requires or rule.excludes or rule.requires_any):
        return _PERMITTED
    required, failed, missing = all_of(rule.requires, known)
    excluded, missing_excludes = any_of(rule.excludes, known) if rule.excludes else (False, [])
    one_of, missing_any = any_of(rule.requires_any, known)
    reasons = [f"it requires {_words(text)}" for text in failed]
    if excluded:
        reasons.append(f"it excludes {' or '.join(_words(text) for text in entry.excludes)}")
    if one_of is False:
        reasons.append(f"it requires one of: {', '.join(_words(text) for text in entry.requires_any)}")
    if reasons:
        return Permission(permitted=False, reasons=(*reasons, *_instead(rule)))
    missing = [*missing_to_concern, *missing, *missing_excludes, *missing_any]
    if not entry.certain:
        # What might exclude the way is no fact to look for: only the payer's answer settles it.
        asked_for = (*missing_to_concern, *missing, *missing_any)
        return Permission(
            permitted=None, reasons=("no rule of this payer is known: ask the payer",), missing=asked_for
        )
    sure = bool(required) and excluded is False and bool(one_of) and not missing_to_concern
    if sure:
        return _PERMITTED
    asked = [*rule.requires, *rule.requires_any, *rule.excludes, *rule.when]
    open_texts = [c.text for c in asked if c.subject in missing]
    reason = f"it hangs on {', '.join(_words(text) for text in dict.fromkeys(open_texts))}"
    return Permission(permitted=None, reasons=(reason,), missing=tuple(missing))


def _barred(rule: ClockRule, remarks: frozenset[str]) -> Permission | None:
    """Give the refusal that no fact can change: the payer's rule, or its own word on the remittance."""
    if not rule.entry.permitted:
        return Permission(permitted=False, reasons=("the payer does not permit it", *_instead(rule)))
    if rule.entry.kind in APPEALS and not remarks.isdisjoint(NO_APPEAL):
        return Permission(permitted=False, reasons=tuple(NO_APPEAL[c] for c in NO_APPEAL if c in remarks))
    return None


def _instead(rule: ClockRule) -> tuple[str, ...]:
    return () if rule.entry.fallback is None else (f"instead: {rule.entry.fallback}",)


def _words(condition: str) -> str:
    if condition == "no_claim_submitted":
        return "that no claim was submitted yet, and this remittance proves one"
    return condition.replace("!=", " other than ").replace("=", ": ").replace("_", " ").replace("|", " or ")


def _ends(rule: ClockRule, start: Start, dates: Dates, calendar: Calendar) -> tuple[End | None, End | None]:
    assert rule.window is not None  # noqa: S101  (the caller asks only for clocks that count)
    low = None if start.earliest is None else end_of(rule.window, start.earliest, calendar)
    high = None if start.latest is None else _latest_end(rule.widest or rule.window, start.latest, calendar)
    for anchor, window in rule.caps:
        cap = start_of((anchor,), "earliest", dates, later_level=False)
        cap_low = None if cap.earliest is None else end_of(window, cap.earliest, calendar)
        cap_high = None if cap.latest is None else _latest_end(window, cap.latest, calendar)
        low = None if low is None or cap_low is None else min(low, cap_low, key=_at)
        high = min((end for end in (high, cap_high) if end is not None), key=_at, default=None)
    return low, high


def _at(end: End) -> datetime:
    return end.at


def _latest_end(window: Window, day: Day, calendar: Calendar) -> End:
    """For a limit in hours that starts with a day only: counted from that day's last minute."""
    hours = window.span.unit == "hours"
    return end_of(window, last_moment(day) if hours else day, calendar)


def _why_a_range(rule: ClockRule, start: Start, missing: list[FactKind]) -> list[str]:
    if rule.widest is not None:
        return ["sources state different lengths: the earliest and the latest are shown"]
    told: dict[str, FactKind] = {"admission": "admission_date", "coverage_known": "coverage_known_at"}
    if start.anchor in told:
        missing.append(told[start.anchor])
    return ["hours are counted and only the day is known: record the hour"]


def _anchor_date(start: Start | None) -> date | None:
    day = None if start is None else start.exact
    return day.date() if isinstance(day, datetime) else day


def _steps(start: Start | None, low: End | None, high: End | None) -> tuple[str, ...]:
    if start is None or start.source is None:
        return ()
    origin = f"counted from {start.source}"
    if low is not None and (high is None or low.at == high.at):
        bound = () if high is not None else ("this is the earliest it can end",)
        return (origin, *low.steps, *bound)
    if low is None:
        return (origin, *high.steps, "this is the latest it can end") if high is not None else (origin,)
    assert high is not None  # noqa: S101  (both ends are known and differ)
    earliest = (f"earliest: {step}" for step in low.steps)
    latest = (f"latest: {step}" for step in high.steps)
    return (origin, *earliest, *latest)
