"""What follows from a reading, a payer's policies and its clocks on a day, whatever the claim's money."""

from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from services.triage.domain.advice import Advice, advise
from services.triage.domain.clocks import PERHAPS, SILENT, RunningClock, state_of
from services.triage.domain.cues import cues_of
from services.triage.domain.liability import billing_lines
from services.triage.domain.next_clock import end_ahead, next_clock
from services.triage.domain.policies import PayerMatch
from services.triage.domain.priority import Weights, weights_of
from services.triage.domain.situation import Situation, waits
from services.triage.domain.time_weight import ALL_CLOSED, time_weight
from shared.contracts.decision import Clock


class Outlook(Struct, frozen=True, kw_only=True, eq=False):
    """
    The advice, and what a decision says about its clocks.

    `weights` are what rank it beside its money. `human` says why a person must look, `explanation` how the
    dates came about.
    """

    advice: Advice
    confidence: float
    weights: Weights
    human: tuple[str, ...]
    explanation: tuple[str, ...]


def outlook_of(situation: Situation, match: PayerMatch, running: tuple[RunningClock, ...]) -> Outlook:
    """Look ahead. What is another team's work hangs on no more of the payer's policies than its clocks."""
    return _outlook_of(situation, match if situation.auth_related else _ANY_PAYER, running)


_ANY_PAYER = PayerMatch(policies=(), how="")


# The claims of a file share their payer and their day, and payers deny in few ways.
@lru_cache(maxsize=16_384)
def _outlook_of(situation: Situation, match: PayerMatch, running: tuple[RunningClock, ...]) -> Outlook:
    advice = advise(situation, running)
    soonest = next_clock((one.clock for one in running if not waits(one)), situation.as_of)
    confidence = _confidence(situation, match)
    time = time_weight([one.clock for one in running if not waits(one)], situation.as_of)
    return Outlook(
        advice=advice,
        confidence=confidence,
        weights=weights_of(
            advice,
            ALL_CLOSED if advice.exhausted else time,
            confidence=confidence,
            auth_related=situation.auth_related,
        ),
        human=_human(situation, match, advice, running),
        explanation=_explanation(situation, match, advice, running=running, soonest=soonest),
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
    situation: Situation, match: PayerMatch, advice: Advice, running: Sequence[RunningClock]
) -> tuple[str, ...]:
    if not situation.auth_related:
        return advice.human
    ambiguous = (match.how,) if match.ambiguous else ()
    return (*advice.human, *_undated(match, advice, running), *ambiguous)


def _undated(match: PayerMatch, advice: Advice, running: Sequence[RunningClock]) -> list[str]:
    """Say that the way ahead has no certain end: a bound is shown, and only a person can make it a date."""
    governing = advice.governing
    if governing is None:
        dated = any(one.clock.permitted is not False and one.clock.deadline_at for one in running)
        return [] if dated else ["no rule that we know states a time limit"]
    if governing.clock.permitted is None and (reason := _unsure(running)):
        return [reason]
    if governing.clock.deadline_at is not None:
        return []
    if SILENT in governing.clock.reasons:
        return [SILENT]
    if match.by_default and not governing.clock.missing_facts:
        return ["the deadline is uncertain: no rule of this payer is known, ask the payer"]
    missing = ", ".join(kind.replace("_", " ") for kind in governing.clock.missing_facts)
    return [f"the deadline is uncertain{': find out the ' + missing if missing else ''}"]


def _unsure(running: Sequence[RunningClock]) -> str | None:
    """Say what to find out where the payer's own windows hang on it, and the default's stands beside."""
    if not any(PERHAPS in one.clock.reasons for one in running):
        return None
    facts = [
        fact.replace("_", " ")
        for one in running
        if one.clock.permitted is None and one.clock.kind == "retro_authorization"
        for fact in one.clock.missing_facts
    ]
    asked = f": find out the {', '.join(dict.fromkeys(facts))}" if facts else ": ask the payer"
    return f"whether the payer's own window is this claim's is unknown{asked}"


def _explanation(
    situation: Situation,
    match: PayerMatch,
    advice: Advice,
    *,
    running: Sequence[RunningClock],
    soonest: Clock | None,
) -> tuple[str, ...]:
    lines = []
    if situation.auth_related:
        lines.append(_policy_line(match))
        lines += _source_lines(match)
        dated = None if soonest is None or end_ahead(soonest, situation.as_of) is None else soonest
        lines += _clock_lines(advice, dated)
        if not running:
            lines.append("No policy states a clock for this: nothing here says that it is too late")
        lines += advice.shut
        lines += _answer_lines(advice)
        lines += _unknown_lines(situation, running)
        lines += billing_lines(situation.party, situation.program, emergency=situation.emergency)
    return (*lines, *cues_of(situation.remarks))


@lru_cache(maxsize=1024)
def _source_lines(match: PayerMatch) -> tuple[str, ...]:
    """Name the page that each policy stands on: the first is the one that its author read the rule on."""
    lines = []
    for policy in match.policies:
        if not match.by_default and policy.file.sources:
            source = policy.file.sources[0]
            dated = "" if source.page_date is None else f", page of {source.page_date}"
            lines.append(f"Source of {policy.id}: {source.url}, seen {source.seen_on}{dated}")
    return tuple(lines)


def _answer_lines(advice: Advice) -> list[str]:
    running = advice.governing
    if running is None:
        return []
    lines = []
    if running.review is not None:
        unit = running.review.unit.replace("_", " ")
        lines.append(f"The payer states {running.review.amount} {unit} for its answer")
    policy = None if running.rule is None else running.rule.policy
    if policy is not None and policy.follow_up_days is not None:
        lines.append(f"Ask after it every {policy.follow_up_days} days")
    return lines


def _unknown_lines(situation: Situation, running: Sequence[RunningClock]) -> list[str]:
    missing = [
        fact
        for one in running
        if not waits(one) and state_of(one.clock, situation.as_of) not in {"closed", "forbidden"}
        for fact in one.clock.missing_facts
    ]
    words = ", ".join(dict.fromkeys(fact.replace("_", " ") for fact in missing))
    return (
        [f"Unknown, and the dates hang on it: {words}; no 835 has it, a person must record it"]
        if words
        else []
    )


def _clock_lines(advice: Advice, soonest: Clock | None) -> list[str]:
    """Say how the dates came about: of the clock that ends first, and of the recommended action's own."""
    own = None if advice.governing is None else advice.governing.clock
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
