"""
Where a claim stands by what its remittances say. What people did moves the case on from there (work.py).

| what the observations say                                                      | state       |
|--------------------------------------------------------------------------------|-------------|
| a denial stands, and no later remittance pays those services                    | open        |
| the same, and no denial of the claim ever concerned authorization               | closed (not_our_denial) |
| every denial was taken back, and nothing was adjudicated since                  | reversed    |
| later remittances account for all that was denied: payer and patient owe it     | closed (recovered) |
| the same, but payer and patient together owe less than a tenth of it            | paid, needs a person |
| they pay, but account for less; or pay some, and deny the rest again            | partly_paid |
| a later adjudication pays nothing, leaves the patient nothing, denies nothing   | open, needs a person |

What a payer refuses as a duplicate (reason 18) leaves everything as the claim's own answers have it. Where a
payer refuses for another reason what it had refused for want of authorization, the case stays open, and a
person looks.

A payment in the remittance that carries the denial answers nothing: it is the other part of a split claim. Of
copies of one remittance that differ one stands (copies.py). What the patient owes (group PR: deductible,
coinsurance, copayment) counts beside what the payer paid, and is told apart from it.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import chain, combinations, product
from math import prod
from uuid import UUID

from services.tracker.domain.copies import COPIES, without_copies
from services.tracker.domain.observations import ZERO, Observation
from services.tracker.domain.reversals import match_reversals
from services.tracker.domain.states import ClosedReason, State
from shared.values import derived

PREDETERMINATION = "25"
"""CLP02 of a price told before any service was billed: its amounts are no payment, so it answers nothing."""

STRAY_REVERSAL = "a reversal takes back an amount that no remittance gave"
OTHER_SERVICES = "a later remittance pays other services than the denied ones"
AT_ZERO = "a later remittance pays nothing and denies nothing"
DUPLICATE = "the payer took a later claim for a duplicate: what was sent again did not reach this denial"
ANOTHER_REASON = "refused for authorization before, and now for another reason: see whose work it is"
TOO_LITTLE = "a later remittance pays so little of what was denied that it may be no recovery"
RECOVERED_AT_LEAST = Decimal("0.1")
"""Of the denied amount: what payer and patient owe below this a person has to look at."""


@dataclass(frozen=True, slots=True)
class Standing:
    """
    `denials` are the ones that count now, the leading one first; `paid_amount` came after them, net.

    `evident` is the state by the money alone, whatever triage thinks of the denial. `patient_amount` is what
    the adjudications that paid leave to the patient. `evidence` names what all this rests on: it changes when
    a remittance brings a denial, a payment or a reversal that counts, and not with a mere re-decision.
    `earlier` gives the evidences before late parts of the same remittances came, each with the denials that
    it knew: what people did then was done about the same words of the payer. Most claims are never asked.
    """

    state: State
    closed_reason: ClosedReason | None
    evident: State
    evidence: UUID
    earlier: Callable[[], Mapping[UUID, frozenset[UUID]]] = field(compare=False, repr=False)
    denials: tuple[Observation, ...]
    paid_amount: Decimal
    patient_amount: Decimal
    reasons: tuple[str, ...]


def stand(members: Sequence[Observation]) -> Standing | None:
    """Say where the claim of these ordered observations stands; None when nothing of it was ever denied."""
    members, copied = without_copies(members)
    told = [one for one in members if one.is_denial]
    if not told:
        return None
    denials = [one for one in told if one.route != "duplicate"] or told
    taken_back, stray = match_reversals(members)
    standing = [one for one in denials if one.event_id not in taken_back]
    current = _current(standing or denials)
    later = {
        denial.event_id: [
            one
            for one in members
            if one.outcome in ("paid", "zero")
            and one.claim_status != PREDETERMINATION
            and one.event_id not in taken_back
            and _came_later(one, denial, taken_back.get(denial.event_id))
        ]
        for denial in current
    }
    answers = {
        denial.event_id: [one for one in later[denial.event_id] if _same_services(one, denial)]
        for denial in current
    }
    payments = _distinct(one for some in answers.values() for one in some if one.pays)
    replaced = [] if standing else current  # their own money was taken back with them
    state = _state(current, answers, payments, reversed_=not standing)
    since = _net(payments, replaced, "paid_amount")
    won = _won(denials, current) if standing or payments else ZERO
    patient = _net(payments, replaced, "patient_amount")
    denied = sum((one.denied_amount for one in current), ZERO)
    too_little = state == "paid" and since + patient < RECOVERED_AT_LEAST * denied
    if state == "open" and won:
        state = "partly_paid"
    ours, was_ours = any(map(concerns_us, current)), any(map(concerns_us, denials))
    reasons = {
        STRAY_REVERSAL: bool(stray),
        OTHER_SERVICES: any(
            one.pays and one not in answers[denial.event_id]
            for denial in current
            for one in later[denial.event_id]
        )
        and not payments,
        COPIES: copied,
        AT_ZERO: any(some and not some[-1].pays for some in answers.values()),
        TOO_LITTLE: too_little,
        DUPLICATE: state != "paid" and was_ours and len(denials) < len(told),
        ANOTHER_REASON: state in ("open", "partly_paid") and was_ours and not ours,
    }
    closed_reason: ClosedReason | None = None
    if state == "paid" and not too_little:
        closed_reason = "recovered"
    elif state == "open" and not was_ours:
        closed_reason = "not_our_denial"
    return Standing(
        state="closed" if closed_reason else state,
        closed_reason=closed_reason,
        evident=state,
        evidence=_evidence(state, current, [*_flat(answers), *taken_back.values()]),
        earlier=partial(
            _without_late_parts,
            state,
            current,
            answers=answers,
            reversals=taken_back.values(),
            reversed_=not standing,
        ),
        denials=tuple(current),
        paid_amount=since + won,
        patient_amount=patient,
        reasons=tuple(reason for reason, applies in reasons.items() if applies),
    )


def _state(
    current: Sequence[Observation],
    answers: Mapping[UUID, Sequence[Observation]],
    payments: Sequence[Observation],
    *,
    reversed_: bool,
) -> State:
    paid = [any(one.pays for one in answers[denial.event_id]) for denial in current]
    if all(paid):
        denied = sum((denial.denied_amount for denial in current), ZERO)
        accounted = sum((one.accounted_amount for one in payments), ZERO)
        if reversed_:
            accounted -= sum((denial.charge_amount - denial.denied_amount for denial in current), ZERO)
        return "paid" if accounted >= denied else "partly_paid"
    if not reversed_ or any(answers.values()):
        return "partly_paid" if reversed_ and any(paid) else "open"
    return "reversed"


def _net(payments: Sequence[Observation], replaced: Sequence[Observation], amount: str) -> Decimal:
    """Sum what payments give, without what the denials that were taken back had given; never below zero."""
    given: Decimal = sum((getattr(one, amount) for one in payments), ZERO)
    taken: Decimal = sum((getattr(one, amount) for one in replaced), ZERO)
    return max(given - taken, ZERO) if payments else ZERO


def _won(denials: Sequence[Observation], current: Sequence[Observation]) -> Decimal:
    """Sum what the denials that count now pay of what earlier ones had refused, refusing the rest again."""
    won = ZERO
    for one in current:
        before = [
            other
            for other in denials
            if other not in current and other.remittance != one.remittance and _same_services(other, one)
        ]
        if before and one.denied_amount < before[0].denied_amount:
            won += max(one.paid_amount - before[0].paid_amount, ZERO)
    return won


def _evidence(state: State, current: Sequence[Observation], since: Sequence[Observation]) -> UUID:
    told, since_then = (sorted({str(one.event_id) for one in some}) for some in (current, since))
    return derived(current[0].claim_key, f"{state}:{','.join(told)}:{','.join(since_then)}")


_WAYS_MAX = 64
"""In which the parts of a claim may have come. One of more parts is folded as if none had come late."""


def _without_late_parts(
    state: State,
    current: Sequence[Observation],
    *,
    answers: Mapping[UUID, Sequence[Observation]],
    reversals: Iterable[Observation],
    reversed_: bool,
) -> dict[UUID, frozenset[UUID]]:
    """Give the evidences of the same state that some parts alone make, of each remittance one at least."""
    counted = _distinct([*current, *_flat(answers)])
    remittances: dict[Hashable, list[Observation]] = {}
    for one in counted:
        remittances.setdefault((one.is_denial, one.remittance), []).append(one)
    if (
        len(remittances) == len(counted)
        or prod(2 ** len(one) - 1 for one in remittances.values()) > _WAYS_MAX
    ):
        return {}
    found: dict[UUID, frozenset[UUID]] = {}
    for way in product(*map(_some, remittances.values())):
        known = {one.event_id for some in way for one in some}
        denials = [one for one in current if one.event_id in known]
        answered = {
            one.event_id: [answer for answer in answers[one.event_id] if answer.event_id in known]
            for one in denials
        }
        payments = _distinct(one for one in _flat(answered) if one.pays)
        if _state(denials, answered, payments, reversed_=reversed_) == state:
            evidence = _evidence(state, denials, [*_flat(answered), *reversals])
            found[evidence] = frozenset(one.event_id for one in denials)
    return found


def _some(parts: Sequence[Observation]) -> Iterable[tuple[Observation, ...]]:
    """Give every choice of some of these, and of all."""
    return chain.from_iterable(combinations(parts, count) for count in range(1, len(parts) + 1))


def _flat(answers: Mapping[UUID, Sequence[Observation]]) -> list[Observation]:
    return [one for some in answers.values() for one in some]


def _current(denials: Sequence[Observation]) -> list[Observation]:
    """Leave out what a later remittance repeats; parts of a split claim all count. The leading one first."""
    current: list[Observation] = []
    for newer in denials:
        current = [
            one for one in current if one.remittance == newer.remittance or not _same_services(one, newer)
        ]
        current.append(newer)
    places = {one.event_id: place for place, one in enumerate(current)}
    return sorted(current, key=lambda one: (one.auth_related, places[one.event_id]), reverse=True)


def _came_later(one: Observation, denial: Observation, reversal: Observation | None) -> bool:
    return one.payer_date > denial.payer_date or (
        reversal is not None and one.payer_date == reversal.payer_date
    )


def _same_services(one: Observation, denial: Observation) -> bool:
    """Tell whether both may speak of the same services; without lines on either side they may."""
    first, second = _services(one), _services(denial)
    return not first or not second or bool(first & second)


def _services(one: Observation) -> set[str]:
    """Codes of the denied lines, or of all lines where nothing is denied or the denial covers the claim."""
    denied = {item.line_number for item in one.denied}
    lines = [line for line in one.lines if not denied or None in denied or line.number in denied]
    return {code for line in lines for code in (line.code or line.revenue_code, line.original_code) if code}


def concerns_us(denial: Observation) -> bool:
    """Tell whether authorization has or may have to do with it."""
    return denial.auth_related or denial.category != "not_authorization"


def _distinct(observations: Iterable[Observation]) -> list[Observation]:
    return list({one.event_id: one for one in observations}.values())
