"""
One claim loop, read in full: everything that the contract names. Only claims that become events come here.

Direct identifiers leave this module as Person values, to be sealed; references that hold them are left out.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Literal

from services.ingest.x12.delimiters import Delimiters, to_neutral
from services.ingest.x12.elements import decode, read_date, read_number
from shared.contracts.claim import Adjustment, DateSource, Reference, Remark, ServiceLine
from shared.contracts.person import Person

_AUTHORIZATIONS = frozenset(("G1", "BB"))
_REFERENCES = frozenset(("1L", "6P", "9A", "9C", "CE", "F8"))
"""
Group, repricer's and original claim numbers, class of contract. Not EA (medical record number), SY (social
security number), 1W (member id), IG (policy number): they would identify the patient.
"""

_PART_REMARKS: dict[Literal["MIA", "MOA"], tuple[int, ...]] = {
    "MIA": (5, 20, 21, 22, 23),
    "MOA": (3, 4, 5, 6, 7),
}
_REVENUE_QUALIFIERS = frozenset(("NU", "RB"))
_LISTS = ("adjustments", "remarks", "authorization_numbers", "references")
_ABSENT = ("",) * 12  # what stands behind a segment's last element; CLP has most of those read here
_ZERO = Decimal(0)
_PEOPLE = {"QC": "patient", "IL": "subscriber", "74": "corrected_patient"}
_PAYERS = {"TT": "crossover_payer", "PR": "corrected_payer"}
_CLAIM_DATES = {
    "232": ("statement_from",),
    "233": ("statement_to",),
    "050": ("claim_received_on",),
    "036": ("coverage_expires_on",),
}
_LINE_DATES = {
    "472": ("service_from", "service_to"),
    "150": ("service_from",),
    "151": ("service_to",),
}


class Detail:
    """The facts of one claim, under the names of shared.contracts.claim.ClaimObserved; people still open."""

    def __init__(self, loop: bytes, delimiters: Delimiters) -> None:
        self.facts: dict[str, Any] = {}
        self.people: dict[str, Person] = {}
        self._lines: list[dict[str, Any]] = []
        element, component, terminator = delimiters.element, delimiters.component, delimiters.terminator
        # A delimiter beyond ASCII is no character of its own in text: make it one first.
        plain = element.isascii() and component.isascii()
        segments = _segments(element.decode(), component.decode()) if plain else _segments("\x1d", "\x1f")
        if loop.isascii() and plain and terminator.isascii() and 0 not in loop:
            texts = loop.decode().split(terminator.decode())  # nearly all loops: one decoding for all
        else:
            texts = [_decoded(segment, delimiters, plain=plain) for segment in loop.split(terminator)]
        self._read(map(segments.__getitem__, texts))
        self._finish()

    def _read(self, segments: Iterable[tuple["_Kind", Any]]) -> None:  # noqa: C901, PLR0912 - one dispatch
        """Take in what the segments say; the most frequent first, because an event costs mostly this."""
        facts = self.facts
        line: dict[str, Any] | None = None
        for kind, said in segments:
            level = facts if line is None else line
            if kind is _DAY:
                of_claim, of_line, day = said
                for name in of_claim if line is None else of_line:
                    level[name] = day
            elif kind is _ADJUSTMENTS:
                level.setdefault("adjustments", []).extend(said)
            elif kind is _SERVICE:
                line = {**said, "number": len(self._lines) + 1}
                self._lines.append(line)
            elif kind is _CONTROL_NUMBER:
                if line is not None:
                    line["control_number"] = said
            elif kind is _ALLOWED:
                if line is not None:
                    line["allowed_amount"] = said
            elif kind is _REMARK:
                level.setdefault("remarks", []).append(said)
            elif kind is _REFERENCE:
                if line is None:
                    facts.setdefault("references", []).append(said)
            elif kind is _AUTHORIZATION:
                level.setdefault("authorization_numbers", []).append(said)
            elif kind is _NAME:
                self._name(said)
            elif kind is _HEAD:
                facts |= said
            elif kind is _PART:
                facts.setdefault("remarks", []).extend(said)

    def _finish(self) -> None:
        facts = self.facts
        lines = tuple([ServiceLine(**_frozen(line)) for line in self._lines])
        facts["lines"] = lines
        _frozen(facts)
        facts["service_from"], facts["service_to"], facts["service_date_source"] = self._service_dates(lines)

    def _service_dates(self, lines: tuple[ServiceLine, ...]) -> tuple[date | None, date | None, DateSource]:
        """Lines first, then the claim: TR3 gives a date at one of the two, or at none."""
        days = [line.service_from for line in lines if line.service_from]
        days += [line.service_to for line in lines if line.service_to]
        if days:
            ranged = any(line.service_from != line.service_to for line in lines)
            return min(days), max(days), "line_range" if ranged else "line"
        begin, end = self.facts.get("statement_from"), self.facts.get("statement_to")
        if begin or end:
            return begin or end, end or begin, "claim"
        return None, None, "none"

    def _name(self, parts: list[str]) -> None:
        entity = parts[1] if len(parts) > 1 else ""
        if role := _PEOPLE.get(entity):
            if role not in self.people:
                self.people[role] = _person(parts)
        elif entity == "82":
            if _text(parts, 8) == "XX":
                self.facts.setdefault("rendering_npi", _text(parts, 9))
        elif (role := _PAYERS.get(entity)) and (name := _organization(parts)):
            self.facts.setdefault(role, name)


class _Kind(Enum):
    """What a segment may say."""

    NOTHING = auto()
    DAY = auto()
    ADJUSTMENTS = auto()
    SERVICE = auto()
    CONTROL_NUMBER = auto()
    ALLOWED = auto()
    REMARK = auto()
    REFERENCE = auto()
    AUTHORIZATION = auto()
    NAME = auto()
    HEAD = auto()
    PART = auto()


# Under names of their own: to look one up in its class for every segment would cost as much as the segment.
_DAY, _ADJUSTMENTS, _SERVICE, _CONTROL_NUMBER = (
    _Kind.DAY,
    _Kind.ADJUSTMENTS,
    _Kind.SERVICE,
    _Kind.CONTROL_NUMBER,
)
_ALLOWED, _REMARK, _REFERENCE, _AUTHORIZATION = (
    _Kind.ALLOWED,
    _Kind.REMARK,
    _Kind.REFERENCE,
    _Kind.AUTHORIZATION,
)
_NAME, _HEAD, _PART = _Kind.NAME, _Kind.HEAD, _Kind.PART
_SILENT: tuple[_Kind, Any] = (_Kind.NOTHING, None)


class _Segments(dict[str, tuple[_Kind, Any]]):
    """
    What segments say that came before: dates, prices, line numbers and remarks repeat all over a file.

    What names a person or a claim is read each time, and not kept.
    """

    def __init__(self, element: str, component: str) -> None:
        super().__init__()
        self._element = element
        self._component = component

    def __missing__(self, text: str) -> tuple[_Kind, Any]:
        parts = text.split(self._element)
        tag = parts[0]
        if tag == "NM1":
            return _NAME, parts
        reader = _READERS.get(tag)
        if reader is None:
            return _SILENT
        said = reader(parts, self._component)
        if len(text) <= _REMEMBERED_MAX and said[0] in _REPEATING:
            if len(self) >= _NUMBERS_MAX:
                self.clear()
            self[text] = said
        return said


@lru_cache(maxsize=16)
def _segments(element: str, component: str) -> _Segments:
    return _Segments(element, component)


def _head(parts: list[str], _: str) -> tuple[_Kind, Any]:
    parts += _ABSENT
    return _HEAD, {
        "claim_number": parts[1].strip(),
        "claim_status": parts[2].strip(),
        "patient_responsibility_amount": _number_of(parts[5]) if parts[5] else None,
        "filing_indicator": parts[6].strip() or None,
        "payer_claim_number": parts[7].strip() or None,
        "facility_type": parts[8].strip() or None,
        "frequency": parts[9].strip() or None,
        "drg": parts[11].strip() or None,
    }


def _adjustments(parts: list[str], _: str) -> tuple[_Kind, Any]:
    group = parts[1].strip() if len(parts) > 1 else ""
    return _ADJUSTMENTS, [
        Adjustment(
            group=group,
            reason=parts[at].strip(),
            amount=amount,
            quantity=_number(parts, at + 2),
        )
        for at in range(2, len(parts) - 1, 3)
        if (amount := _number_of(parts[at + 1])) is not None
    ]


def _part(parts: list[str], _: str) -> tuple[_Kind, Any]:
    source: Literal["MIA", "MOA"] = "MIA" if parts[0] == "MIA" else "MOA"
    codes = [_text(parts, at) for at in _PART_REMARKS[source]]
    return _PART, [Remark(code=code, source=source) for code in codes if code]


def _reference(parts: list[str], _: str) -> tuple[_Kind, Any]:
    value = parts[2].strip() if len(parts) > 2 else ""
    qualifier = parts[1] if value else ""
    if qualifier == "6R":
        return _CONTROL_NUMBER, value
    if qualifier in _AUTHORIZATIONS:
        return _AUTHORIZATION, Reference(qualifier=qualifier, value=value)
    if qualifier in _REFERENCES:
        return _REFERENCE, Reference(qualifier=qualifier, value=value)
    return _SILENT


def _day(parts: list[str], _: str) -> tuple[_Kind, Any]:
    day = _day_of(parts[2]) if len(parts) > 2 else None
    if day is None:
        return _SILENT
    return _DAY, (_CLAIM_DATES.get(parts[1], ()), _LINE_DATES.get(parts[1], ()), day)


def _service(parts: list[str], component: str) -> tuple[_Kind, Any]:
    parts += [""] * (4 - len(parts))
    qualifier, code, modifiers = _procedure(parts[1], component)
    served = {
        "charge_amount": _number_of(parts[2]) or _ZERO,
        "paid_amount": _number_of(parts[3]) or _ZERO,
        "qualifier": qualifier,
        "code": code,
        "modifiers": modifiers,
        "revenue_code": _text(parts, 4) or (code if qualifier in _REVENUE_QUALIFIERS else None),
        "units_paid": _number(parts, 5),
    }
    if len(parts) > 6:
        served["original_qualifier"], served["original_code"], _ = _procedure(parts[6], component)
        served["units_original"] = _number(parts, 7)
    return _SERVICE, served


def _allowed(parts: list[str], _: str) -> tuple[_Kind, Any]:
    return (_ALLOWED, _number(parts, 2)) if _text(parts, 1) == "B6" else _SILENT


def _remark(parts: list[str], _: str) -> tuple[_Kind, Any]:
    code = _text(parts, 2)
    if code is None:
        return _SILENT
    return _REMARK, Remark(code=code, source="LQ", code_list=parts[1].strip() or "HE")


_READERS = {
    "CLP": _head,
    "CAS": _adjustments,
    "MIA": _part,
    "MOA": _part,
    "REF": _reference,
    "DTM": _day,
    "SVC": _service,
    "AMT": _allowed,
    "LQ": _remark,
}
_REPEATING = (
    _DAY,
    _ADJUSTMENTS,
    _SERVICE,
    _CONTROL_NUMBER,
    _ALLOWED,
    _REMARK,
    _REFERENCE,
)  # a tuple: enums are hashed by a call


def _decoded(segment: bytes, delimiters: Delimiters, *, plain: bool) -> str:
    if not plain:
        segment = to_neutral(delimiters, delimiters.terminator)(segment)
    return decode(segment)


def _procedure(element: str, component: str) -> tuple[str | None, str | None, tuple[str, ...]]:
    pieces = element.split(component) if component else [element]
    if len(pieces) == 1:
        return None, element.strip() or None, ()
    modifiers = tuple([piece.strip() for piece in pieces[2:6] if piece])
    return pieces[0].strip() or None, pieces[1].strip() or None, modifiers


def _frozen(facts: dict[str, Any]) -> dict[str, Any]:
    for name in _LISTS:
        if name in facts:
            facts[name] = tuple(facts[name])
    return facts


def _number(parts: list[str], at: int) -> Decimal | None:
    return _number_of(parts[at]) if at < len(parts) and parts[at] else None


class _Numbers(dict[str, Decimal | None]):
    """Numbers read so far: prices and units repeat, and a claim has dozens of them."""

    def __missing__(self, text: str) -> Decimal | None:
        if len(self) >= _NUMBERS_MAX:
            self.clear()
        # The pattern of read_number for nearly all of them, without a detour over bytes.
        simple = len(text) < 16 and text.isascii() and text.replace(".", "", 1).isdigit()
        number = Decimal(text) if simple else read_number(text.encode())
        if len(text) <= _REMEMBERED_MAX:
            self[text] = number
        return number


class _Days(dict[str, date | None]):
    """Dates read so far: a file has a few hundred."""

    def __missing__(self, text: str) -> date | None:
        if len(self) >= _NUMBERS_MAX:
            self.clear()
        day = read_date(text.encode())
        if len(text) <= _REMEMBERED_MAX:
            self[text] = day
        return day


_NUMBERS_MAX = 1 << 13
_REMEMBERED_MAX = 32  # characters: what is longer is no number, and would fill the memory
_number_of = _Numbers().__getitem__
_day_of = _Days().__getitem__


def _text(parts: list[str], at: int) -> str | None:
    return (parts[at].strip() or None) if at < len(parts) else None


def _person(parts: list[str]) -> Person:
    parts += _ABSENT
    return Person(
        last=parts[3].strip() or None,
        first=parts[4].strip() or None,
        middle=parts[5].strip() or None,
        suffix=parts[7].strip() or None,
        id_qualifier=parts[8].strip() or None,
        member_id=parts[9].strip() or None,
    )


def _organization(parts: list[str]) -> str | None:
    """A payer named in the claim: its name, or its id. A person (NM102 1) is never named here."""
    if len(parts) > 2 and parts[2] == "1":
        return None
    return _text(parts, 3) or _text(parts, 9)
