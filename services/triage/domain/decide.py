"""The decision on one denied claim: what it means, which doors are open, until when, what to do."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from services.triage.domain.aftercare import contacts_of, follow_up_of
from services.triage.domain.anchors import Dates, dates_of, sane
from services.triage.domain.classification import classify
from services.triage.domain.clocks import clocks_of
from services.triage.domain.course import Course, course_of
from services.triage.domain.dollars import in_words
from services.triage.domain.facts import NO_FACTS, Facts, believed, weigh
from services.triage.domain.outlook import Outlook, outlook_of
from services.triage.domain.papers import papers_of, quantity_words
from services.triage.domain.policies import Policies
from services.triage.domain.priority import priority_of
from services.triage.domain.repeats import TOLD_NOW, Told, told_before
from services.triage.domain.urgency import urgency_evidence
from shared.calendars import Calendar
from shared.contracts.claim import ClaimObserved
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Decision, DeniedItem, ToldBefore
from shared.contracts.fact_recorded import FactRecorded
from shared.values import derived

_HISTORY_PARTIAL = (
    "not every remittance of this claim number can be read (purged, or too many): "
    "an earlier one may have told this denial first"
)
_TOLD_URGENCY = "a person recorded the urgency"
_NO_ID, _NO_MONEY = UUID(int=0), Decimal(0)


class _Draft(NamedTuple):
    """A decision that leaves ids and money open, and the outlook that it tells."""

    decision: Decision
    outlook: Outlook


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
    reading = classify(event)
    told = believed(weigh(facts, event.event_id), event, reading.main.category) if facts else NO_FACTS
    evidence = urgency_evidence(event)
    match = policies.match(event, told)
    course = course_of(event, reading, told, match, shown=evidence.urgency_class)
    before = told_before(event, reading, history) if history else TOLD_NOW
    if course.standings is None:
        drafted = _drafted(course, None, calendar, as_of)
    else:
        dates = dates_of(course.standings.sought, event, told, reading, before)
        # An instant that a person recorded equals the same in another zone, where its day may be another.
        draft = _draft if dates.told else _drafted
        drafted = draft(course, dates, calendar, as_of)
    outlook, pattern, at_stake = drafted.outlook, reading.pattern, reading.amount_at_stake
    priority, how = priority_of(at_stake, outlook.weights)
    human = (*pattern.human, *outlook.human, *_doubts(event, told, auth_related=pattern.auth_related))
    if history_partial:
        human = (*human, _HISTORY_PARTIAL)
    decision = replace(
        drafted.decision,
        decision_id=derived(event.event_id, f"{event.revision}:{decision_revision}"),
        decision_revision=decision_revision,
        items=reading.items,
        amount_at_stake=at_stake,
        amount_basis=reading.amount_basis,
        urgency_evidence=(_TOLD_URGENCY, *evidence.words) if "urgency" in told.words else evidence.words,
        documents=papers_of(event, outlook.advice.missing, pattern.lines, at_stake),
        priority=priority,
        needs_human=bool(human),
        needs_human_reasons=human,
        explanation=(
            *map(_item_line, reading.items, pattern.words),
            *pattern.notes,
            *(() if before is TOLD_NOW else _history_lines(event, before)),
            *outlook.explanation,
            how,
        ),
    )
    if told is NO_FACTS and before is TOLD_NOW:
        return decision
    return replace(decision, fact_ids=told.ids, told_before=_told_before(before))


def _draft(course: Course, dates: Dates | None, calendar: Calendar, as_of: date) -> _Draft:
    """Write what denials of one course and the same days share."""
    standings, match, main = course.standings, course.match, course.situation.main
    running = () if standings is None or dates is None else clocks_of(standings, dates, calendar)
    outlook = outlook_of(course.situation, match, running, as_of)
    advice = outlook.advice
    decision = Decision(
        decision_id=_NO_ID,
        decision_revision=0,
        as_of=as_of,
        auth_related=course.situation.auth_related,
        category=main.category,
        route=main.route,
        items=(),
        amount_at_stake=_NO_MONEY,
        amount_basis="",
        urgency_class=course.urgency_class,
        responsible_party=course.situation.party,
        payer_match=None if match.by_default else match.policies[0].id,
        clocks=tuple([one.clock for one in running]),
        recommended_action=advice.action,
        next_actions=outlook.next_actions,
        next_action_codes=advice.codes,
        channel=advice.channel,
        contacts=contacts_of(match),
        follow_up=follow_up_of(match),
        priority=0,
        confidence=outlook.confidence,
        needs_human=False,
    )
    return _Draft(decision, outlook)


# The claims of a file share their payer and their day, payers deny in few ways, and claims share their days.
_drafted = lru_cache(maxsize=16_384)(_draft)


def _doubts(event: ClaimDenied, facts: Facts, *, auth_related: bool) -> list[str]:
    """Say what of the remittance itself, or of what people recorded, a person must look at."""
    reasons = []
    if event.balance_findings:
        reasons.append("the amounts of the remittance do not add up")
    if event.truncated:
        reasons.append("the transaction set was cut off: more may be missing")
    if event.supplied:
        named = ", ".join(name.replace("_", " ") for name in event.supplied)
        reasons.append(f"the file could not be read, a person supplied: {named}")
    if event.possible_duplicate_of is not None:
        reasons.append("another remittance reports the same claim with other content")
    if auth_related and not sane(event.payer_date):
        reasons.append("the remittance's date cannot be true")
    if facts.unreadable or facts.impossible:  # seldom: two lists less for each denial
        reasons += [f"the recorded {kind.replace('_', ' ')} cannot be read" for kind in facts.unreadable]
        reasons += [f"the recorded {kind.replace('_', ' ')} cannot be true" for kind in facts.impossible]
    return reasons


def _told_before(before: Told) -> ToldBefore | None:
    if before.first is not None:
        return ToldBefore(first_on=before.first.payer_date, sure=before.sure)
    return None if before.paid is None else ToldBefore(paid_on=before.paid.payer_date)


def _history_lines(event: ClaimDenied, before: Told) -> list[str]:
    lines = []
    if before.first is not None:
        perhaps = "" if before.sure else "perhaps "
        told = f"The remittance of {before.first.payer_date} {perhaps}told this denial first"
        lines.append(f"{told}{_as_what(event, before.first)}")
    if before.paid is not None:
        lines.append(
            f"This takes back what the remittance of {before.paid.payer_date} paid: clocks that count from "
            "the remittance start now, those that count from the service do not"
        )
    return lines


def _as_what(event: ClaimDenied, first: ClaimDenied) -> str:
    """Name the codes that the first telling had and this one has not: 193 gives no reason of its own."""
    now = {(one.group, one.reason) for one in event.denied}
    codes = dict.fromkeys(
        (one.group, one.reason) for one in first.denied if (one.group, one.reason) not in now
    )
    return f", as {', '.join(f'{group}-{reason}' for group, reason in codes)}" if codes else ""


def _item_line(item: DeniedItem, around: tuple[str, str]) -> str:
    before, after = around
    units = "" if item.quantity is None else f", units: {quantity_words(item.quantity)}"
    return f"{before}{in_words(item.amount)}{units}{after}"
