"""What to do next, in what order, with which papers."""

from collections.abc import Sequence
from datetime import date

from msgspec import Struct

from services.triage.domain.classification import Reading
from services.triage.domain.clocks import RunningClock, State, plan_for, state_of
from services.triage.domain.cues import NO_APPEAL
from services.triage.domain.meanings import ResponsibleParty
from services.triage.domain.ways import APPEALS, WAYS
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Action, ClockKind

ACTION_WORDS: dict[Action, str] = {
    "search_existing_authorization": "Search for an authorization that covers the service",
    "request_retro_authorization": "Ask the payer for a retroactive authorization",
    "request_extension": "Ask the payer to add the units or days to the authorization",
    "request_date_change": "Ask the payer to change the dates of the authorization",
    "amend_authorization": "Ask the payer to amend the authorization to what was billed",
    "check_authorization_on_file": "Check the authorization that the payer echoes",
    "obtain_referral": "Obtain a referral that covers the date of service",
    "request_network_exception": "Ask the payer for a network exception",
    "notify_payer": "Notify the payer of the admission",
    "request_reconsideration": "Ask the payer to reconsider",
    "appeal": "Appeal",
    "send_corrected_claim": "Send a corrected claim",
    "send_records": "Send the records that the payer asks for",
    "route_elsewhere": "Hand it to the team whose problem it is",
    "review_by_hand": "Have a person read the remittance",
}

_ROUTE_WORDS = {
    "eligibility": "Hand it to eligibility: verify coverage on the date of service",
    "coordination_of_benefits": "Hand it to coordination of benefits: settle which payer comes first",
    "timely_filing": "Hand it to billing: look for proof that the claim was filed in time",
    "coding": "Hand it to coding: correct the codes and send a corrected claim",
    "medical_necessity": "Hand it to clinical appeals with the records",
    "missing_information": "Send what the remark asks for",
    "duplicate": "Find the first claim and its outcome; send nothing again",
    "bundling": "Hand it to coding: see which service it was paid within",
    "benefit_limit": "Check the plan's benefit; then the patient's account",
    "contractual": "Check it against the contract",
    "other": "Hand it to denials review",
}

_SEARCH = "Search for an authorization on file first; if one covers the service, correct the claim"
_ON_THE_REMITTANCE = "claim number, dates, codes, units, charges and rendering provider: on this remittance"
_NOT_ON_AN_835 = "diagnoses, referring provider and clinical notes: not on an 835, from the chart"
_REASON = "a short reason why no authorization was obtained, with a fact that can be checked"
_RECORDS = "clinical records of the date of service"
_PROOF = "proof of the request or notice: date, method, reference number"
_NUMBER = "the authorization: number, dates, codes, units, provider"

_DOCUMENTS: dict[Action, tuple[str, ...]] = {
    "search_existing_authorization": (_ON_THE_REMITTANCE, _NUMBER, _NOT_ON_AN_835, _REASON),
    "request_retro_authorization": (_ON_THE_REMITTANCE, _NOT_ON_AN_835, _RECORDS, _REASON),
    "request_extension": (_ON_THE_REMITTANCE, _NUMBER, _NOT_ON_AN_835, _RECORDS),
    "request_date_change": (_ON_THE_REMITTANCE, _NUMBER, _NOT_ON_AN_835),
    "amend_authorization": (_ON_THE_REMITTANCE, _NUMBER, _NOT_ON_AN_835),
    "check_authorization_on_file": (_ON_THE_REMITTANCE, _NUMBER),
    "obtain_referral": (_ON_THE_REMITTANCE, "the referral: number, dates, visits, referring provider"),
    "request_network_exception": (_ON_THE_REMITTANCE, _NOT_ON_AN_835, "why no network provider could serve"),
    "notify_payer": (_ON_THE_REMITTANCE, "admission date and hour", _NOT_ON_AN_835),
    "request_reconsideration": (_ON_THE_REMITTANCE, _PROOF, _RECORDS),
    "appeal": (_ON_THE_REMITTANCE, "the denial letter", _RECORDS, _PROOF),
    "send_corrected_claim": (_ON_THE_REMITTANCE, _NUMBER),
    "send_records": (_ON_THE_REMITTANCE, _RECORDS),
    "route_elsewhere": (),
    "review_by_hand": (),
}


_CORRECTION: tuple[tuple[ClockKind, Action], ...] = (("corrected_claim", "send_corrected_claim"),)


class Situation(Struct, frozen=True, kw_only=True):
    """
    All that advice hangs on beside the clocks: the reading to follow and whom it holds liable, and the day.

    `echoed`: the remittance names an authorization. `found`: a person found one on file.
    """

    main: Reading
    auth_related: bool
    party: ResponsibleParty
    echoed: bool
    found: bool
    remarks: frozenset[str]
    as_of: date


class Advice(Struct, frozen=True, kw_only=True):
    """
    The next action, and the ordered steps around it.

    `governing` is the clock of that action, None where no rule states one. `shut` names the windows that
    closed before the day of the decision, and the ways the payer forbids.
    """

    action: Action
    next_actions: tuple[str, ...]
    documents: tuple[str, ...]
    channel: str | None
    governing: RunningClock | None
    shut: tuple[str, ...]
    human: tuple[str, ...]


class _Choice(Struct, frozen=True):
    action: Action
    governing: RunningClock | None = None
    human: tuple[str, ...] = ()


def advise(situation: Situation, running: Sequence[RunningClock]) -> Advice:
    """Choose the next action for a day: the first way that is still open, and what to prepare for it."""
    states = [(clock, state_of(clock.clock, situation.as_of)) for clock in running]
    choice = _choose(situation, states)
    governing = choice.governing
    return Advice(
        action=choice.action,
        next_actions=tuple(_next_actions(situation, choice, states)),
        documents=_documents(choice),
        channel=_channel(governing, running),
        governing=governing,
        shut=tuple(_shut(clock, state) for clock, state in states if state in {"closed", "forbidden"}),
        human=choice.human,
    )


def _choose(situation: Situation, states: Sequence[tuple[RunningClock, State]]) -> _Choice:
    category = situation.main.category
    if situation.auth_related:
        if situation.found:
            if situation.echoed:
                return _Choice("request_reconsideration")
            return _Choice("send_corrected_claim", _governing(_CORRECTION, states))
        if situation.echoed and category in {"authorization_absent", "authorization_number_invalid"}:
            return _Choice("check_authorization_on_file", _governing(WAYS[category].first, states))
    if "MA130" in situation.remarks:
        return _Choice("send_corrected_claim")
    if not situation.auth_related:
        return _Choice(situation.main.action)
    return _first_open(situation, states)


def _first_open(situation: Situation, states: Sequence[tuple[RunningClock, State]]) -> _Choice:
    ways = WAYS[situation.main.category]
    usual = situation.main.action
    first = {kind for kind, _ in ways.first}
    known = [state for clock, state in states if clock.clock.kind in first]
    for kind, action in ways.first:
        for clock, state in states:
            if clock.clock.kind == kind and state in {"open", "perhaps_open"}:
                return _Choice(action, clock)
    if first and (not known or "unknown" in known):
        return _Choice(usual, _governing(ways.first, states))
    for wanted in ("open", "perhaps_open", "unknown"):
        for kind, action in ways.then:
            for clock, state in states:
                if clock.clock.kind == kind and state == wanted and not _waits(clock):
                    return _Choice(action, clock)
    appeal_is_barred = not situation.remarks.isdisjoint(NO_APPEAL)
    if appeal_is_barred or any(clock.clock.kind in APPEALS for clock, _ in states):
        return _Choice("review_by_hand", human=("every window that the policy states has closed",))
    return _Choice("appeal" if first else usual)


def _governing(
    ways: Sequence[tuple[ClockKind, Action]], states: Sequence[tuple[RunningClock, State]]
) -> RunningClock | None:
    kinds = {kind for kind, _ in ways}
    return next(
        (
            clock
            for clock, state in states
            if clock.clock.kind in kinds and state not in {"closed", "forbidden"}
        ),
        None,
    )


def has_authorization_number(event: ClaimDenied) -> bool:
    """Tell whether the remittance echoes an authorization number (REF G1 or BB)."""
    return bool(event.authorization_numbers) or any(line.authorization_numbers for line in event.lines)


def _first_steps(situation: Situation, choice: _Choice) -> tuple[list[str], RunningClock | None]:
    """Give the steps that the chosen action means, and the clock that they already name."""
    if choice.action == "check_authorization_on_file":
        return [
            "Check the dates, codes, units and provider of the number that the payer echoes",
            "If they match: ask for reconsideration, the payer has the authorization; else have it amended",
        ], None
    searches = situation.main.action == "search_existing_authorization"
    steps = [_SEARCH] if searches and not situation.found else []
    if choice.action == "search_existing_authorization":
        return steps, None
    return [
        *steps,
        ACTION_WORDS[choice.action] + _by_when(choice.governing, situation.as_of),
    ], choice.governing


def _next_actions(
    situation: Situation, choice: _Choice, states: Sequence[tuple[RunningClock, State]]
) -> list[str]:
    if not situation.auth_related:
        route = situation.main.route
        steps = [_ROUTE_WORDS[route]] if route and choice.action == "route_elsewhere" else []
        return steps or [ACTION_WORDS[choice.action]]
    steps, told = _first_steps(situation, choice)
    steps += [
        f"Else: {clock.clock.label}{_by_when(clock, situation.as_of)}"
        for clock, state in states
        if clock is not told and state in {"open", "perhaps_open", "unknown"} and not _waits(clock)
    ]
    if choice.governing is None and choice.action in {"appeal", "request_reconsideration"}:
        steps.append("No rule that we know states the time for it: read the payer's letter or manual today")
    missing = [
        fact
        for clock, state in states
        if state not in {"closed", "forbidden"} and not _waits(clock)
        for fact in clock.clock.missing_facts
    ]
    if missing:
        words = ", ".join(dict.fromkeys(fact.replace("_", " ") for fact in missing))
        steps.append(f"Find out and record: {words}")
    if choice.governing is not None:
        steps += _patience(choice.governing)
    if situation.party == "patient":
        steps.append("The payer makes the patient liable: check that before any bill goes out")
    elif situation.party == "provider":
        steps.append("Do not bill the patient for it")
    return steps


def _waits(running: RunningClock) -> bool:
    """Tell whether the clock opens only with the decision on an earlier level."""
    rule = running.rule
    return rule is not None and rule.entry.after is not None and running.clock.anchor_date is None


def _patience(running: RunningClock) -> list[str]:
    steps = []
    if running.review is not None:
        unit = running.review.unit.replace("_", " ")
        steps.append(f"The payer states {running.review.amount} {unit} for its answer")
    policy = None if running.rule is None else running.rule.policy
    if policy is not None and policy.follow_up_days is not None:
        steps.append(f"Ask after it every {policy.follow_up_days} days")
    return steps


def _by_when(running: RunningClock | None, as_of: date) -> str:
    if running is None:
        return ""
    clock = running.clock
    instant = plan_for(clock, as_of)
    if instant is None:
        return ""
    if clock.deadline_at is not None:
        return f" by {instant:%Y-%m-%d %H:%M} {clock.zone}"
    word = "at the latest" if instant == clock.latest else "at the earliest reading"
    return f" by {instant:%Y-%m-%d}, {word}"


def _shut(running: RunningClock, state: State) -> str:
    clock = running.clock
    if state == "forbidden":
        return f"Not permitted ({clock.policy_id}): {clock.label}; {'; '.join(clock.reasons)}"
    end = clock.deadline_at or clock.latest
    # Where the rule itself is unknown nothing closed for certain.
    closed = "Closed" if clock.permitted else "If it applied, closed"
    return f"{closed} on {end:%Y-%m-%d} ({clock.policy_id}): {clock.label}"


def _documents(choice: _Choice) -> tuple[str, ...]:
    documents = _DOCUMENTS[choice.action]
    rule = None if choice.governing is None else choice.governing.rule
    return documents if rule is None or not documents else (*documents, *rule.policy.documents)


def _channel(governing: RunningClock | None, running: Sequence[RunningClock]) -> str | None:
    rules = [clock.rule for clock in ([governing] if governing else running) if clock.rule is not None]
    return next((text for rule in rules if (text := rule.entry.channel or rule.policy.channel)), None)
