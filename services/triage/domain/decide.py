"""The decision on one denied claim: what it means, which doors are open, until when, what to do."""

from collections.abc import Sequence
from datetime import date

from services.triage.domain.advice import has_authorization_number
from services.triage.domain.aftercare import contacts_of, follow_up_of
from services.triage.domain.anchors import dates_of, sane
from services.triage.domain.classification import Classification, classify
from services.triage.domain.clocks import RunningClock, clocks_of, questions_of, standings_of
from services.triage.domain.conditions import known_of, line_of_business
from services.triage.domain.cues import telling_remarks
from services.triage.domain.facts import Facts, believed, weigh
from services.triage.domain.outlook import Outlook, outlook_of
from services.triage.domain.papers import papers_of, quantity_words
from services.triage.domain.policies import Policies
from services.triage.domain.priority import priority_of
from services.triage.domain.repeats import TOLD_NOW, Told, told_before
from services.triage.domain.situation import Situation
from services.triage.domain.urgency import Evidence, urgency_evidence
from services.triage.domain.ways import kinds_for
from shared.calendars import Calendar
from shared.contracts.claim import ClaimObserved
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Decision, DeniedItem, ToldBefore, UrgencyClass
from shared.contracts.fact_recorded import FactRecorded
from shared.values import derived

_SECONDARY = frozenset(("2", "3", "20", "21"))  # CLP02: processed as secondary or tertiary
_HISTORY_PARTIAL = (
    "not every remittance of this claim number can be read (purged, or too many): "
    "an earlier one may have told this denial first"
)
_TOLD_URGENCY = "a person recorded the urgency"


def decide(
    event: ClaimDenied,
    facts: Sequence[FactRecorded],
    policies: Policies,
    calendar: Calendar,
    as_of: date,
    decision_revision: int = 1,
    history: Sequence[ClaimObserved] = (),
    *,
    history_partial: bool = False,
) -> Decision:
    """
    Say what a denial means, what can still be done, and until when, as of a day.

    Pure: the same arguments give the same bytes. `facts` may hold facts of other denials; those that name
    this event are weighed, and `fact_ids` lists them all, replaced and unreadable ones too. `history` are
    the other observations of the event's claim key, in any order: where an earlier one told the same denial
    its clocks govern. `history_partial`: there are others that cannot be read.
    """
    classification = classify(event)
    told = believed(weigh(facts, event.event_id), event, classification.main.category)
    evidence = urgency_evidence(event)
    urgency = _urgency_class(told, evidence)
    situation = _situation(event, classification, told, urgency)
    match = policies.match(event, told)
    before = told_before(event, classification, history) if history else TOLD_NOW
    main, remarks = classification.main, situation.remarks
    kinds = kinds_for(main.category, main.action)
    running: tuple[RunningClock, ...] = ()
    if kinds or remarks:
        questions = questions_of(match, kinds)
        known = known_of(questions, event, told, main.category, emergency=bool(evidence.emergency))
        standings = standings_of(match, kinds, known, remarks, limited="filing_limit_date" in told.dates)
        dates = dates_of(standings.anchors, event, told, main.category, classification.lines, before)
        running = clocks_of(standings, dates, calendar)
    outlook = outlook_of(situation, match, running, as_of)
    advice = outlook.advice
    at_stake = classification.amount_at_stake
    priority, how = priority_of(at_stake, outlook.weights)
    human = _human_reasons(event, classification, outlook, told)
    if history_partial:
        human = (*human, _HISTORY_PARTIAL)
    return Decision(
        decision_id=derived(event.event_id, f"{event.revision}:{decision_revision}"),
        decision_revision=decision_revision,
        as_of=as_of,
        auth_related=classification.auth_related,
        category=main.category,
        route=main.route,
        items=classification.items,
        amount_at_stake=at_stake,
        amount_basis=classification.amount_basis,
        urgency_class=urgency,
        urgency_evidence=evidence.words if "urgency" not in told.words else (_TOLD_URGENCY, *evidence.words),
        responsible_party=classification.party,
        payer_match=None if match.by_default else match.policies[0].id,
        clocks=tuple([one.clock for one in running]),
        recommended_action=advice.action,
        next_actions=outlook.next_actions,
        next_action_codes=advice.codes,
        documents=papers_of(event, advice.missing, classification.lines, at_stake),
        channel=advice.channel,
        contacts=contacts_of(match),
        follow_up=follow_up_of(match),
        priority=priority,
        confidence=outlook.confidence,
        needs_human=bool(human),
        needs_human_reasons=human,
        explanation=(
            *[
                _item_line(item, *around)
                for item, around in zip(classification.items, classification.words, strict=True)
            ],
            *classification.notes,
            *_history_lines(before),
            *outlook.explanation,
            how,
        ),
        fact_ids=told.ids,
        told_before=_told_before(before),
    )


def _situation(
    event: ClaimDenied, classification: Classification, facts: Facts, urgency: UrgencyClass
) -> Situation:
    return Situation(
        main=classification.main,
        auth_related=classification.auth_related,
        party=classification.party,
        echoed=classification.auth_related and has_authorization_number(event),
        found="authorization_found" in facts.words,
        remarks=telling_remarks(event),
        emergency=classification.auth_related and urgency == "emergency",
        secondary=classification.auth_related and event.claim_status in _SECONDARY,
        program=_program(event, facts) if classification.party == "patient" else None,
        balanced=not event.balance_findings,
    )


def _program(event: ClaimDenied, facts: Facts) -> str | None:
    return facts.words.get("line_of_business") or line_of_business(event.filing_indicator)


def _urgency_class(facts: Facts, evidence: Evidence) -> UrgencyClass:
    told = facts.words.get("urgency")
    if told is not None:
        return told  # type: ignore[return-value]
    return evidence.urgency_class


def _human_reasons(
    event: ClaimDenied, classification: Classification, outlook: Outlook, facts: Facts
) -> tuple[str, ...]:
    reasons = [*classification.human, *outlook.human]
    if event.balance_findings:
        reasons.append("the amounts of the remittance do not add up")
    if event.truncated:
        reasons.append("the transaction set was cut off: more may be missing")
    if event.supplied:
        named = ", ".join(name.replace("_", " ") for name in event.supplied)
        reasons.append(f"the file could not be read, a person supplied: {named}")
    if event.possible_duplicate_of is not None:
        reasons.append("another remittance reports the same claim with other content")
    if classification.auth_related and not sane(event.payer_date):
        reasons.append("the remittance's date cannot be true")
    reasons += [f"the recorded {kind.replace('_', ' ')} cannot be read" for kind in facts.unreadable]
    reasons += [f"the recorded {kind.replace('_', ' ')} cannot be true" for kind in facts.impossible]
    return tuple(reasons)


def _told_before(before: Told) -> ToldBefore | None:
    if before.first is not None:
        return ToldBefore(first_on=before.first.payer_date, sure=before.sure)
    return None if before.paid is None else ToldBefore(paid_on=before.paid.payer_date)


def _history_lines(before: Told) -> list[str]:
    lines = []
    if before.first is not None:
        perhaps = "" if before.sure else "perhaps "
        lines.append(f"The remittance of {before.first.payer_date} {perhaps}told this denial first")
    if before.paid is not None:
        lines.append(
            f"This takes back what the remittance of {before.paid.payer_date} paid: clocks that count from "
            "the remittance start now, those that count from the service do not"
        )
    return lines


def _item_line(item: DeniedItem, before: str, after: str) -> str:
    units = "" if item.quantity is None else f", units: {quantity_words(item.quantity)}"
    return f"{before}{item.amount:,.2f}{units}{after}"
