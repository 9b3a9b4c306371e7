"""
One payer program's rules, made ready from its file: windows, conditions, and the mistakes of its author.

The form of the file is policy_file.py; finding the policy of a claim is policies.py.
"""

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.triage.domain.conditions import Condition, parse_condition
from services.triage.domain.example_checks import CLAIM_FILING, mistyped
from services.triage.domain.facts import WORDS
from services.triage.domain.policy_file import (
    Anchor,
    ClockEntry,
    Late,
    Match,
    OtherSpan,
    PolicyFile,
    Review,
)
from services.triage.domain.policy_reading import apart_from, located, read_table
from services.triage.domain.windows import CountFrom, Roll, Span, Unit, Window, window_of
from shared.calendars import ClosedDays, state_is_known
from shared.contracts.decision import ClockKind

TEXT_CHARACTERS_MAX = 60_000
"""Ten times the longest of the shipped files."""
_LINE_CHARACTERS_MAX = 4_000
_MISTAKES_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClockRule:
    """One clock of a policy, its windows and conditions made ready."""

    entry: ClockEntry
    policy: PolicyFile
    window: Window | None
    widest: Window | None
    caps: tuple[tuple[Anchor, Window], ...]
    late: tuple[tuple[Late, Window | None], ...]
    reviews: tuple[tuple[Review, tuple[Condition, ...]], ...]
    when: tuple[Condition, ...]
    requires: tuple[Condition, ...]
    requires_any: tuple[Condition, ...]
    excludes: tuple[Condition, ...]
    exempt: tuple[Condition, ...]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All that the rule asks of a claim."""
        reviews = (condition for _, conditions in self.reviews for condition in conditions)
        return (
            *self.when, *self.requires, *self.requires_any, *self.excludes, *self.exempt, *reviews,
        )  # fmt: skip

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """All that the rule counts from."""
        return () if self.window is None else (*self.entry.anchors, *(anchor for anchor, _ in self.caps))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """A payer program's rules in force between two days."""

    file: PolicyFile
    rules: tuple[ClockRule, ...]
    kinds: frozenset[ClockKind]

    @property
    def id(self) -> str:
        return self.file.id


def read_policy(text: bytes, mistakes: list[str], *, in_force: bool = False) -> Policy | None:
    """
    Read one TOML file, and add what is wrong with it to `mistakes`, each named by its line and key.

    `in_force`: it was published, by the checks of its day. What a later release asks of authors besides is
    then left out: it changes no decision, and must not stop one.
    """
    try:
        table = tomllib.loads(_bounded(text.decode()) if not in_force else text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, _TooLargeError) as error:
        mistakes.append(f"is no TOML: {error}")
        return None
    except RecursionError:
        mistakes.append("is no TOML: lists or tables stand in each other too deep")
        return None
    found: list[str] = []
    file: PolicyFile = read_table(table, PolicyFile, at="", mistakes=found)
    later: list[str] = []
    policy = _policy(file, later)
    if not in_force:
        later += _mistyped(file)
    del found[_MISTAKES_MAX:], later[_MISTAKES_MAX:]  # what follows compares each with each
    found += apart_from(found, later)
    mistakes += located(found, text.decode()) if found else ()
    return None if found else policy


class _TooLargeError(ValueError):
    """Longer than what anybody writes, and slow to read."""


def _bounded(text: str) -> str:
    """Give the text. Raises _TooLargeError where a parser would be at it for minutes."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise _TooLargeError(f"it is longer than {TEXT_CHARACTERS_MAX:,} characters")
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > _LINE_CHARACTERS_MAX:
            raise _TooLargeError(f"line {number} is longer than {_LINE_CHARACTERS_MAX:,} characters")
    return text


def _policy(file: PolicyFile, mistakes: list[str]) -> Policy:
    _check_policy(file, mistakes)
    kept = ClosedDays(
        usual_only=file.holidays == "usual",
        states=file.states,
        closed=frozenset(file.closed_days),
        open=frozenset(file.open_days),
    )
    reviews = tuple(
        (review, _conditions(review.when, at=f"reviews[{number}].when", mistakes=mistakes))
        for number, review in enumerate(file.reviews, start=1)
    )
    rules = tuple(
        _rule(entry, file, kept, reviews=reviews, at=f"clocks[{number}]", mistakes=mistakes)
        for number, entry in enumerate(file.clocks, start=1)
    )
    return Policy(file=file, rules=rules, kinds=frozenset(entry.kind for entry in file.clocks))


def _check_policy(file: PolicyFile, mistakes: list[str]) -> None:
    match = file.match
    if not zone_is_known(file.zone):
        mistakes.append(f"zone: {file.zone!r} is no time zone; write one like America/New_York")
    mistakes += [f"states: {state!r} is no state" for state in file.states if not state_is_known(state)]
    if not file.default and not (match.names or match.aliases or match.ids or match.delegate):
        mistakes.append("match: give names, aliases, ids or a delegate, or no claim will ever match")
    if not file.default and not file.sources:
        mistakes.append("sources: name at least one page that states the rule")
    if file.effective_from and file.effective_to and file.effective_to < file.effective_from:
        mistakes.append("effective_to: lies before effective_from")
    if not file.examples:
        mistakes.append("examples: give at least one denial worked out by hand")
    labels = Counter((entry.kind, entry.label) for entry in file.clocks)
    mistakes += [
        f"clocks: {kind} {label!r} stands twice" for (kind, label), times in labels.items() if times > 1
    ]


def _mistyped(file: PolicyFile) -> list[str]:
    mistakes = _mistyped_match(file.match)
    for number, example in enumerate(file.examples, start=1):
        mistakes += mistyped(example, at=f"examples[{number}]")
    return mistakes


def _mistyped_match(match: Match) -> list[str]:
    """Say what would make a policy match no claim in silence."""
    known = sorted(WORDS["line_of_business"])
    mistakes = [
        f"match.lines_of_business: {word!r} is none; it takes {', '.join(known)}"
        for word in match.lines_of_business
        if word not in known
    ]
    return mistakes + [
        f"match.filing_indicators: {code!r} is none; write CLP06 as the payer sends it, like 12 or MC"
        for code in match.filing_indicators
        if not CLAIM_FILING.fullmatch(code)
    ]


def zone_is_known(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _rule(
    entry: ClockEntry,
    file: PolicyFile,
    kept: ClosedDays,
    *,
    reviews: tuple[tuple[Review, tuple[Condition, ...]], ...],
    at: str,
    mistakes: list[str],
) -> ClockRule:
    _check_clock(entry, at=at, mistakes=mistakes)
    off_day = (
        None if entry.off_day is None else _other_span(entry.off_day, at=f"{at}.off_day", mistakes=mistakes)
    )

    def window(amount: int | None) -> Window | None:
        if entry.unit is None:
            return None
        span = _span(
            1 if amount is None else amount,
            entry.unit,
            roll=entry.roll,
            count_from=entry.count_from,
            cut_off=entry.cut_off,
            at=at,
            mistakes=mistakes,
        )
        return _window(span, file, kept, off_day)

    return ClockRule(
        entry=entry,
        policy=file,
        window=window(entry.amount),
        widest=None if entry.amount_latest is None else window(entry.amount_latest),
        caps=tuple(
            _cap(cap, file, kept, at=f"{at}.caps[{n}]", mistakes=mistakes)
            for n, cap in enumerate(entry.caps, 1)
        ),
        late=tuple(
            _late(late, file, kept, at=f"{at}.late[{n}]", mistakes=mistakes)
            for n, late in enumerate(entry.late, 1)
        ),
        reviews=reviews,
        when=_conditions(entry.when, at=f"{at}.when", mistakes=mistakes),
        requires=_conditions(entry.requires, at=f"{at}.requires", mistakes=mistakes),
        requires_any=_conditions(entry.requires_any, at=f"{at}.requires_any", mistakes=mistakes),
        excludes=_conditions(entry.excludes, at=f"{at}.excludes", mistakes=mistakes),
        exempt=_conditions(entry.exempt, at=f"{at}.exempt", mistakes=mistakes),
    )


def _check_clock(entry: ClockEntry, *, at: str, mistakes: list[str]) -> None:
    counted = entry.unit is not None
    if entry.permitted and entry.certain and counted == entry.open_ended:
        mistakes.append(f"{at}: give either a unit and an amount, or open_ended = true")
    if counted and entry.unit != "end_of_next_month" and entry.amount is None:
        mistakes.append(f"{at}.amount is missing")
    if counted and not entry.anchors:
        mistakes.append(f"{at}.anchors is missing: say what the time is counted from")
    if entry.amount_latest is not None and entry.amount_latest < (entry.amount or 0):
        mistakes.append(f"{at}.amount_latest: lies below amount; it is the widest reading")
    if entry.after == entry.kind:
        mistakes.append(f"{at}.after: a clock cannot wait for its own kind; name the level before it")
    if not counted and any(late.within for late in entry.late):
        mistakes.append(f"{at}.late: nothing is counted without an amount and a unit; leave out within")


def _window(span: Span, file: PolicyFile, kept: ClosedDays, off_day: Span | None = None) -> Window:
    """Make a window; where the policy does not say which holidays the payer keeps, with both readings."""
    counts = off_day is not None or span.unit == "business_days" or span.roll != "none"
    perhaps = None
    if counts and file.holidays is None:
        usual = replace(kept, usual_only=True)
        perhaps = window_of(span, file.zone, usual, off_day)
    return window_of(span, file.zone, kept, off_day, perhaps)


def _cap(
    cap: OtherSpan, file: PolicyFile, kept: ClosedDays, *, at: str, mistakes: list[str]
) -> tuple[Anchor, Window]:
    if cap.anchor is None:
        mistakes.append(f"{at}.anchor is missing: say what the cap is counted from")
    span = _other_span(cap, at=at, mistakes=mistakes)
    return cap.anchor or "dos_first", _window(span, file, kept)


def _late(
    late: Late, file: PolicyFile, kept: ClosedDays, *, at: str, mistakes: list[str]
) -> tuple[Late, Window | None]:
    if late.cost != "penalty" and (late.percent or late.percent_up_to):
        mistakes.append(f"{at}.percent: belongs to a penalty; write it into note instead")
    if late.within is None:
        return late, None
    span = _other_span(late.within, at=f"{at}.within", mistakes=mistakes)
    return late, _window(span, file, kept)


def _other_span(other: OtherSpan, *, at: str, mistakes: list[str]) -> Span:
    return _span(
        other.amount,
        other.unit,
        roll=other.roll,
        count_from=other.count_from,
        cut_off=other.cut_off,
        at=at,
        mistakes=mistakes,
    )


def _span(
    amount: int,
    unit: Unit,
    *,
    roll: Roll,
    count_from: CountFrom,
    cut_off: str | None,
    at: str,
    mistakes: list[str],
) -> Span:
    if unit == "hours" and (roll != "none" or count_from != "day_after" or cut_off):
        mistakes.append(f"{at}.unit: hours really pass; leave out roll, count_from and cut_off")
    if amount == 0 and (unit != "calendar_days" or count_from == "same_day"):
        mistakes.append(f"{at}.amount: 0 is the day itself; it takes calendar_days counted from day_after")
    hour: time | None = None
    if cut_off is not None:
        try:
            hour = time.fromisoformat(cut_off)
        except ValueError:
            mistakes.append(f"{at}.cut_off: {cut_off!r} is no local time; write one like 17:00")
    return Span(amount=amount, unit=unit, roll=roll, count_from=count_from, cut_off=hour)


def _conditions(texts: Sequence[str], *, at: str, mistakes: list[str]) -> tuple[Condition, ...]:
    conditions = []
    for text in texts:
        try:
            conditions.append(parse_condition(text))
        except ValueError as error:
            mistakes.append(f"{at}: {error}")
    return tuple(conditions)
