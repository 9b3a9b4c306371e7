"""The ordered steps of an advice: each a word of the closed vocabulary, said to a biller with its date."""

from collections.abc import Iterator
from typing import NamedTuple

from services.triage.domain.actions import ACTION_WORDS, OF_A_ROUTE, ROUTE_WORDS
from services.triage.domain.cues import NO_APPEAL, PEER_TO_PEER, RESEND
from services.triage.domain.fact_words import fact_words
from services.triage.domain.phases import SHUT, Phase
from services.triage.domain.situation import Choice, Situation, States
from services.triage.domain.ways import APPEALS, OF_A_DELEGATE, OWN_CLOCKS, ways_for
from shared.contracts.decision import Action, Category, ClockKind

_NO_LIMIT = "no rule that we know states the time for it: read the payer's letter or manual today"
_TIME_OVER = "the time that we know for it is over: read the payer's letter or manual today"
_LEVELS = APPEALS - {"peer_to_peer"}
_DISPUTES: frozenset[Action] = frozenset(("request_reconsideration", "appeal"))
_SEARCH = (
    "Search for an authorization on file first; if one covers the service, put it on a corrected claim; "
    "if its dates are off, ask the payer to back-date it"
)
_SEARCH_FOR_A_NEW_CLAIM = (
    "Search for an authorization on file first; if one covers the service, put it on the claim that you send"
)
_NOT_REQUIRED = "If the payer asks for none for this code, dispute the denial with the payer's own list"
_SECONDARY = (
    "This payer came second: find out whether it asks for an authorization of its own; "
    "if not, dispute the denial"
)
_EMERGENCY = (
    "Emergency care needs no prior authorization as a rule: dispute with the ED record, if it shows one"
)
_ABSENT = frozenset(("authorization_absent", "authorization_number_invalid"))
_AT_ONCE = frozenset(("notify_payer", "check_authorization_on_file", *_DISPUTES))
"""What comes before the dispute of an emergency: a notice runs by the hour, a number may settle it."""
_CORRECTIONS: frozenset[ClockKind] = frozenset(("corrected_claim",))
_CURES: frozenset[ClockKind] = frozenset(("retro_authorization", "notification"))
_LATE = frozenset(("authorization_untimely", "notification_untimely"))
_IN_TIME = " (with proof that it came in time, or of what prevented it)"
_IF_BILLED_WRONGLY: dict[Category, str] = {
    "authorization_not_for_service": "If the claim is what is wrong: correct its codes or units instead",
    "authorization_not_for_provider": "If the claim is what is wrong: correct its provider or site instead",
}


class Step(NamedTuple):
    """One thing to do. `until`: the clock whose end the words go on with."""

    action: Action
    words: str
    until: Phase | None = None


def steps_of(situation: Situation, choice: Choice, states: States) -> tuple[Step, ...]:
    """Give the steps in the order to take them; the first is or prepares the recommended action."""
    if not situation.auth_related:
        return (*_of_another_team(situation, choice, states), *_beside(situation, choice, states))
    return (
        *_before_a_bill(situation),
        *_chosen(situation, choice, states),
        *_alternatives(situation, choice, states),
        *_disputes_without_a_clock(situation, choice, states),
        *_if_refused(situation, choice, states),
        *_who_authorizes(situation, states),
        *_to_find_out(states),
    )


def _of_another_team(situation: Situation, choice: Choice, states: States) -> Iterator[Step]:
    action, route = choice.action, situation.main.route
    limit = _without_an_end(choice, states) if action == "appeal" and not _barred(situation) else ""
    if not situation.remarks.isdisjoint(RESEND):
        yield Step(action, "Send a new or corrected claim: the payer takes no appeal of this one")
    elif route is not None and (action, route) in OF_A_ROUTE:
        yield Step(action, ROUTE_WORDS[route] + limit, choice.governing)
    else:
        yield Step(action, ACTION_WORDS[action] + limit, choice.governing if action in OWN_CLOCKS else None)
    if situation.party == "patient" and situation.main.category != "unclear":
        yield Step("review_patient_billing", "Review before any bill: the payer puts it on the patient (PR)")


def _without_an_end(choice: Choice, states: States) -> str:
    """Say that a dispute's time is to be looked up, since no clock of it runs: unknown, or over."""
    if choice.governing is not None:
        return ""
    return f"; {_TIME_OVER if any(one.kind in _LEVELS for one, _ in states) else _NO_LIMIT}"


def _beside(situation: Situation, choice: Choice, states: States) -> Iterator[Step]:
    """Give the disputes that run beside an action of another team, each with its last day; what is asked."""
    if choice.action in OWN_CLOCKS and situation.remarks.isdisjoint(RESEND):
        yield from _alternatives(situation, choice, states)
        yield from _to_find_out(states)


def _before_a_bill(situation: Situation) -> Iterator[Step]:
    if situation.party == "patient":
        yield Step(
            "review_patient_billing",
            f"{ACTION_WORDS['review_patient_billing']}: the payer makes the patient liable (PR)",
        )


def _chosen(situation: Situation, choice: Choice, states: States) -> Iterator[Step]:
    """Say the chosen action, and what goes before it."""
    action = choice.instead or choice.action
    if action == "check_authorization_on_file":
        yield Step(action, "Check the dates, codes, units and provider of the number that the payer echoes")
        if _disputable(situation, states):
            yield Step(
                "request_reconsideration",
                "If they match: ask for reconsideration, the payer has the authorization",
            )
        if _may_run(_CURES, states):
            yield Step("amend_authorization", "If not: have it amended, then correct the claim")
        else:
            yield Step("send_corrected_claim", "If not: put what it covers on a corrected claim")
        return
    if choice.exempt is not None:
        limit = _without_an_end(choice, states)
        yield Step(action, f"{ACTION_WORDS[action]}: {choice.exempt}{limit}", choice.governing)
        return
    searches = situation.main.action == "search_existing_authorization" and not situation.cured
    resend = not situation.remarks.isdisjoint(RESEND)
    if searches:
        yield Step("search_existing_authorization", _SEARCH_FOR_A_NEW_CLAIM if resend else _SEARCH)
    if _disputes_an_emergency(situation, choice, states) and action not in _AT_ONCE:
        yield Step(_dispute_of(choice), _EMERGENCY)
    if action in {"search_existing_authorization", "review_patient_billing"}:
        return
    limit = _without_an_end(choice, states) if action in _DISPUTES else ""
    yield Step(action, f"{_words_for(situation, action, resend=resend)}{limit}", choice.governing)
    yield from _beside_the_cure(situation, choice, states, action)
    if situation.found and not situation.cured and action in _MAY_CITE:
        yield Step(action, "With it: the authorization that was found, if it covers what was denied")


def _words_for(situation: Situation, action: Action, *, resend: bool) -> str:
    words = _FOUND.get(action, ACTION_WORDS[action]) if situation.cured else ACTION_WORDS[action]
    if resend and action == "send_corrected_claim":
        words += ", or a new one: the payer takes no appeal of this one"
    if situation.main.category in _LATE and action in _DISPUTES:
        words += _IN_TIME
    return words


def _beside_the_cure(situation: Situation, choice: Choice, states: States, action: Action) -> Iterator[Step]:
    """Say where a corrected claim is the other half of the cure, or the cure itself."""
    if action == "obtain_referral":
        yield Step("send_corrected_claim", "Then put its number on a corrected claim", choice.governing)
    wrongly = _IF_BILLED_WRONGLY.get(situation.main.category)
    if wrongly and action == "amend_authorization" and _may_run(_CORRECTIONS, states):
        yield Step("send_corrected_claim", wrongly)


_FOUND: dict[Action, str] = {
    "send_corrected_claim": "Put the authorization that was found on a corrected claim",
    "request_reconsideration": "Ask the payer to reconsider, with the authorization that was found",
}
_MAY_CITE: frozenset[Action] = frozenset((*_DISPUTES, "request_extension", "request_peer_to_peer"))


def _disputes_without_a_clock(situation: Situation, choice: Choice, states: States) -> Iterator[Step]:
    """Give the disputes that hang on a fact of the case and not on a window."""
    if situation.cured or choice.exempt or choice.exhausted:
        return
    if situation.main.category in _ABSENT and not situation.echoed and _disputable(situation, states):
        yield Step(_dispute_of(choice), _SECONDARY if situation.secondary else _NOT_REQUIRED)
    if _disputes_an_emergency(situation, choice, states) and (choice.instead or choice.action) in _AT_ONCE:
        yield Step(_dispute_of(choice), _EMERGENCY)
    told = any(one.kind == "peer_to_peer" and state not in SHUT for one, state in states)
    if PEER_TO_PEER in situation.remarks and not told:
        yield Step("request_peer_to_peer", "Ask for the peer-to-peer review that the payer offers (N939)")


def _dispute_of(choice: Choice) -> Action:
    return "appeal" if (choice.instead or choice.action) == "appeal" else "request_reconsideration"


def _barred(situation: Situation) -> bool:
    return not situation.remarks.isdisjoint(NO_APPEAL)


def _may_run(kinds: frozenset[ClockKind], states: States) -> bool:
    """Tell whether a way may be open: no window of it is known, or one is not shut."""
    mine = [state for one, state in states if one.kind in kinds]
    return not mine or any(state not in SHUT for state in mine)


def _disputable(situation: Situation, states: States) -> bool:
    return not _barred(situation) and _may_run(APPEALS, states)


def _disputes_an_emergency(situation: Situation, choice: Choice, states: States) -> bool:
    """Tell whether the denial itself is to be disputed: emergency care needs no authorization beforehand."""
    settled = situation.cured or choice.exempt is not None or choice.exhausted
    category = situation.main.category
    late = category in _ABSENT or category in _LATE
    return situation.emergency and late and not settled and _disputable(situation, states)


def _alternatives(situation: Situation, choice: Choice, states: States) -> Iterator[Step]:
    """Give what else is open, the next to end first."""
    ways = ways_for(situation.main.category, situation.main.action)
    actions = dict((*ways.first, *ways.then))
    told = choice.governing if choice.action != "check_authorization_on_file" else None
    if choice.action == "search_existing_authorization" or choice.instead == "search_existing_authorization":
        told = None
    first = {kind for kind, _ in ways.first} - {"corrected_claim"}
    before = "Else" if situation.remarks.isdisjoint(RESEND) else "Before it, if none is found"
    for clock, state in states:
        if clock is told or state not in {"open", "perhaps_open", "unknown"} or clock.waits:
            continue
        kind = clock.kind
        lead = "In time for it" if kind in ways.beside else before if kind in first else "Else"
        action = actions.get(kind, "send_corrected_claim" if kind == "corrected_claim" else "appeal")
        comma = "," if clock.says_by else ""
        yield Step(action, f"{lead}: {clock.label}{comma}", clock)


def _if_refused(situation: Situation, choice: Choice, states: States) -> Iterator[Step]:
    """Where a cure is asked for and no dispute has a clock: what a refusal leaves."""
    ways = ways_for(situation.main.category, situation.main.action)
    disputes = any(clock.kind in APPEALS for clock, _ in states)
    disputed = (choice.instead or choice.action) in _DISPUTES
    refusable = bool(ways.first) or choice.action == "obtain_referral" or choice.instead == "obtain_referral"
    if refusable and not (_barred(situation) or disputes or choice.exhausted or disputed):
        yield Step("appeal", f"If the payer refuses: appeal with the clinical records; {_NO_LIMIT}")


def _who_authorizes(situation: Situation, states: States) -> Iterator[Step]:
    named = any(one.kind == "retro_authorization" for one, _ in states)
    if situation.main.category in OF_A_DELEGATE and not named:
        yield Step(
            "review_by_hand",
            "Find out who authorizes for the network (medical group, IPA, delegate) and record it as the "
            "delegate: its own window for a retroactive request may be open",
        )


def _to_find_out(states: States) -> Iterator[Step]:
    missing = [
        fact
        for clock, state in states
        if state not in SHUT and not clock.waits
        for fact in clock.missing_facts
    ]
    if missing:
        yield Step("review_by_hand", f"Find out and record: {fact_words(missing)}")
