"""
From the denied adjustments of a claim to what they mean.

The rules of combination live here, the codes' meanings in meanings.py. Codes that need a remark are never
read alone, Alerts never explain, the word "authorization" is never a key, and what is unknown is `unclear`.
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, get_args

from msgspec import Struct
from msgspec.structs import replace

from services.triage.domain.code_lists import CARC_DATES, CARC_DEACTIVATED, CARC_SUCCESSORS
from services.triage.domain.codes import (
    CodeStatus,
    carc_status,
    carc_status_then,
    group_allowed,
    is_alert,
    rarc_status,
)
from services.triage.domain.meanings import (
    CARC_MEANINGS,
    GROUPS,
    RARC_MEANINGS,
    RARC_PERHAPS,
    RARC_ROUTING,
    RARC_SUPPORTING,
    Meaning,
    ResponsibleParty,
)
from shared.contracts.claim import ServiceLine
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Action, Category, DeniedItem, EvidenceStrength, Route

NOT_ABOUT_AUTHORIZATION: frozenset[Category] = frozenset(("not_authorization", "unclear"))

UPHELD = "193"
"""CARC: the payer upholds its decision, so the level before has been decided."""

_NOTHING = Decimal(0)
_CATEGORIES: tuple[Category, ...] = get_args(Category)
_FIXABLE = frozenset(
    ["N706", "N29", "N517", *(c for c, row in RARC_ROUTING.items() if row.route == "missing_information")]
)
"""Remarks that name what a request lacked."""


class Reading(Struct, frozen=True, kw_only=True, eq=False):
    """What a reason code and the remarks beside it say together: made once, and compared by identity."""

    category: Category
    why: str
    action: Action
    route: Route | None
    strength: EvidenceStrength
    confidence: float
    human: str | None = None
    notes: tuple[str, ...] = ()
    depends: bool = False


class _Refusal(NamedTuple):
    """
    What a denied adjustment is read by. `whole_charge` is asked only of the code that it matters for.

    `status` is the reason code's on the remittance's day, None where it is the same today.
    """

    line_number: int | None
    group: str
    reason: str
    remarks: tuple[str, ...]
    whole_charge: bool
    status: CodeStatus | None


class Pattern(Struct, frozen=True, kw_only=True, eq=False):
    """
    What refusals mean together, whatever their amounts. `main` None: the money decides between several.

    `items` stand for the refusals, without their amounts; `words` explain each, before and after its amount.
    `authorization` are the places of those about authorization, `dependent` of those refused only because
    another line was. `lines` are the lines of the former. `upheld`: the payer decided the level before.
    """

    items: tuple[DeniedItem, ...]
    words: tuple[tuple[str, str], ...]
    readings: tuple[Reading, ...]
    authorization: tuple[int, ...]
    dependent: tuple[int, ...]
    relevant: tuple[int, ...]
    main: Reading | None
    auth_related: bool
    upheld: bool
    lines: frozenset[int | None]
    party: ResponsibleParty
    human: tuple[str, ...]
    notes: tuple[str, ...]


class Classification(Struct, frozen=True, kw_only=True):
    """
    What the denied adjustments of one claim mean together: their pattern, and their money.

    `main` is the reading that the decision follows.
    """

    items: tuple[DeniedItem, ...]
    pattern: Pattern
    main: Reading
    amount_at_stake: Decimal
    amount_basis: str


def classify(event: ClaimDenied) -> Classification:
    """Read every denied adjustment of a claim, and name the reading that the claim's decision follows."""
    pattern = _pattern(_refusals(event))
    items = tuple(
        [
            replace(item, amount=denied.amount)
            if denied.quantity is None
            else replace(item, amount=denied.amount, quantity=denied.quantity)
            for item, denied in zip(pattern.items, event.denied, strict=True)
        ]
    )
    at_stake, basis = _at_stake(pattern, [denied.amount for denied in event.denied])
    return Classification(
        items=items,
        pattern=pattern,
        main=pattern.main or _heaviest(items, pattern),
        amount_at_stake=at_stake,
        amount_basis=basis,
    )


def _at_stake(pattern: Pattern, amounts: Sequence[Decimal]) -> tuple[Decimal, str]:
    """Add up the denied charges that the decision is about, and say which they are."""
    denied = sum(amounts, _NOTHING)
    if not pattern.auth_related:
        return denied, "all denied charges of the claim"
    basis = "denied charges about authorization"
    if len(pattern.authorization) == len(amounts):
        return denied, basis
    authorization = at_stake = sum([amounts[index] for index in pattern.authorization], _NOTHING)
    if pattern.dependent:
        dependent = sum([amounts[index] for index in pattern.dependent], _NOTHING)
        at_stake = authorization + dependent
        if dependent:
            basis += f" {authorization:,.2f}, and of lines that fell with them {dependent:,.2f}"
    left_out = denied - at_stake
    return at_stake, f"{basis}; denied for other reasons and left out: {left_out:,.2f}" if left_out else basis


def _refusals(event: ClaimDenied) -> tuple[tuple[Any, ...], ...]:
    """Give the fields of a _Refusal for each denied adjustment, as plain tuples: most are only looked up."""
    lines: dict[int | None, ServiceLine] = {line.number: line for line in event.lines}
    claim_remarks = (
        tuple([one.code for one in event.remarks if one.code_list == "HE"]) if event.remarks else ()
    )
    refusals = []
    for denied in event.denied:
        reason, number = denied.reason, denied.line_number
        line = lines.get(number)  # None is the claim, and no line
        whole_charge = False
        if reason == "45":
            charge = event.charge_amount if line is None else line.charge_amount
            whole_charge = denied.amount >= charge > 0
        remarks = claim_remarks if line is None or not line.remarks else _remarks(line, claim_remarks)
        then = carc_status_then(reason, event.payer_date) if reason in CARC_DATES else None
        refusals.append((number, denied.group, reason, remarks, whole_charge, then))
    return tuple(refusals)


# Payers deny in few ways: most claims repeat the codes of another one, with other money.
@lru_cache(maxsize=8192)
def _pattern(fields: tuple[tuple[Any, ...], ...]) -> Pattern:
    refusals = [_Refusal(*of_one) for of_one in fields]
    readings = tuple(_reading(refusal) for refusal in refusals)
    authorization = tuple(
        index for index, reading in enumerate(readings) if reading.category not in NOT_ABOUT_AUTHORIZATION
    )
    lines = frozenset(refusals[index].line_number for index in authorization)
    relevant = authorization or tuple(range(len(readings)))
    parties = {_party(refusals[index].group) for index in relevant}
    dependent = tuple(
        index
        for index, reading in enumerate(readings)
        if _falls_with(reading, refusals[index].line_number, lines)
    )
    items = tuple(
        _item(one, reading, dependent=index in dependent)
        for index, (one, reading) in enumerate(zip(refusals, readings, strict=True))
    )
    return Pattern(
        items=items,
        words=tuple(map(_words, items)),
        readings=readings,
        authorization=authorization,
        dependent=dependent,
        relevant=relevant,
        main=_only_one([readings[index] for index in relevant]),
        auth_related=bool(authorization),
        upheld=UPHELD in [refusal.reason for refusal in refusals],
        lines=lines,
        party=parties.pop() if len(parties) == 1 else "unknown",
        human=_human(readings, authorization, relevant),
        notes=_all_notes(refusals, readings),
    )


def _item(refusal: _Refusal, reading: Reading, *, dependent: bool) -> DeniedItem:
    return DeniedItem(
        group=refusal.group,
        reason=refusal.reason,
        amount=_NOTHING,
        category=reading.category,
        strength=reading.strength,
        why=reading.why,
        line_number=refusal.line_number,
        remarks=refusal.remarks,
        route=reading.route,
        dependent=dependent,
    )


def _words(item: DeniedItem) -> tuple[str, str]:
    place = "the claim" if item.line_number is None else f"line {item.line_number}"
    fell = " It fell with another line." if item.dependent else ""
    return f"{item.group}-{item.reason or 'none'} on {place}, ", f": {item.why}{fell}"


def _party(group: str) -> ResponsibleParty:
    known = GROUPS.get(group)
    return "unknown" if known is None else known.party


def _human(
    readings: Sequence[Reading], authorization: Sequence[int], relevant: Sequence[int]
) -> tuple[str, ...]:
    human = [reading.human for index in relevant if (reading := readings[index]).human]
    if len({readings[index].category for index in authorization}) > 1:
        human.append("its lines fail for different authorization reasons: see each item")
    return tuple(dict.fromkeys(text for text in human if text))


def _all_notes(refusals: Sequence[_Refusal], readings: Sequence[Reading]) -> tuple[str, ...]:
    notes = [note for reading in readings for note in reading.notes]
    notes += [
        f"{refusal.group}-{refusal.reason}: the code list does not allow this group with this code"
        for refusal in refusals
        if refusal.reason and not group_allowed(refusal.group, refusal.reason)
    ]
    return tuple(dict.fromkeys(notes))


def _only_one(relevant: Sequence[Reading]) -> Reading | None:
    """Give the reading to follow where no amount can change which: all are read alike."""
    if not relevant:
        return _UNEXPLAINED
    return relevant[0] if len(set(relevant)) == 1 else None


def _heaviest(items: Sequence[DeniedItem], pattern: Pattern) -> Reading:
    """
    Give the reading of the category and route with the most money, and of its readings the one with the most.

    Of equals the first in the vocabulary's order, then in that of the words: never in the order of the lines.
    """
    kinds: dict[tuple[Category, Route | None], Decimal] = {}
    readings: dict[Reading, Decimal] = {}
    for index in pattern.relevant:
        item, reading = items[index], pattern.readings[index]
        kind = (item.category, item.route)
        kinds[kind] = kinds.get(kind, _NOTHING) + item.amount
        readings[reading] = readings.get(reading, _NOTHING) + item.amount
    heaviest = max(kinds, key=lambda kind: (kinds[kind], -_CATEGORIES.index(kind[0]), kind[1] or ""))
    of_it = [reading for reading in readings if (reading.category, reading.route) == heaviest]
    return max(of_it, key=lambda one: (readings[one], one.confidence, one.why, one.action))


def _falls_with(reading: Reading, line: int | None, authorization_lines: frozenset[int | None]) -> bool:
    return reading.depends and bool(authorization_lines - {line})


def _remarks(line: ServiceLine, claim_remarks: tuple[str, ...]) -> tuple[str, ...]:
    """Give the remarks that may explain an adjustment: the line's, then the claim's."""
    own = tuple([remark.code for remark in line.remarks if remark.code_list == "HE"])
    return own if len(own) == 1 and not claim_remarks else tuple(dict.fromkeys(own + claim_remarks))


def _reading(refusal: _Refusal) -> Reading:
    # The usage note of 45: it cannot equal the whole charge. Then something else refused the service.
    if refusal.reason == "45" and refusal.whole_charge:
        return _WHOLE_CHARGE
    return read_codes(refusal.reason, refusal.remarks, refusal.status)


@lru_cache(maxsize=16_384)
def read_codes(reason: str, remarks: tuple[str, ...], status: CodeStatus | None = None) -> Reading:
    """
    Say what a reason code (CAS02) and the remark codes beside it, Alerts included, mean together.

    `status` is the reason code's on the day of the remittance, where it is another than today's.
    """
    if not reason:
        return _UNEXPLAINED
    status = status or carc_status(reason)
    explaining = [code for code in remarks if not is_alert(code)]
    notes = _notes(reason, explaining, status)
    meaning = CARC_MEANINGS.get(reason)
    refined = _refined(meaning, explaining)
    if refined is not None:
        return _by_remark(reason, refined, explaining, meaning=meaning, notes=notes)
    if meaning is None:
        return _unclear(_no_rule(reason), notes=notes)
    if meaning.strength == "needs_remark":
        return _explained(reason, meaning, explaining, notes)
    if status == "not_yet":
        return _too_early(reason, meaning, notes)
    confirmed = _confirmed(meaning, explaining)
    return Reading(
        category=meaning.category,
        why=meaning.why,
        action=_usual(meaning, explaining),
        route=meaning.route,
        strength=meaning.strength,
        confidence=0.95 if confirmed else meaning.confidence,
        human=None if confirmed else meaning.human,
        notes=notes,
        depends=meaning.depends,
    )


def _explained(reason: str, meaning: Meaning, explaining: Sequence[str], notes: tuple[str, ...]) -> Reading:
    """Read a code that says nothing alone by the remark beside it, if there is one that explains."""
    told = next((code for code in explaining if code in RARC_ROUTING), None)
    if told is not None:
        routing = RARC_ROUTING[told]
        return Reading(
            category="not_authorization",
            why=f"{meaning.why} Remark {told}: {routing.why[0].lower()}{routing.why[1:]}",
            action=routing.action,
            route=routing.route,
            strength="defining",
            confidence=0.9,
            notes=notes,
        )
    published = next((code for code in explaining if rarc_status(code) != "unknown"), None)
    if published is None:
        human = f"{reason} says nothing without a remark, and there is none that explains"
        return _unclear(human, notes=notes, strength="needs_remark")
    perhaps = next((code for code in explaining if code in RARC_PERHAPS), None)
    return Reading(
        category=meaning.category,
        why=f"{meaning.why} {_says_more(published)}",
        action=meaning.action,
        route=meaning.route,
        strength="supporting",
        confidence=meaning.confidence if perhaps is None else 0.5,
        human=perhaps
        and f"{reason} with {perhaps} may be about an authorization: {RARC_SUPPORTING[perhaps]}",
        notes=notes,
    )


def _says_more(remark: str) -> str:
    if remark in RARC_SUPPORTING:
        return f"Remark {remark}: {RARC_SUPPORTING[remark]}."
    return f"Remark {remark} says more: look it up."


def _too_early(reason: str, meaning: Meaning, notes: tuple[str, ...]) -> Reading:
    start, _ = CARC_DATES[reason]
    return Reading(
        category=meaning.category,
        why=meaning.why,
        action=meaning.action,
        route=meaning.route,
        strength="supporting",
        confidence=0.5,
        human=f"{reason} began on {start}, after the date of this remittance: the code or the date is wrong",
        notes=notes,
    )


def _refined(meaning: Meaning | None, explaining: Sequence[str]) -> str | None:
    for code in explaining:
        if code not in RARC_MEANINGS:
            continue
        if meaning is None or meaning.refinable or code in meaning.refined_by:
            return code
    return None


def _by_remark(
    reason: str, code: str, explaining: Sequence[str], *, meaning: Meaning | None, notes: tuple[str, ...]
) -> Reading:
    remark = RARC_MEANINGS[code]
    human = _no_rule(reason) if meaning is None else None
    if len({RARC_MEANINGS[other].category for other in explaining if other in RARC_MEANINGS}) > 1:
        human = "the remarks name different authorization problems"
    return Reading(
        category=remark.category,
        why=remark.why,
        action=_usual(remark, explaining),
        route=None,
        strength="defining",
        confidence=remark.confidence if human is None else 0.6,
        human=human,
        notes=(f"remark {code} decides beside {reason}", *notes),
    )


def _usual(meaning: Meaning, explaining: Sequence[str]) -> Action:
    """Give the usual action. Where a refusal names what was missing, a new request beats an appeal."""
    if meaning.category == "authorization_denied" and not _FIXABLE.isdisjoint(explaining):
        return "submit_new_request"
    return meaning.action


def _confirmed(meaning: Meaning, explaining: Sequence[str]) -> bool:
    """Tell whether a remark of the same category removes the doubt of a code such as 302."""
    return meaning.human is not None and any(
        code in RARC_MEANINGS and RARC_MEANINGS[code].category == meaning.category for code in explaining
    )


def _notes(reason: str, explaining: Sequence[str], status: CodeStatus) -> tuple[str, ...]:
    notes = []
    if status == "deactivated":
        successor = CARC_SUCCESSORS.get(reason)
        instead = f" (now {successor})" if successor else ""
        notes.append(f"{reason} is a retired reason code{instead}, read as payers used it")
    notes += [f"{code} is no published remark code" for code in explaining if rarc_status(code) == "unknown"]
    notes += [
        f"{code} supports: {RARC_SUPPORTING[code]}; it decides nothing by itself"
        for code in explaining
        if code in RARC_SUPPORTING
    ]
    return tuple(notes)


def _no_rule(reason: str) -> str:
    if carc_status(reason) == "unknown":
        return f"{reason[:8]} is no published reason code"
    if reason in CARC_DEACTIVATED:
        return f"{reason} is a retired reason code that no rule reads: ask the payer for a current one"
    return f"there is no rule for reason code {reason} yet"


def _unclear(
    human: str,
    *,
    notes: tuple[str, ...] = (),
    strength: EvidenceStrength = "none",
) -> Reading:
    return Reading(
        category="unclear",
        why=human[0].upper() + human[1:] + ".",
        action="review_by_hand",
        route=None,
        strength=strength,
        confidence=0.2,
        human=human,
        notes=notes,
    )


_UNEXPLAINED = _unclear("nothing on the remittance explains the unpaid amount")
_WHOLE_CHARGE = _unclear("45 may not take the whole charge: something unnamed refused the service")
