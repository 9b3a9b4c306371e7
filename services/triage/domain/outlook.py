"""What follows from a reading, a payer's policies and its clocks on a day, whatever the claim's money."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from operator import itemgetter

from msgspec import Struct

from services.triage.domain.advice import Advice, advise
from services.triage.domain.clocks import ONCE_UPHELD, ONE_DECIDED, PERHAPS, SILENT, RunningClock
from services.triage.domain.cues import cues_of
from services.triage.domain.fact_words import fact_words
from services.triage.domain.liability import billing_lines
from services.triage.domain.phases import SHUT, ClockOnDay, Phase, on_day
from services.triage.domain.policies import PayerMatch
from services.triage.domain.priority import Chance, Weights, chance_of, weights_of
from services.triage.domain.situation import Situation
from services.triage.domain.time_weight import ALL_CLOSED, NO_END
from shared.contracts.decision import Clock


class Outlook(Struct, frozen=True, kw_only=True, eq=False):
    """
    The advice, its steps with their dates, and what a decision says about its clocks.

    `weights` are what rank it beside its money. `human` says why a person must look, `explanation` how the
    dates came about.
    """

    advice: Advice
    next_actions: tuple[str, ...]
    confidence: float
    weights: Weights
    human: tuple[str, ...]
    explanation: tuple[str, ...]


class _Prospect(Struct, frozen=True, kw_only=True, eq=False):
    """
    What is alike in the outlooks of a situation whose clocks are in the same phases, whatever their days.

    `before` and `after` are the lines of the explanation around those about the clocks' dates.
    """

    advice: Advice
    confidence: float
    chance: Chance
    human: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]


_ANY_PAYER = PayerMatch(policies=(), how="")


def outlook_of(
    situation: Situation, match: PayerMatch, running: Sequence[RunningClock], as_of: date
) -> Outlook:
    """Look ahead. What is another team's work hangs on no more of the payer's policies than its clocks."""
    seen = [on_day(one, as_of) for one in running]
    payer = match if situation.auth_related else _ANY_PAYER
    prospect = _prospect(situation, payer, tuple([one.phase for one in seen]))
    advice = prospect.advice
    time = max([one.weight for one in seen if one.weight], key=itemgetter(0), default=NO_END)
    return Outlook(
        advice=advice,
        next_actions=tuple(
            [words if clock is None else words + seen[clock].when for words, clock in advice.steps]
        ),
        confidence=prospect.confidence,
        weights=weights_of(ALL_CLOSED if advice.exhausted else time, prospect.chance),
        human=prospect.human,
        explanation=(
            *prospect.before,
            *(_dated_lines(advice, running, seen) if situation.auth_related else ()),
            *prospect.after,
        ),
    )


# Many days come to few phases.
@lru_cache(maxsize=8192)
def _prospect(situation: Situation, match: PayerMatch, phases: tuple[Phase, ...]) -> _Prospect:
    advice, confidence = advise(situation, phases), _confidence(situation, match)
    return _Prospect(
        advice=advice,
        confidence=confidence,
        chance=chance_of(advice, confidence=confidence, auth_related=situation.auth_related),
        human=_human(situation, match, advice, phases),
        before=(_policy_line(match), *_source_lines(match)) if situation.auth_related else (),
        after=(
            *(_lines_after(situation, advice, phases) if situation.auth_related else ()),
            *cues_of(situation.remarks),
        ),
    )


def _confidence(situation: Situation, match: PayerMatch) -> float:
    """
    Say how sure the decision is, 0 to 1: the product of three factors.

    The codes' own confidence (meanings.py); for authorization denials the policy: confirmed 1, unconfirmed
    0.9, default 0.75, ambiguous 0.6; and 0.9 where the claim's amounts do not add up.
    """
    certainty = situation.main.confidence
    if situation.auth_related:
        confirmed = all(policy.file.status == "confirmed" for policy in match.policies)
        certainty *= 0.6 if match.ambiguous else 0.75 if match.by_default else 1.0 if confirmed else 0.9
    return round(certainty * (1.0 if situation.balanced else 0.9), 2)


def _human(
    situation: Situation, match: PayerMatch, advice: Advice, phases: Sequence[Phase]
) -> tuple[str, ...]:
    if not situation.auth_related:
        return advice.human
    ambiguous = (match.how,) if match.ambiguous else ()
    return (*advice.human, *_undated(match, advice, phases), *ambiguous)


def _undated(match: PayerMatch, advice: Advice, phases: Sequence[Phase]) -> list[str]:
    """Say that the way ahead has no certain end: a bound is shown, and only a person can make it a date."""
    if advice.governing is None:
        if advice.exhausted:
            return []
        dated = any(one.settled and one.state not in SHUT for one in phases)
        return [] if dated else ["no rule that we know states a time limit"]
    governing = phases[advice.governing]
    if governing.permitted is None and (reason := _unsure(phases)):
        return [reason]
    if doubts := [why for why in (ONE_DECIDED, ONCE_UPHELD) if why in governing.reasons]:
        return doubts
    missing = fact_words(governing.missing_facts)
    if governing.permitted is None and missing and not match.by_default:
        return [f"whether the payer permits it is unknown: find out {missing}"]
    return [] if governing.settled else [_without_end(governing, missing, by_default=match.by_default)]


def _without_end(governing: Phase, missing: str, *, by_default: bool) -> str:
    if governing.rule is not None and governing.rule.entry.open_ended:
        return "the payer states no time limit for it: do it at once"
    if SILENT in governing.reasons:
        return SILENT
    if by_default and not missing:
        return "the deadline is uncertain: no rule of this payer is known, ask the payer"
    return f"the deadline is uncertain{': find out ' + missing if missing else ''}"


def _unsure(phases: Sequence[Phase]) -> str | None:
    """Say what to find out where the payer's own windows hang on it, and the default's stands beside."""
    if not any(PERHAPS in one.reasons for one in phases):
        return None
    facts = [
        fact
        for one in phases
        if one.permitted is None and one.kind == "retro_authorization"
        for fact in one.missing_facts
    ]
    asked = f": find out {fact_words(facts)}" if facts else ": ask the payer"
    return f"whether the payer's own window is this claim's is unknown{asked}"


def _dated_lines(advice: Advice, running: Sequence[RunningClock], seen: Sequence[ClockOnDay]) -> list[str]:
    """Say how the dates came about, and which ways the day of the decision finds closed or forbidden."""
    ends = [(one.ahead, place) for place, one in enumerate(seen) if one.ahead is not None]
    soonest = running[min(ends)[1]].clock if ends else None
    own = None if advice.governing is None else running[advice.governing].clock
    return [*_clock_lines(own, soonest), *[one.shut for one in seen if one.shut is not None]]


def _lines_after(situation: Situation, advice: Advice, phases: Sequence[Phase]) -> list[str]:
    lines = []
    if not phases:
        lines.append("No policy states a clock for this: nothing here says that it is too late")
    if advice.governing is not None:
        lines += _answer_lines(phases[advice.governing])
    lines += _unknown_lines(phases)
    return [*lines, *billing_lines(situation.party, situation.program, emergency=situation.emergency)]


def _source_lines(match: PayerMatch) -> tuple[str, ...]:
    """Name the page that each policy stands on: the first is the one that its author read the rule on."""
    lines = []
    for policy in match.policies:
        if not match.by_default and policy.file.sources:
            source = policy.file.sources[0]
            dated = "" if source.page_date is None else f", page of {source.page_date}"
            lines.append(f"Source of {policy.id}: {source.url}, seen {source.seen_on}{dated}")
    return tuple(lines)


def _answer_lines(governing: Phase) -> list[str]:
    lines = []
    if governing.review is not None:
        unit = governing.review.unit.replace("_", " ")
        lines.append(f"The payer states {governing.review.amount} {unit} for its answer")
    policy = None if governing.rule is None else governing.rule.policy
    if policy is not None and policy.follow_up_days is not None:
        lines.append(f"Ask after it every {policy.follow_up_days} days")
    return lines


def _unknown_lines(phases: Sequence[Phase]) -> list[str]:
    missing = [fact for one in phases if not (one.waits or one.state in SHUT) for fact in one.missing_facts]
    words = fact_words(missing)
    return (
        [f"Unknown, and the dates hang on it: {words}; no 835 has it, a person must record it"]
        if words
        else []
    )


def _clock_lines(own: Clock | None, soonest: Clock | None) -> list[str]:
    """Say how the dates came about: of the clock that ends first, and of the recommended action's own."""
    lines = [] if soonest is None else [f"Next clock: {soonest.label} ({soonest.policy_id})", *soonest.steps]
    if own is not None and own is not soonest:
        lines += [f"Clock of the recommended action: {own.label} ({own.policy_id})", *own.steps]
    return lines


def _policy_line(match: PayerMatch) -> str:
    if match.by_default:
        return f"Policy: {match.how}; cautious general windows only, ask the payer"
    unconfirmed = any(policy.file.status == "unconfirmed" for policy in match.policies)
    warning = "; unconfirmed: check its source before relying on a date" if unconfirmed else ""
    return f"Policy: {match.how}{warning}"
