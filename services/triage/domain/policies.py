"""
Payers' rules, read from TOML, checked, and indexed so that finding a payer's is a look-up.

A payer matches by its ids as sent, or by its normalised name. What matches twice, or not at all, gets the
cautious default and says so: a wrong policy would show days that do not exist.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from functools import lru_cache
from typing import cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.triage.domain.calendars import ClosedDays, state_is_known
from services.triage.domain.conditions import Condition, line_of_business, parse_condition
from services.triage.domain.facts import Facts, read_date, read_word
from services.triage.domain.policy_file import Anchor, ClockEntry, OtherSpan, PolicyFile, read_table
from services.triage.domain.windows import CountFrom, Roll, Span, Unit, Window
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import ClockKind, FactKind
from shared.errors import InvalidInputError

_LEGAL_FORMS = re.compile(r"\b(INC|INCORPORATED|LLC|CORP|CORPORATION|CO|COMPANY|THE|LTD)\b")
_NOT_ALPHANUMERIC = re.compile(r"[^A-Z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClockRule:
    """One clock of a policy, its windows and conditions made ready."""

    entry: ClockEntry
    policy: PolicyFile
    window: Window | None
    widest: Window | None
    caps: tuple[tuple[Anchor, Window], ...]
    when: tuple[Condition, ...]
    requires: tuple[Condition, ...]
    requires_any: tuple[Condition, ...]
    excludes: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """A payer program's rules in force between two days."""

    file: PolicyFile
    rules: tuple[ClockRule, ...]
    kinds: frozenset[ClockKind]

    @property
    def id(self) -> str:
        return self.file.id


@dataclass(frozen=True, slots=True, kw_only=True)
class PayerMatch:
    """
    The policies that apply to a claim, the most specific first, and how they were found.

    `by_default`: no payer's own policy applies. `ambiguous`: several could, and `missing` may settle it.
    """

    policies: tuple[Policy, ...]
    how: str
    by_default: bool = False
    ambiguous: bool = False
    missing: tuple[FactKind, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Policies:
    """All policies, indexed by the names and ids of their payers."""

    policies: tuple[Policy, ...]
    default: Policy | None
    by_id: Mapping[str, tuple[Policy, ...]]
    by_name: Mapping[str, tuple[Policy, ...]]
    by_delegate: Mapping[str, tuple[Policy, ...]]

    def match(self, event: ClaimDenied, facts: Facts) -> PayerMatch:
        """Find the policies of a claim's payer, line of business and delegate on its day of service."""
        day = event.service_from or event.statement_from or event.payer_date
        delegate = self.by_delegate.get(facts.words.get("delegate", ""), ())
        delegated = tuple(policy for policy in delegate if _in_force(policy, day))
        found = self._of_payer(event, facts, day)
        if not delegated:
            return found
        return PayerMatch(
            policies=delegated + (() if found.by_default else found.policies),
            how=f"{delegated[0].id}, named as the delegate; {found.how}",
            missing=found.missing,
        )

    def _of_payer(self, event: ClaimDenied, facts: Facts, day: date) -> PayerMatch:
        candidates, how = self._candidates(event)
        candidates = [policy for policy in candidates if _in_force(policy, day)]
        if not candidates:
            return self._by_default("no policy knows this payer")
        fits = [(policy, _fits(policy, event, facts)) for policy in candidates]
        fitting = tuple(policy for policy, fit in fits if fit)
        if fitting and not _overlap(fitting):
            return PayerMatch(policies=fitting, how=f"{' and '.join(p.id for p in fitting)}, by {how}")
        if fitting:
            return self._by_default(
                f"several policies fit: {', '.join(p.id for p in fitting)}", ambiguous=True
            )
        if any(fit is None for _, fit in fits):
            ids = ", ".join(policy.id for policy, fit in fits if fit is None)
            reason = f"{ids} may apply, but the line of business is unknown"
            return self._by_default(reason, ambiguous=True, missing=("line_of_business",))
        return self._by_default("the payer is known, but not for this line of business")

    def _candidates(self, event: ClaimDenied) -> tuple[list[Policy], str]:
        by_id = [p for ref in event.payer.ids for p in self.by_id.get(ref.value.strip().upper(), ())]
        by_name = self.by_name.get(normalised(event.payer.name), ()) if event.payer.name else ()
        how = "id" if by_id else "name"
        return list(dict.fromkeys((*by_id, *by_name))), how

    def _by_default(
        self, reason: str, *, ambiguous: bool = False, missing: tuple[FactKind, ...] = ()
    ) -> PayerMatch:
        policies = () if self.default is None else (self.default,)
        return PayerMatch(
            policies=policies, how=reason, by_default=True, ambiguous=ambiguous, missing=missing
        )


@lru_cache(maxsize=16_384)
def normalised(name: str) -> str:
    """Give a payer's name without case, spaces, punctuation and legal form."""
    words = _NOT_ALPHANUMERIC.sub(" ", name.upper().replace("&", " AND ").replace("'", ""))
    return _NOT_ALPHANUMERIC.sub("", _LEGAL_FORMS.sub(" ", words))


def load_policies(texts: Mapping[str, bytes]) -> Policies:
    """Read TOML files, given as name to bytes. Raises InvalidInputError that lists every mistake."""
    policies, mistakes = read_policies(texts)
    if mistakes:
        listed = "\n".join(f"  {mistake}" for mistake in mistakes)
        raise InvalidInputError(
            f"The policies have {len(mistakes)} mistake(s):\n{listed}",
            remedy="Mend these keys; docs/policies.md lists what each one takes.",
        )
    return index_policies(policies)


def read_policies(texts: Mapping[str, bytes]) -> tuple[list[Policy], list[str]]:
    """Read TOML files; gives the policies that are sound, and every mistake, named by file and key."""
    policies: list[Policy] = []
    mistakes: list[str] = []
    for name, text in texts.items():
        found: list[str] = []
        policy = _read_policy(text, found)
        mistakes += [f"{name}: {mistake}" for mistake in found]
        if policy is not None and not found:
            policies.append(policy)
    defaults = [policy.id for policy in policies if policy.file.default]
    if len(defaults) > 1:
        mistakes.append(f"only one policy may be the default, not {' and '.join(defaults)}")
    mistakes += _overlapping_versions(policies)
    return policies, mistakes


def index_policies(policies: Sequence[Policy]) -> Policies:
    """Make policies ready to be asked; a thousand cost no more to ask than ten."""
    own = [policy for policy in policies if not policy.file.default and policy.file.match.delegate is None]
    delegates = [policy for policy in policies if policy.file.match.delegate is not None]
    return Policies(
        policies=tuple(policies),
        default=next((policy for policy in policies if policy.file.default), None),
        by_id=_index((text.upper(), policy) for policy in own for text in policy.file.match.ids),
        by_name=_index(
            (normalised(text), policy)
            for policy in own
            for text in (*policy.file.match.names, *policy.file.match.aliases)
        ),
        by_delegate=_index((cast("str", policy.file.match.delegate), policy) for policy in delegates),
    )


def _index(pairs: Iterable[tuple[str, Policy]]) -> dict[str, tuple[Policy, ...]]:
    index: dict[str, tuple[Policy, ...]] = {}
    for key, policy in pairs:
        if policy not in index.get(key, ()):
            index[key] = (*index.get(key, ()), policy)
    return index


def _in_force(policy: Policy, day: date) -> bool:
    since, until = policy.file.effective_from, policy.file.effective_to
    return (since is None or since <= day) and (until is None or day <= until)


def _fits(policy: Policy, event: ClaimDenied, facts: Facts) -> bool | None:
    """Say whether the claim is of a line of business that the policy is about; None: it does not say."""
    match = policy.file.match
    told = facts.words.get("line_of_business")
    if told is not None:
        return not match.lines_of_business or told in match.lines_of_business
    if not match.lines_of_business and not match.filing_indicators:
        return True
    if event.filing_indicator in match.filing_indicators:
        return True
    usual = line_of_business(event)
    return None if usual is None else usual in match.lines_of_business and not match.filing_indicators


def _overlap(policies: Sequence[Policy]) -> bool:
    """Two policies of one payer stand side by side only if no clock of theirs is of the same kind."""
    kinds = [policy.kinds for policy in policies]
    return len(frozenset().union(*kinds)) < sum(map(len, kinds))


def _overlapping_versions(policies: Sequence[Policy]) -> list[str]:
    mistakes = []
    for index, policy in enumerate(policies):
        for other in policies[:index]:
            if other.id != policy.id:
                continue
            start = max(policy.file.effective_from or date.min, other.file.effective_from or date.min)
            end = min(policy.file.effective_to or date.max, other.file.effective_to or date.max)
            if start <= end:
                mistakes.append(f"{policy.id} stands twice for the same days: give effective_from or _to")
    return mistakes


# -- reading one file ---------------------------------------------------------------------------------------


def _read_policy(text: bytes, mistakes: list[str]) -> Policy | None:
    try:
        table = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        mistakes.append(f"is no TOML: {error}")
        return None
    file: PolicyFile | None = read_table(table, PolicyFile, at="", mistakes=mistakes)
    if file is None:
        return None
    _check_policy(file, mistakes)
    kept = ClosedDays(states=file.states, closed=frozenset(file.closed_days), open=frozenset(file.open_days))
    rules = tuple(
        _rule(entry, file, kept, at=f"clocks[{number}]", mistakes=mistakes)
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
    labels = [(entry.kind, entry.label) for entry in file.clocks]
    mistakes += [
        f"clocks: {kind} {label!r} stands twice"
        for kind, label in dict.fromkeys(labels)
        if labels.count((kind, label)) > 1
    ]
    for number, example in enumerate(file.examples, start=1):
        for kind, value in example.facts.items():
            if not fact_is_readable(kind, value):
                mistakes.append(
                    f"examples[{number}].facts.{kind}: {value!r} is no value of a fact of this kind"
                )


def fact_is_readable(kind: str, value: str) -> bool:
    """Tell whether a fact's kind and value make sense."""
    if kind not in FactKind.__args__:  # type: ignore[attr-defined]
        return False
    known = cast("FactKind", kind)
    return read_word(known, value) is not None or read_date(known, value) is not None


def zone_is_known(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _rule(
    entry: ClockEntry, file: PolicyFile, kept: ClosedDays, *, at: str, mistakes: list[str]
) -> ClockRule:
    _check_clock(entry, at=at, mistakes=mistakes)
    off_day = (
        None if entry.off_day is None else _other_span(entry.off_day, at=f"{at}.off_day", mistakes=mistakes)
    )

    def window(amount: int | None) -> Window | None:
        if entry.unit is None:
            return None
        span = _span(
            amount or 1,
            entry.unit,
            roll=entry.roll,
            count_from=entry.count_from,
            cut_off=entry.cut_off,
            at=at,
            mistakes=mistakes,
        )
        return Window(span=span, zone=file.zone, kept=kept, off_day=off_day)

    return ClockRule(
        entry=entry,
        policy=file,
        window=window(entry.amount),
        widest=window(entry.amount_latest) if entry.amount_latest else None,
        caps=tuple(
            _cap(cap, file, kept, at=f"{at}.caps[{n}]", mistakes=mistakes)
            for n, cap in enumerate(entry.caps, 1)
        ),
        when=_conditions(entry.when, at=f"{at}.when", mistakes=mistakes),
        requires=_conditions(entry.requires, at=f"{at}.requires", mistakes=mistakes),
        requires_any=_conditions(entry.requires_any, at=f"{at}.requires_any", mistakes=mistakes),
        excludes=_conditions(entry.excludes, at=f"{at}.excludes", mistakes=mistakes),
    )


def _check_clock(entry: ClockEntry, *, at: str, mistakes: list[str]) -> None:
    counted = entry.unit is not None
    if entry.permitted and entry.certain and counted == entry.open_ended:
        mistakes.append(f"{at}: give either a unit and an amount, or open_ended = true")
    if counted and entry.unit != "end_of_next_month" and entry.amount is None:
        mistakes.append(f"{at}.amount is missing")
    if counted and not entry.anchors:
        mistakes.append(f"{at}.anchors is missing: say what the time is counted from")
    if entry.amount_latest and entry.amount and entry.amount_latest < entry.amount:
        mistakes.append(f"{at}.amount_latest: lies below amount")


def _cap(
    cap: OtherSpan, file: PolicyFile, kept: ClosedDays, *, at: str, mistakes: list[str]
) -> tuple[Anchor, Window]:
    if cap.anchor is None:
        mistakes.append(f"{at}.anchor is missing")
    span = _other_span(cap, at=at, mistakes=mistakes)
    return cap.anchor or "dos_first", Window(span=span, zone=file.zone, kept=kept)


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
