"""The clocks of one denial: each of the payer's time limits, with its date or its bounds, and why."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from services.triage.domain.anchors import Dates, Day, Sought, Start, last_moment, start_of
from services.triage.domain.conditions import Known, Questions, all_of, any_of, ask
from services.triage.domain.cues import APPEAL_DAYS, NO_APPEAL, appeal_cues
from services.triage.domain.policies import PayerMatch
from services.triage.domain.policy import ClockRule
from services.triage.domain.policy_file import Late, Review
from services.triage.domain.ways import APPEALS, OF_A_DELEGATE
from services.triage.domain.windows import End, Window, ends_of
from shared.calendars import Calendar
from shared.contracts.decision import Clock, ClockKind, FactKind

State = Literal["open", "perhaps_open", "closed", "forbidden", "unknown"]

_FAR = datetime.max.replace(tzinfo=UTC)
_RETRO: ClockKind = "retro_authorization"
_CORRECTED: ClockKind = "corrected_claim"
_SILENT_LABEL = "Retroactive request: the policy states no window, ask the payer"
SILENT = "the payer's policy states no window for a retroactive request: ask the payer"
"""Why a person must look where only the default policy's range stands for a way that cures the denial."""
PERHAPS = "the payer's own windows hang on what nobody recorded: until then plan by this, if it ends first"
"""Why the default policy's range stands beside windows that may not be this claim's."""
_PERHAPS_LABEL = "Retroactive request, if the payer's own window is not this claim's: ask the payer"
_DECIDED = "the payer has decided it: the next level is what is left"
_PERHAPS_DECIDED = "the remittance upholds an earlier decision: if that answered this, it is used up"
ONCE_UPHELD = "an earlier remittance upheld the denial: if the payer decided this level then, it is used up"
ONE_DECIDED = "the payer has decided a level, nobody recorded which: if it was this one, it is used up"
"""Why a person must look where nobody knows which levels are left."""
_LENT = {SILENT: _SILENT_LABEL, PERHAPS: _PERHAPS_LABEL}


class RunningClock(Struct, frozen=True, eq=False):
    """
    A clock with the policy's rule that made it; no rule where a remark on the remittance did.

    `review`: how long the payer takes for its answer. `exempt`: why the payer's own rule asked for nothing.
    Denials that share the rule, the answers and the days
    share it: what follows from it is remembered by it.
    """

    clock: Clock
    rule: ClockRule | None
    review: Review | None = None
    exempt: str | None = None


class Permission(Struct, frozen=True, kw_only=True):
    """Whether the payer allows a way, why not, what is missing to know, and what exempts the claim."""

    permitted: bool | None
    reasons: tuple[str, ...] = ()
    missing: tuple[FactKind, ...] = ()
    exempt: str | None = None


class Standing(Struct, frozen=True, cache_hash=True):
    """A rule that concerns a claim. `lent`: why the default lends it. `followed`: a level comes after it."""

    rule: ClockRule
    permission: Permission
    review: Review | None
    lent: str | None = None
    followed: bool = False


class Standings(Struct, frozen=True, kw_only=True, eq=False):
    """
    The rules that concern a claim, and the days that they count from: made once, compared by identity.

    `remarks` may announce clocks of their own, in the `zone` of the payer.
    """

    rules: tuple[Standing, ...]
    sought: Sought
    remarks: frozenset[str]
    zone: str


_PERMITTED = Permission(permitted=True)


def clocks_of(standings: Standings, dates: Dates, calendar: Calendar) -> tuple[RunningClock, ...]:
    """
    Compute every clock that concerns the denial, the next to end first, forbidden ones last.

    The payer's own words on the remittance (MA01, MA02) run beside the policy: both are shown, the earlier
    comes first.
    """
    running = [_started(standing, dates, calendar) for standing in standings.rules]
    if not standings.remarks.isdisjoint(APPEAL_DAYS):
        running += _announced(_telling(dates), calendar, standings.remarks, standings.zone)
    if len(running) > 1:
        running.sort(key=_order)
    return tuple(running)


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


def plan_for(clock: Clock) -> datetime | None:
    """
    Give the instant to act by: the deadline, else the earliest end that it may have, else the latest.

    It stays where it is once the earliest end has passed: nobody knows that the later one counts.
    """
    return clock.deadline_at or clock.earliest or clock.latest


def may_have_closed(clock: Clock, as_of: date) -> bool:
    """Tell whether the earliest reading of a clock's end has passed, and its latest has not."""
    alive = clock.deadline_at is None and state_of(clock, as_of) not in {"closed", "forbidden"}
    return alive and clock.earliest is not None and clock.earliest.date() < as_of


def _order(running: RunningClock) -> tuple[bool, datetime, str]:
    clock = running.clock
    return clock.permitted is False, clock.deadline_at or clock.earliest or clock.latest or _FAR, clock.kind


@lru_cache(maxsize=8192)
def standings_of(
    match: PayerMatch,
    kinds: frozenset[ClockKind],
    known: Known,
    remarks: frozenset[str],
    *,
    limited: bool,
) -> Standings:
    """
    Find the rules for these kinds of clocks that concern a claim, and whether the payer allows their ways.

    A more specific policy (a delegate's) replaces the payer's clocks of the same kind. Where the payer's
    policies are silent about a retroactive request that would cure the denial, the default's range is shown:
    silence does not forbid. So it is beside windows that hang on what nobody knows. `limited`: a person
    recorded a filing limit.
    """
    standings = _followed(_standing(match, kinds, known, remarks))
    if limited and _CORRECTED in kinds:
        standings += _filing_limit(match, known, remarks, standings)
    return Standings(
        rules=tuple(standings),
        sought=Sought.by({anchor for one in standings for anchor in one.rule.anchors}),
        remarks=remarks,
        zone=match.policies[0].file.zone if match.policies else "UTC",
    )


def _standing(
    match: PayerMatch, kinds: frozenset[ClockKind], known: Known, remarks: frozenset[str]
) -> list[Standing]:
    delegated = known.category in OF_A_DELEGATE
    rules = [rule for rule in _rules(match, kinds) if not delegated or _counts_of_a_delegate(rule)]
    found = [one for rule in rules if (one := _stands(rule, known, remarks))]
    if delegated:
        return found
    own = [one for one in found if one.rule.entry.kind == _RETRO]
    # A window that hangs on whether it is this claim's may leave the claim to no rule; one that hangs on what
    # the payer requires may not: where that does not hold, the payer takes no request.
    hangs = any(
        one.permission.permitted is None
        and one.rule.entry.certain
        and all_of(one.rule.when, known)[0] is None
        for one in own
    )
    if not own or (hangs and not any(one.permission.permitted for one in own) and not _covers_all(own)):
        lent = [_stands(rule, known, remarks) for rule in _lendable(match, kinds)]
        why = PERHAPS if own else SILENT
        found += [msgspec.structs.replace(one, lent=why) for one in lent if one is not None]
    return found


def _followed(standings: list[Standing]) -> list[Standing]:
    """Mark the levels whose decision opens another one."""
    before = {one.rule.entry.after for one in standings}
    return [
        msgspec.structs.replace(one, followed=True) if one.rule.entry.kind in before else one
        for one in standings
    ]


def _covers_all(standings: Sequence[Standing]) -> bool:
    """Tell whether one window hangs on a fact alone, another on its opposite: one is the claim's."""
    hanging = {
        one.rule.entry.when[0]
        for one in standings
        if len(one.rule.entry.when) == 1
        and not (one.rule.requires or one.rule.requires_any or one.rule.excludes)
    }
    return any("!=" in text and text.replace("!=", "=") in hanging for text in hanging)


def _counts_of_a_delegate(rule: ClockRule) -> bool:
    return rule.entry.kind != _RETRO or rule.policy.match.delegate is not None


def _filing_limit(
    match: PayerMatch, known: Known, remarks: frozenset[str], standings: Sequence[Standing]
) -> list[Standing]:
    """Lend the default's clock for a corrected claim: a filing limit that a person recorded binds any way."""
    if match.fallback is None or any(one.rule.entry.kind == _CORRECTED for one in standings):
        return []
    rules = [rule for rule in match.fallback.rules if rule.entry.kind == _CORRECTED]
    return [one for rule in rules if (one := _stands(rule, known, remarks)) is not None]


def questions_of(match: PayerMatch, kinds: frozenset[ClockKind]) -> Questions:
    """Gather what the rules for a kind of denial ask of a claim."""
    rules = (*_rules(match, kinds), *_lendable(match, kinds))
    return Questions.of(condition for rule in rules for condition in rule.conditions)


def _lendable(match: PayerMatch, kinds: frozenset[ClockKind]) -> list[ClockRule]:
    """Give the default's rules for a retroactive request, where one would cure the denial."""
    if match.fallback is None or _RETRO not in kinds:
        return []
    return [rule for rule in match.fallback.rules if rule.entry.kind == _RETRO]


def _rules(match: PayerMatch, kinds: frozenset[ClockKind]) -> Iterator[ClockRule]:
    taken: set[str] = set()
    for policy in match.policies:
        for rule in policy.rules:
            if rule.entry.kind in kinds and rule.entry.kind not in taken:
                yield rule
        taken |= policy.kinds


def _stands(rule: ClockRule, known: Known, remarks: frozenset[str]) -> Standing | None:
    concerns, _, missing = all_of(rule.when, known)
    if concerns is False or (concerns is None and rule.entry.if_known):
        return None
    review = next((one for one, when in rule.reviews if all_of(when, known)[0]), None)
    return Standing(rule, _permission(rule, known, missing, remarks), review)


def _started(standing: Standing, dates: Dates, calendar: Calendar) -> RunningClock:
    """Find the days that a rule counts from, and count."""
    rule, entry = standing.rule, standing.rule.entry
    # An instant that a person recorded equals the same instant in another zone, where its day may be another.
    count = _running if dates.told else _remembered
    if standing.followed and dates.decided is not False:
        permission = _spent(standing.permission, dates, follows=entry.after is not None)
        standing = msgspec.structs.replace(standing, permission=permission)
    if rule.window is None:
        return count(standing, None, (), calendar)
    older = entry.after is not None and dates.decision is not None and dates.decided is False
    if older and standing.permission.permitted:
        standing = msgspec.structs.replace(standing, permission=_PERHAPS_OPEN)
    if entry.restarts_on_repeat:
        anew = dates.upheld and "remit_date" not in entry.anchors
        dates = msgspec.structs.replace(dates, first=None, sure=True, last=None, upheld=anew)
    start = start_of(entry.anchors, entry.choose, dates, later_level=entry.after is not None)
    caps = [start_of((anchor,), "earliest", dates, later_level=False) for anchor, _ in rule.caps]
    return count(standing, start, tuple(caps), calendar)


_PERHAPS_OPEN = Permission(
    permitted=None, reasons=("a recorded decision that is older than the denial may be another one",)
)


def _spent(permission: Permission, dates: Dates, *, follows: bool) -> Permission:
    """Say that the payer has decided a level, or may have. `follows`: it is not the first one."""
    if permission.permitted is False:
        return permission
    if dates.decided and not follows:
        return Permission(permitted=False, reasons=(_DECIDED,))
    why = ONE_DECIDED if dates.decided else _PERHAPS_DECIDED if dates.upheld else ONCE_UPHELD
    reasons = (*permission.reasons, why)
    return msgspec.structs.replace(permission, permitted=None, reasons=reasons)


def _telling(dates: Dates) -> Start:
    """Give the day that the payer's own words count from: of what it upholds, the upholding's."""
    if dates.upheld:
        dates = msgspec.structs.replace(dates, upheld=False, first=dates.upheld_by, sure=True)
    return start_of(("remit_date",), "earliest", dates, later_level=False)


@lru_cache(maxsize=64)
def _announced(
    start: Start, calendar: Calendar, remarks: frozenset[str], zone: str
) -> tuple[RunningClock, ...]:
    return tuple(RunningClock(clock, None) for clock in appeal_cues(start, calendar, remarks, zone=zone))


def _lent(clock: Clock, why: str, label: str) -> Clock:
    """Say why the default's clock stands here; one for certain claims keeps its `label`."""
    if clock.permitted is False:
        return clock
    return msgspec.structs.replace(clock, label=label or _LENT[why], reasons=(why,))


def _running(
    standing: Standing, start: Start | None, caps: tuple[Start, ...], calendar: Calendar
) -> RunningClock:
    clock = _clock(standing, start, caps, calendar)
    if standing.lent is not None:
        clock = _lent(clock, standing.lent, clock.label if standing.rule.entry.if_known else "")
    return RunningClock(clock, standing.rule, standing.review, standing.permission.exempt)


_remembered = lru_cache(maxsize=8192)(_running)


def _clock(standing: Standing, start: Start | None, caps: Sequence[Start], calendar: Calendar) -> Clock:
    rule, permission = standing.rule, standing.permission
    entry, policy = rule.entry, rule.policy
    low = high = None
    missing = list(permission.missing)
    reasons = list(permission.reasons)
    if start is not None:
        low, high = _bounds(rule, start, caps, calendar)
        missing += [one.missing for one in (start, *caps) if one.missing]
        if low is not None and high is not None and low.at != high.at:
            reasons += _why_a_range(rule, start, missing)
            reasons += dict.fromkeys(one.end.why for one in (low, high) if one.end.why)
        if entry.after is not None and start.earliest is None and permission.permitted is not False:
            opens = "it opens with" if start.latest is None else "it is open if what is upheld was"
            reasons.append(f"{opens} the decision on the {entry.after.replace('_', ' ')}")
    settled = low is not None and high is not None and low.at == high.at
    waits = entry.after is not None and start is not None and start.earliest is None
    # Where a cap ends the clock, the day that the cap counts from is the one that matters.
    governing = low.start if settled and low else start
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
        anchor=governing.anchor if governing else None,
        anchor_date=_anchor_date(governing),
        anchor_source=governing.source if governing else None,
        steps=_steps(start, low, high),
        reasons=tuple(reasons),
        missing_facts=tuple(dict.fromkeys(missing)),
        consequence=_consequence(rule, start, None if high is None else high.at, calendar),
    )


_UNKNOWN_PAYER = "no rule of this payer is known: ask the payer"
_UNSAID = "the payer's page does not say whether or until when it permits this: ask the payer"


def _permission(
    rule: ClockRule, known: Known, missing_to_concern: Sequence[FactKind], remarks: frozenset[str]
) -> Permission:
    entry = rule.entry
    barred = _exempted(rule, known) or _barred(rule, remarks)
    if barred is not None:
        return barred
    if entry.certain and not (missing_to_concern or rule.requires or rule.excludes or rule.requires_any):
        return _PERMITTED if not rule.exempt else Permission(permitted=True, reasons=_unless(rule, known))
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
        unsaid = _UNKNOWN_PAYER if rule.policy.default else _UNSAID
        return Permission(permitted=None, reasons=(unsaid,), missing=asked_for)
    sure = bool(required) and excluded is False and bool(one_of) and not missing_to_concern
    if sure:
        return Permission(permitted=True, reasons=_unless(rule, known))
    asked = [*rule.requires, *rule.requires_any, *rule.excludes, *rule.when]
    open_texts = [c.text for c in asked if any(term.subject in missing for term in c.terms)]
    reason = f"it hangs on {', '.join(_words(text) for text in dict.fromkeys(open_texts))}"
    return Permission(permitted=None, reasons=(reason,), missing=tuple(missing))


def _barred(rule: ClockRule, remarks: frozenset[str]) -> Permission | None:
    """Give the refusal that no fact can change: the payer's rule, or its own word on the remittance."""
    if not rule.entry.permitted:
        return Permission(permitted=False, reasons=("the payer does not permit it", *_instead(rule)))
    if rule.entry.kind in APPEALS and not remarks.isdisjoint(NO_APPEAL):
        return Permission(permitted=False, reasons=tuple(NO_APPEAL[c] for c in NO_APPEAL if c in remarks))
    return None


def _exempted(rule: ClockRule, known: Known) -> Permission | None:
    held = next((one.text for one in rule.exempt if ask(one, known).holds), None)
    if held is None:
        return None
    exempt = f"the payer asks for none with {_words(held)}"
    reason = f"{exempt}: the denial contradicts its rule"
    return Permission(permitted=False, reasons=(reason, *_instead(rule)), exempt=exempt)


def _unless(rule: ClockRule, known: Known) -> tuple[str, ...]:
    """Name the exemptions that may hold: to ask where none was needed costs nothing, to be late does."""
    open_texts = [_words(one.text) for one in rule.exempt if ask(one, known).holds is None]
    return (f"none is needed with {', or '.join(open_texts)}",) if open_texts else ()


def _instead(rule: ClockRule) -> tuple[str, ...]:
    return () if rule.entry.fallback is None else (f"instead: {rule.entry.fallback}",)


def _words(condition: str) -> str:
    if condition == "no_claim_submitted":
        return "that no claim was submitted yet, and this remittance proves one"
    return condition.replace("!=", " other than ").replace("=", ": ").replace("_", " ").replace("|", " or ")


class _Bound(NamedTuple):
    """An end, and the day that it counts from."""

    end: End
    start: Start

    @property
    def at(self) -> datetime:
        return self.end.at


def _bounds(
    rule: ClockRule, start: Start, caps: Sequence[Start], calendar: Calendar
) -> tuple[_Bound | None, _Bound | None]:
    """Give the earliest and the latest end; a cap can only bring them forward, an unknown one unsettles."""
    assert rule.window is not None  # noqa: S101  (the caller asks only for clocks that count)
    low = _earliest_bound(rule.window, start, calendar)
    high = _latest_bound(rule.widest or rule.window, start, calendar)
    for (_, window), cap in zip(rule.caps, caps, strict=True):
        cap_low = _earliest_bound(window, cap, calendar)
        cap_high = _latest_bound(window, cap, calendar)
        low = None if low is None or cap_low is None else min(low, cap_low, key=_at)
        high = min((end for end in (high, cap_high) if end is not None), key=_at, default=None)
    return low, high


def _at(bound: _Bound) -> datetime:
    return bound.at


def _earliest_bound(window: Window, start: Start, calendar: Calendar) -> _Bound | None:
    if start.earliest is None:
        return None
    return _Bound(min(ends_of(window, start.earliest, calendar), key=_end_at), start)


def _end_at(end: End) -> datetime:
    return end.at


def _latest_bound(window: Window, start: Start, calendar: Calendar) -> _Bound | None:
    return None if start.latest is None else _Bound(_latest_end(window, start.latest, calendar), start)


def _latest_end(window: Window, day: Day, calendar: Calendar) -> End:
    """For a limit in hours that starts with a day only: counted from that day's last minute."""
    hours = window.span.unit == "hours"
    return max(ends_of(window, last_moment(day) if hours else day, calendar), key=_end_at)


def _why_a_range(rule: ClockRule, start: Start, missing: list[FactKind]) -> list[str]:
    if start.exact is None:
        return []
    if rule.widest is not None:
        return ["sources state different lengths: the earliest and the latest are shown"]
    if rule.window is None or rule.window.span.unit != "hours" or isinstance(start.exact, datetime):
        return []
    told: dict[str, FactKind] = {"admission": "admission_date", "coverage_known": "coverage_known_at"}
    if start.anchor in told:
        missing.append(told[start.anchor])
    return ["hours are counted and only the day is known: record the hour"]


def _consequence(
    rule: ClockRule, start: Start | None, last: datetime | None, calendar: Calendar
) -> str | None:
    """Say what being late costs; where the first day is known, with the day until which it costs that."""
    texts = [] if rule.entry.consequence is None else [rule.entry.consequence]
    exact = None if start is None else start.exact
    for late, window in rule.late:
        when = "if late"
        if window is not None:
            end = None if exact is None else min(ends_of(window, exact, calendar), key=_end_at).at
            when = f"if late, but within {window.span.words()}{_until(end, last)}"
        texts.append(f"{when}: {_cost(late)}")
    return "; ".join(texts) or None


def _until(end: datetime | None, last: datetime | None) -> str:
    """Say until when lateness costs this. Days off can move a deadline behind what follows it."""
    if end is None:
        return ""
    if last is not None and end <= last:
        return " (over before the deadline as we count them: ask the payer)"
    return f" (until {end:%Y-%m-%d %H:%M})"


def _cost(late: Late) -> str:
    words = {"denial": "denied", "day_cut": "days are cut", "penalty": "paid less instead of denied"}[
        late.cost
    ]
    if late.percent is not None:
        most = "" if late.percent_up_to is None else f" to {late.percent_up_to}"
        words += f", by {late.percent}{most} percent"
    return words if late.note is None else f"{words} ({late.note})"


def _anchor_date(start: Start | None) -> date | None:
    day = None if start is None else start.exact
    return day.date() if isinstance(day, datetime) else day


def _steps(start: Start | None, low: _Bound | None, high: _Bound | None) -> tuple[str, ...]:
    if low is not None and (high is None or low.at == high.at):
        bound = () if high is not None else ("this is the earliest it can end",)
        return (_origin(low.start), *low.end.steps, *bound)
    if low is None:
        if high is not None:
            return (_origin(high.start), *high.end.steps, "this is the latest it can end")
        return () if start is None or start.source is None else (_origin(start),)
    assert high is not None  # noqa: S101  (both ends are known and differ)
    earliest = (f"earliest: {step}" for step in low.end.steps)
    latest = (f"latest: {step}" for step in high.end.steps)
    again = () if high.start is low.start else (_origin(high.start),)
    return (_origin(low.start), *earliest, *again, *latest)


def _origin(start: Start) -> str:
    return f"counted from {start.source}"
