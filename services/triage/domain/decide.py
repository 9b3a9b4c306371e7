"""The decision on one denied claim: what it means, which doors are open, until when, what to do."""

from collections.abc import Sequence
from datetime import date
from uuid import uuid5

from services.triage.domain.advice import Advice, advise
from services.triage.domain.anchors import Dates, sane
from services.triage.domain.calendars import Calendar
from services.triage.domain.classification import Classification, classify
from services.triage.domain.clocks import SILENT, RunningClock, clocks_of
from services.triage.domain.cues import cues_of
from services.triage.domain.facts import Facts, weigh
from services.triage.domain.next_clock import next_clock
from services.triage.domain.policies import PayerMatch, Policies
from services.triage.domain.priority import confidence_of, priority_of
from services.triage.domain.urgency import emergency_evidence
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Decision, UrgencyClass
from shared.contracts.fact_recorded import FactRecorded


def decide(
    event: ClaimDenied,
    facts: Sequence[FactRecorded],
    policies: Policies,
    calendar: Calendar,
    as_of: date,
    decision_revision: int = 1,
) -> Decision:
    """
    Say what a denial means, what can still be done, and until when, as of a day.

    Pure: the same arguments give the same bytes. `facts` may hold facts of other denials; those that name
    this event are weighed, and `fact_ids` lists them all, replaced and unreadable ones too.
    """
    told = weigh(facts, event.event_id)
    classification = classify(event)
    remarks = _all_remarks(event)
    match = policies.match(event, told)
    dates = Dates(event=event, facts=told, category=classification.main.category, lines=classification.lines)
    running = clocks_of(match, dates, calendar, remarks)
    advice = advise(event, classification, running=running, facts=told, remarks=remarks, as_of=as_of)
    confidence = confidence_of(classification, match, balanced=not event.balance_findings)
    priority, how = priority_of(classification, advice, running=running, as_of=as_of, confidence=confidence)
    human = _human_reasons(event, classification, match, told, advice=advice, running=running)
    urgency, evidence = _urgency(event, told)
    return Decision(
        decision_id=uuid5(event.event_id, f"{event.revision}:{decision_revision}"),
        decision_revision=decision_revision,
        as_of=as_of,
        auth_related=classification.auth_related,
        category=classification.main.category,
        route=classification.main.route,
        items=classification.items,
        amount_at_stake=classification.amount_at_stake,
        amount_basis=classification.amount_basis,
        urgency_class=urgency,
        urgency_evidence=evidence,
        responsible_party=classification.party,
        payer_match=None if match.by_default else match.policies[0].id,
        clocks=tuple(one.clock for one in running),
        recommended_action=advice.action,
        next_actions=advice.next_actions,
        documents=advice.documents,
        channel=advice.channel,
        priority=priority,
        confidence=confidence,
        needs_human=bool(human),
        needs_human_reasons=human,
        explanation=_explanation(
            classification, match, running, advice, remarks=remarks, priority=how, as_of=as_of
        ),
        fact_ids=told.ids,
    )


def _all_remarks(event: ClaimDenied) -> frozenset[str]:
    own = [remark.code for remark in event.remarks if remark.code_list == "HE"]
    lines = [remark.code for line in event.lines for remark in line.remarks if remark.code_list == "HE"]
    return frozenset(own + lines)


def _urgency(event: ClaimDenied, facts: Facts) -> tuple[UrgencyClass, tuple[str, ...]]:
    evidence = emergency_evidence(event)
    told = facts.words.get("urgency")
    if told is not None:
        return told, ("a person recorded the urgency", *evidence)  # type: ignore[return-value]
    return ("emergency", evidence) if evidence else ("unknown", ())


def _human_reasons(
    event: ClaimDenied,
    classification: Classification,
    match: PayerMatch,
    facts: Facts,
    *,
    advice: Advice,
    running: Sequence[RunningClock],
) -> tuple[str, ...]:
    reasons = [*classification.human, *advice.human]
    if classification.auth_related:
        reasons += _undated(advice, running)
    if classification.auth_related and match.ambiguous:
        reasons.append(match.how)
    if event.balance_findings:
        reasons.append("the amounts of the remittance do not add up")
    if event.truncated:
        reasons.append("the transaction set was cut off: more may be missing")
    if event.possible_duplicate_of is not None:
        reasons.append("another remittance reports the same claim with other content")
    if classification.auth_related and not sane(event.payer_date):
        reasons.append("the remittance's date cannot be true")
    reasons += [f"the recorded {kind.replace('_', ' ')} cannot be read" for kind in facts.unreadable]
    return tuple(reasons)


def _undated(advice: Advice, running: Sequence[RunningClock]) -> list[str]:
    """Say that the way ahead has no certain end: a bound is shown, and only a person can make it a date."""
    governing = advice.governing
    if governing is None:
        dated = any(one.clock.permitted is not False and one.clock.deadline_at for one in running)
        return [] if dated else ["no rule that we know states a time limit"]
    if governing.clock.deadline_at is not None:
        return []
    if SILENT in governing.clock.reasons:
        return [SILENT]
    missing = ", ".join(kind.replace("_", " ") for kind in governing.clock.missing_facts)
    return [f"the deadline is uncertain{': find out the ' + missing if missing else ''}"]


def _explanation(
    classification: Classification,
    match: PayerMatch,
    running: Sequence[RunningClock],
    advice: Advice,
    *,
    remarks: frozenset[str],
    priority: str,
    as_of: date,
) -> tuple[str, ...]:
    lines = [
        f"{item.group}-{item.reason or 'none'} on "
        f"{'the claim' if item.line_number is None else f'line {item.line_number}'}, "
        f"{item.amount:,.2f}: {item.why}{' It fell with another line.' if item.dependent else ''}"
        for item in classification.items
    ]
    lines += classification.notes
    if classification.auth_related:
        lines.append(_policy_line(match))
        lines += _clock_lines(running, advice, as_of)
        if not running:
            lines.append("No policy states a clock for this: nothing here says that it is too late")
        lines += advice.shut
    if remarks:
        lines += cues_of(remarks)
    lines.append(priority)
    return tuple(lines)


def _clock_lines(running: Sequence[RunningClock], advice: Advice, as_of: date) -> list[str]:
    """Say how the dates came about: of the clock that ends first, and of the recommended action's own."""
    soonest = next_clock((one.clock for one in running), as_of)
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
