"""
From the denied adjustments of a claim to what they mean.

The rules of combination live here, the codes' meanings in meanings.py. Codes that need a remark are never
read alone, Alerts never explain, the word "authorization" is never a key, and what is unknown is `unclear`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from services.triage.domain.codes import carc_status, group_allowed, is_alert, rarc_status, requires_remark
from services.triage.domain.meanings import CARC_MEANINGS, RARC_MEANINGS, RARC_SUPPORTING, Meaning
from shared.contracts.claim import ServiceLine
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Action, Category, DeniedItem, EvidenceStrength, Route

ResponsibleParty = Literal["provider", "patient", "payer", "unknown"]

NOT_ABOUT_AUTHORIZATION: frozenset[Category] = frozenset(("not_authorization", "unclear"))

_PARTIES: dict[str, ResponsibleParty] = {"CO": "provider", "PI": "provider", "PR": "patient"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reason code and the remarks beside it say together."""

    category: Category
    why: str
    action: Action
    route: Route | None
    strength: EvidenceStrength
    confidence: float
    human: str | None = None
    notes: tuple[str, ...] = ()
    depends: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """
    What the denied adjustments of one claim mean together.

    `main` is the reading that the decision follows. `authorization_amount` and `dependent_amount` are the
    denied charges about authorization, and those refused only because another line was.
    """

    items: tuple[DeniedItem, ...]
    main: Reading
    auth_related: bool
    authorization_amount: Decimal
    dependent_amount: Decimal
    denied_amount: Decimal
    lines: frozenset[int | None]
    party: ResponsibleParty
    human: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def amount_at_stake(self) -> Decimal:
        if not self.auth_related:
            return self.denied_amount
        return self.authorization_amount + self.dependent_amount

    @property
    def amount_basis(self) -> str:
        if not self.auth_related:
            return "all denied charges of the claim"
        if self.dependent_amount:
            return (
                f"denied charges about authorization {self.authorization_amount:,.2f}, "
                f"and of lines that fell with them {self.dependent_amount:,.2f}"
            )
        return "denied charges about authorization"


def classify(event: ClaimDenied) -> Classification:
    """Read every denied adjustment of a claim, and name the reading that the claim's decision follows."""
    lines = {line.number: line for line in event.lines}
    claim_remarks = tuple(remark.code for remark in event.remarks if remark.code_list == "HE")
    readings: list[Reading] = []
    remarks_read: list[tuple[str, ...]] = []
    for denied in event.denied:
        line = None if denied.line_number is None else lines.get(denied.line_number)
        remarks = _remarks(line, claim_remarks)
        charge = event.charge_amount if line is None else line.charge_amount
        readings.append(_reading(denied.reason, remarks, whole_charge=denied.amount >= charge > 0))
        remarks_read.append(remarks)
    authorization_lines = frozenset(
        denied.line_number
        for denied, reading in zip(event.denied, readings, strict=True)
        if reading.category not in NOT_ABOUT_AUTHORIZATION
    )
    items = tuple(
        DeniedItem(
            group=denied.group,
            reason=denied.reason,
            amount=denied.amount,
            category=reading.category,
            strength=reading.strength,
            why=reading.why,
            line_number=denied.line_number,
            quantity=denied.quantity,
            remarks=remarks,
            route=reading.route,
            dependent=_falls_with(reading, denied.line_number, authorization_lines),
        )
        for denied, reading, remarks in zip(event.denied, readings, remarks_read, strict=True)
    )
    return _together(items, readings, authorization_lines)


def _together(
    items: tuple[DeniedItem, ...], readings: Sequence[Reading], authorization_lines: frozenset[int | None]
) -> Classification:
    authorization = [
        index for index, item in enumerate(items) if item.category not in NOT_ABOUT_AUTHORIZATION
    ]
    relevant = authorization or list(range(len(items)))
    main = _main(items, readings, relevant)
    weighed = [readings[index] for index in relevant]
    human = [reading.human for reading in weighed if reading.human]
    if len({items[index].category for index in authorization}) > 1:
        human.append("its lines fail for different authorization reasons: see each item")
    notes = [note for reading in readings for note in reading.notes]
    notes += [
        f"{item.group}-{item.reason}: the code list does not allow this group with this code"
        for item in items
        if item.reason and not group_allowed(item.group, item.reason)
    ]
    parties = {_PARTIES.get(items[index].group, "unknown") for index in relevant}
    return Classification(
        items=items,
        main=main,
        auth_related=bool(authorization),
        authorization_amount=sum((items[index].amount for index in authorization), Decimal(0)),
        dependent_amount=sum((item.amount for item in items if item.dependent), Decimal(0)),
        denied_amount=sum((item.amount for item in items), Decimal(0)),
        lines=authorization_lines,
        party=parties.pop() if len(parties) == 1 else "unknown",
        human=tuple(dict.fromkeys(human)),
        notes=tuple(dict.fromkeys(notes)),
    )


def _main(items: tuple[DeniedItem, ...], readings: Sequence[Reading], relevant: Sequence[int]) -> Reading:
    """Give the reading of the category and route with the most money; the first one of equals."""
    if len(relevant) == 1:
        return readings[relevant[0]]
    if not relevant:
        return _UNEXPLAINED
    totals: dict[tuple[Category, Route | None], Decimal] = {}
    for index in relevant:
        key = (items[index].category, items[index].route)
        totals[key] = totals.get(key, Decimal(0)) + items[index].amount
    heaviest = max(totals, key=lambda key: totals[key])
    return next(readings[i] for i in relevant if (items[i].category, items[i].route) == heaviest)


def _falls_with(reading: Reading, line: int | None, authorization_lines: frozenset[int | None]) -> bool:
    return reading.depends and bool(authorization_lines - {line})


def _remarks(line: ServiceLine | None, claim_remarks: tuple[str, ...]) -> tuple[str, ...]:
    """Give the remarks that may explain an adjustment: the line's, then the claim's."""
    if line is None or not line.remarks:
        return claim_remarks
    own = tuple(remark.code for remark in line.remarks if remark.code_list == "HE")
    return tuple(dict.fromkeys(own + claim_remarks))


def _reading(reason: str, remarks: tuple[str, ...], *, whole_charge: bool) -> Reading:
    # The usage note of 45: it cannot equal the whole charge. Then something else refused the service.
    if reason == "45" and whole_charge:
        return _WHOLE_CHARGE
    return read_codes(reason, remarks)


@lru_cache(maxsize=16_384)
def read_codes(reason: str, remarks: tuple[str, ...]) -> Reading:
    """Say what a reason code (CAS02) and the remark codes beside it, Alerts included, mean together."""
    if not reason:
        return _UNEXPLAINED
    explaining = [code for code in remarks if not is_alert(code)]
    notes = _notes(reason, explaining)
    meaning = CARC_MEANINGS.get(reason)
    refined = _refined(meaning, explaining)
    if refined is not None:
        return _by_remark(reason, refined, explaining, meaning=meaning, notes=notes)
    if meaning is None:
        return _unclear(_no_rule(reason), notes=notes)
    if requires_remark(reason) and not any(rarc_status(code) != "unknown" for code in explaining):
        human = f"{reason} says nothing without a remark, and there is none that explains"
        return _unclear(human, notes=notes, strength="needs_remark")
    confirmed = _confirmed(meaning, explaining)
    return Reading(
        category=meaning.category,
        why=meaning.why,
        action=meaning.action,
        route=meaning.route,
        strength="supporting" if meaning.strength == "needs_remark" else meaning.strength,
        confidence=0.95 if confirmed else meaning.confidence,
        human=None if confirmed else meaning.human,
        notes=notes,
        depends=meaning.depends,
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
        action=remark.action,
        route=None,
        strength="defining",
        confidence=remark.confidence if human is None else 0.6,
        human=human,
        notes=(f"remark {code} decides beside {reason}", *notes),
    )


def _confirmed(meaning: Meaning, explaining: Sequence[str]) -> bool:
    """Tell whether a remark of the same category removes the doubt of a code such as 302."""
    return meaning.human is not None and any(
        code in RARC_MEANINGS and RARC_MEANINGS[code].category == meaning.category for code in explaining
    )


def _notes(reason: str, explaining: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if carc_status(reason) == "deactivated":
        notes.append(f"{reason} is a retired reason code, read as payers used it")
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
