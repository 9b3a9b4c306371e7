"""What to do next, in what order, with which papers."""

from collections.abc import Sequence

from msgspec import Struct

from services.triage.domain.clocks import State
from services.triage.domain.cues import NO_APPEAL, RESEND
from services.triage.domain.liability import billing_doubts
from services.triage.domain.papers import papers_missing
from services.triage.domain.phases import SHUT, Phase
from services.triage.domain.situation import Choice, Situation, States
from services.triage.domain.steps import steps_of
from services.triage.domain.ways import APPEALS, OF_A_DELEGATE, OWN_CLOCKS, WAYS, ways_for
from shared.contracts.decision import Action, Category, ClockKind

_CORRECTION: tuple[tuple[ClockKind, Action], ...] = (("corrected_claim", "send_corrected_claim"),)
_REQUEST: tuple[tuple[ClockKind, Action], ...] = (("retro_authorization", "request_retro_authorization"),)
_DISPUTE = WAYS["authorization_untimely"].then
_ALIVE: frozenset[State] = frozenset(("open", "perhaps_open"))
_BY_A_CLAIM: dict[Category, Action] = {
    "authorization_absent": "search_existing_authorization",
    "authorization_not_for_service": "send_corrected_claim",
    "authorization_not_for_provider": "send_corrected_claim",
}
"""What a corrected claim may still mend once requests and disputes are shut: what was billed, not granted."""
_ALL_CLOSED = "every window that the policy states has closed"
_TIME_OVER = "the time that the policy states for it is over: ask the payer whether it still takes one"
_LOST = Choice("review_write_off", human=(_ALL_CLOSED,), exhausted=True)


class Advice(Struct, frozen=True, kw_only=True):
    """
    The next action, and the ordered steps around it, in words and in the vocabulary's.

    `steps` have the words, and where the end of a clock goes on with them the number of the clock.
    `governing` is the clock of that action, None where no rule states one. `missing` are the papers that no
    835 has. `chance` weighs the way among others, 0 to 1: an order, no probability; `chance_why` says why.
    `exhausted`: every way that the policy states has closed.
    """

    action: Action
    steps: tuple[tuple[str, int | None], ...]
    codes: tuple[Action, ...]
    missing: tuple[str, ...]
    channel: str | None
    governing: int | None
    human: tuple[str, ...]
    chance: float
    chance_why: str
    exhausted: bool


def advise(situation: Situation, phases: Sequence[Phase]) -> Advice:
    """Choose the next action for a day: the first way that is still open, and what to prepare for it."""
    states = [(phase, phase.state) for phase in phases]
    number = {id(phase): place for place, phase in enumerate(phases)}
    choice = _choose(situation, states)
    governing = choice.governing
    rule = None if governing is None else governing.rule
    chance, chance_why = _chance(situation, choice)
    steps = steps_of(situation, choice, states)
    return Advice(
        action=choice.action,
        steps=tuple((step.words, number.get(id(step.until))) for step in steps),
        codes=tuple(step.action for step in steps),
        missing=papers_missing(
            choice.action,
            choice.instead,
            () if rule is None else rule.policy.documents,
            about_authorization=situation.auth_related,
        ),
        channel=_channel(governing, phases),
        governing=number.get(id(governing)),
        human=(*choice.human, *_doubts(situation)),
        chance=chance,
        chance_why=chance_why,
        exhausted=choice.exhausted,
    )


def _doubts(situation: Situation) -> tuple[str, ...]:
    if not situation.auth_related:
        return ()
    return tuple(billing_doubts(situation.party, situation.program, situation.remarks))


def _choose(situation: Situation, states: States) -> Choice:
    if not situation.auth_related:
        return _of_another_team(situation, states)
    if not situation.remarks.isdisjoint(RESEND):
        return _LOST if _lapsed(_CORRECTION, situation, states) else _corrected(states)
    if not situation.cured and (exempted := _exempted(situation, states)) is not None:
        return exempted
    on_file = _on_file(situation, states)
    if on_file is not None:
        return on_file
    delegated = _governing(_REQUEST, states) is not None
    refers = situation.main.action == "obtain_referral" and not delegated
    if refers and not _lapsed(_CORRECTION, situation, states):
        choice = Choice("obtain_referral", _governing(_CORRECTION, states))
    else:
        choice = _first_open(situation, states)
    return _before_a_bill(choice) if situation.party == "patient" else choice


def _exempted(situation: Situation, states: States) -> Choice | None:
    """Dispute what the payer's own rule asks for none of: there is nothing to cure."""
    exempt = next((one.exempt for one, _ in states if one.exempt is not None), None)
    if exempt is None or _lapsed(_DISPUTE, situation, states):
        return None
    dispute = _dispute(_DISPUTE, states)
    governing = None if dispute is None else dispute.governing
    choice = Choice("request_reconsideration", governing, exempt=exempt)
    return _before_a_bill(choice) if situation.party == "patient" else choice


def _on_file(situation: Situation, states: States) -> Choice | None:
    """
    Use the authorization that a person found, or check the one that the payer itself echoes.

    Where it has the number, reconsideration comes before a corrected claim; either while its window is open.
    """
    disputed, may_dispute = _governing(_DISPUTE, states), not _lapsed(_DISPUTE, situation, states)
    if situation.cured:
        if may_dispute and situation.echoed:
            return Choice("request_reconsideration", disputed)
        if not _lapsed(_CORRECTION, situation, states):
            return _corrected(states)
        return Choice("request_reconsideration", disputed) if may_dispute else _LOST
    if situation.contradicted:
        first, corrected = WAYS[situation.main.category].first, _governing(_CORRECTION, states)
        if not may_dispute and _lapsed(first, situation, states) and corrected is None:
            return _LOST
        return Choice("check_authorization_on_file", _governing(first, states) or disputed or corrected)
    return None


def _corrected(states: States) -> Choice:
    return Choice("send_corrected_claim", _governing(_CORRECTION, states))


def _lapsed(ways: Sequence[tuple[ClockKind, Action]], situation: Situation, states: States) -> bool:
    """Tell whether ways are shut: by the payer's remark, or since each known window of theirs closed."""
    if ways is _DISPUTE and not situation.remarks.isdisjoint(NO_APPEAL):
        return True
    kinds = {kind for kind, _ in ways}
    return any(one.kind in kinds for one, _ in states) and _governing(ways, states) is None


def _of_another_team(situation: Situation, states: States) -> Choice:
    if not situation.remarks.isdisjoint(RESEND):
        return Choice("send_corrected_claim")
    action = situation.main.action
    own = OWN_CLOCKS.get(action)
    if own is None:
        return Choice(action, _governing(_DISPUTE, states))
    ways = tuple(way for way in _DISPUTE if way[0] in own)
    if not _lapsed(ways, situation, states) and not (own <= APPEALS and _lapsed(_DISPUTE, situation, states)):
        # A talk between physicians runs beside an appeal, and its last day is none of the appeal's.
        mine = tuple(way for way in ways if way[1] == action)
        others = tuple(way for way in ways if way[1] != "request_peer_to_peer")
        governing = _governing(mine, states) or _governing(others, states)
        over = governing is None and any(clock.kind in {kind for kind, _ in others} for clock, _ in states)
        return Choice(action, governing, human=(_TIME_OVER,) if over else ())
    return _left(_DISPUTE, situation, states) or Choice("appeal")


def _before_a_bill(choice: Choice) -> Choice:
    """Review the patient's bill first, and keep the way that may spare it: that one's clock goes on."""
    instead = None if choice.exhausted else choice.action
    return Choice(
        "review_patient_billing",
        choice.governing,
        choice.human,
        exhausted=choice.exhausted,
        instead=instead,
        exempt=choice.exempt,
    )


def _first_open(situation: Situation, states: States) -> Choice:
    ways = ways_for(situation.main.category, situation.main.action)
    usual = situation.main.action
    first = {kind for kind, _ in ways.first}
    known = [state for clock, state in states if clock.kind in first]
    for kind, action in ways.first:
        for clock, state in states:
            if clock.kind == kind and state in {"open", "perhaps_open"}:
                return Choice(action, clock)
    if "unknown" in known or (first and not known and situation.main.category not in OF_A_DELEGATE):
        return Choice(usual, _governing(ways.first, states))
    left = _left(ways.then, situation, states)
    if left is None:
        disputes = {action for _, action in ways.then}
        return Choice(usual if usual in disputes or (not first and usual != "obtain_referral") else "appeal")
    corrected = _governing(_CORRECTION, states)
    by_a_claim = _BY_A_CLAIM.get(situation.main.category)
    if left.exhausted and corrected is not None and by_a_claim is not None:
        return Choice(by_a_claim, corrected)
    return left


def _left(ways: Sequence[tuple[ClockKind, Action]], situation: Situation, states: States) -> Choice | None:
    """Give the dispute that is left; lost where all are shut; None where nobody states a time for one."""
    dispute = _dispute(ways, states)
    if dispute is not None:
        return dispute
    barred = not situation.remarks.isdisjoint(NO_APPEAL)
    return _LOST if barred or any(clock.kind in APPEALS for clock, _ in states) else None


def _dispute(ways: Sequence[tuple[ClockKind, Action]], states: States) -> Choice | None:
    """Give the first way that is open, else perhaps open, else unknown; of its clocks the first to end."""
    for wanted in ("open", "perhaps_open", "unknown"):
        for kind, action in ways:
            if kind == "peer_to_peer" and wanted != "open":
                continue  # a talk without a last day can wait, an appeal cannot
            mine = [one for one in states if one[0].kind == kind and not one[0].waits]
            if any(state == wanted for _, state in mine):
                # Where the payer's rule and its own remark differ, the earlier date is the safe one.
                return Choice(action, next(one for one, state in mine if state == wanted or state in _ALIVE))
    talk = _governing((("peer_to_peer", "request_peer_to_peer"),), states)
    return None if talk is None else Choice("request_peer_to_peer", talk)


def _governing(ways: Sequence[tuple[ClockKind, Action]], states: States) -> Phase | None:
    kinds = {kind for kind, _ in ways}
    return next(
        (clock for clock, state in states if clock.kind in kinds and state not in SHUT and not clock.waits),
        None,
    )


_DISPUTES: frozenset[Action] = frozenset(("request_reconsideration", "appeal", "request_peer_to_peer"))


def _chance(situation: Situation, choice: Choice) -> tuple[float, str]:
    """Weigh the way. The weights are ours: they put ways in order, nobody measured them."""
    if choice.exhausted:
        return 0.1, "every way has closed"
    if not situation.auth_related:
        return 0.5, "another team's work"
    if situation.cured or (situation.contradicted and choice.exempt is None):
        return 0.9, "an authorization is on file"
    if choice.exempt is not None:
        return 0.8, "the payer's own rule asks for none"
    if choice.action in _DISPUTES:
        return (
            (0.5, "a dispute") if choice.governing is not None else (0.4, "a dispute without a known limit")
        )
    permitted = None if choice.governing is None else choice.governing.permitted
    return (0.8, "the payer permits it") if permitted else (0.6, "whether the payer permits it is not known")


def _channel(governing: Phase | None, phases: Sequence[Phase]) -> str | None:
    rules = [clock.rule for clock in ([governing] if governing else phases) if clock.rule is not None]
    return next((text for rule in rules if (text := rule.entry.channel or rule.policy.channel)), None)
