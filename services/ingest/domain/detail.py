"""
One claim loop, read in full: everything that the contract names. Only claims that become events come here.

Direct identifiers leave this module as Person values, to be sealed; references that hold them are left out.
"""

from datetime import date
from decimal import Decimal
from typing import Any

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

_MIA_REMARKS = (5, 20, 21, 22, 23)
_MOA_REMARKS = (3, 4, 5, 6, 7)
_REVENUE_QUALIFIERS = frozenset(("NU", "RB"))
_ABSENT = (None,) * 12  # what stands behind a segment's last element; CLP has most of those read here
_LISTS = ("adjustments", "remarks", "authorization_numbers")
_ZERO = Decimal(0)
_PEOPLE = {"QC": "patient", "IL": "subscriber", "74": "corrected_patient"}
_PAYERS = {"TT": "crossover_payer", "PR": "corrected_payer"}
_CLAIM_DATES = {
    "232": "statement_from",
    "233": "statement_to",
    "050": "claim_received_on",
    "036": "coverage_expires_on",
}


class Detail:
    """The facts of one claim, under the names of shared.contracts.claim.ClaimObserved; people still open."""

    def __init__(self, loop: bytes, delimiters: Delimiters) -> None:
        self.facts: dict[str, Any] = {}
        self.people: dict[str, Person] = {}
        element, component, terminator = delimiters.element, delimiters.component, delimiters.terminator
        # A delimiter beyond ASCII is no character of its own in text: make it one first.
        plain = element.isascii() and component.isascii()
        separator = element.decode() if plain else "\x1d"
        self._component = component.decode() if plain else "\x1f"
        if loop.isascii() and plain and terminator.isascii() and 0 not in loop:
            texts = loop.decode().split(terminator.decode())  # nearly all loops: one decoding for all
        else:
            texts = [_decoded(segment, delimiters, plain=plain) for segment in loop.split(terminator)]
        self._line: dict[str, Any] | None = None
        self._lines: list[dict[str, Any]] = []
        self._adjustments: list[Adjustment] = []
        self._remarks: list[Remark] = []
        self._authorizations: list[Reference] = []
        self._references: list[Reference] = []
        for text in texts:
            parts = text.split(separator)
            if reader := _READERS.get(parts[0]):
                reader(self, parts)
        self._finish()

    def _finish(self) -> None:
        lines = tuple(ServiceLine(**_frozen(line)) for line in self._lines)
        self.facts.update(
            adjustments=tuple(self._adjustments),
            remarks=tuple(self._remarks),
            authorization_numbers=tuple(self._authorizations),
            references=tuple(self._references),
            lines=lines,
        )
        service_from, service_to, source = self._service_dates(lines)
        self.facts.update(service_from=service_from, service_to=service_to, service_date_source=source)

    def _service_dates(self, lines: tuple[ServiceLine, ...]) -> tuple[date | None, date | None, DateSource]:
        """Lines first, then the claim: TR3 gives a date at one of the two, or at none."""
        begins = [line.service_from for line in lines if line.service_from]
        ends = [line.service_to for line in lines if line.service_to]
        if begins or ends:
            ranged = any(line.service_from != line.service_to for line in lines)
            return min(begins + ends), max(begins + ends), "line_range" if ranged else "line"
        begin, end = self.facts.get("statement_from"), self.facts.get("statement_to")
        if begin or end:
            return begin or end, end or begin, "claim"
        return None, None, "none"

    def clp(self, parts: list[str]) -> None:
        texts = _texts(parts)
        self.facts |= {
            "claim_number": texts[1] or "",
            "claim_status": texts[2] or "",
            "patient_responsibility_amount": _number(parts, 5),
            "filing_indicator": texts[6],
            "payer_claim_number": texts[7],
            "facility_type": texts[8],
            "frequency": texts[9],
            "drg": texts[11],
        }

    def cas(self, parts: list[str]) -> None:
        into = self._adjustments if self._line is None else self._line.setdefault("adjustments", [])
        group = parts[1].strip() if len(parts) > 1 else ""
        for at in range(2, len(parts) - 1, 3):
            amount = _number_of(parts[at + 1])
            if amount is not None:
                into.append(
                    Adjustment(
                        group=group,
                        reason=parts[at].strip(),
                        amount=amount,
                        quantity=_number(parts, at + 2),
                    )
                )

    def nm1(self, parts: list[str]) -> None:
        entity = parts[1] if len(parts) > 1 else ""
        if role := _PEOPLE.get(entity):
            self.people.setdefault(role, _person(parts))
        elif entity == "82":
            if _text(parts, 8) == "XX":
                self.facts.setdefault("rendering_npi", _text(parts, 9))
        elif (role := _PAYERS.get(entity)) and (name := _organization(parts)):
            self.facts.setdefault(role, name)

    def mia(self, parts: list[str]) -> None:
        codes = (_text(parts, at) for at in _MIA_REMARKS)
        self._remarks += [Remark(code=code, source="MIA") for code in codes if code]

    def moa(self, parts: list[str]) -> None:
        codes = (_text(parts, at) for at in _MOA_REMARKS)
        self._remarks += [Remark(code=code, source="MOA") for code in codes if code]

    def ref(self, parts: list[str]) -> None:
        value = parts[2].strip() if len(parts) > 2 else ""
        if not value:
            return
        qualifier = parts[1]
        if qualifier in _AUTHORIZATIONS:
            line = self._line
            into = self._authorizations if line is None else line.setdefault("authorization_numbers", [])
            into.append(Reference(qualifier=qualifier, value=value))
        elif self._line is None:
            if qualifier in _REFERENCES:
                self._references.append(Reference(qualifier=qualifier, value=value))
        elif qualifier == "6R":
            self._line["control_number"] = value

    def dtm(self, parts: list[str]) -> None:
        day = _day_of(parts[2]) if len(parts) > 2 else None
        if day is None:
            return
        if self._line is None:
            if name := _CLAIM_DATES.get(parts[1]):
                self.facts[name] = day
        elif parts[1] == "472":
            self._line["service_from"] = self._line["service_to"] = day
        elif parts[1] == "150":
            self._line["service_from"] = day
        elif parts[1] == "151":
            self._line["service_to"] = day

    def svc(self, parts: list[str]) -> None:
        parts += [""] * (4 - len(parts))
        qualifier, code, modifiers = _procedure(parts[1], self._component)
        self._line = {
            "number": len(self._lines) + 1,
            "charge_amount": _number_of(parts[2]) or _ZERO,
            "paid_amount": _number_of(parts[3]) or _ZERO,
            "qualifier": qualifier,
            "code": code,
            "modifiers": modifiers,
            "revenue_code": _text(parts, 4) or (code if qualifier in _REVENUE_QUALIFIERS else None),
            "units_paid": _number(parts, 5),
        }
        if len(parts) > 6:
            original_qualifier, original_code, _ = _procedure(parts[6], self._component)
            self._line["original_qualifier"] = original_qualifier
            self._line["original_code"] = original_code
            self._line["units_original"] = _number(parts, 7)
        self._lines.append(self._line)

    def amt(self, parts: list[str]) -> None:
        if self._line is not None and _text(parts, 1) == "B6":
            self._line["allowed_amount"] = _number(parts, 2)

    def lq(self, parts: list[str]) -> None:
        code = _text(parts, 2)
        if code is None:
            return
        into = self._remarks if self._line is None else self._line.setdefault("remarks", [])
        into.append(Remark(code=code, source="LQ", code_list=parts[1].strip() or "HE"))


_READERS = {
    "CLP": Detail.clp,
    "CAS": Detail.cas,
    "NM1": Detail.nm1,
    "MIA": Detail.mia,
    "MOA": Detail.moa,
    "REF": Detail.ref,
    "DTM": Detail.dtm,
    "SVC": Detail.svc,
    "AMT": Detail.amt,
    "LQ": Detail.lq,
}


def _decoded(segment: bytes, delimiters: Delimiters, *, plain: bool) -> str:
    if not plain:
        segment = to_neutral(delimiters, delimiters.terminator)(segment)
    return decode(segment)


def _procedure(element: str, component: str) -> tuple[str | None, str | None, tuple[str, ...]]:
    """SVC01, SVC06: qualifier, code, up to four modifiers, description."""
    pieces = element.split(component) if component else [element]
    if len(pieces) == 1:
        return None, element.strip() or None, ()
    modifiers = tuple([piece.strip() for piece in pieces[2:6] if piece])
    return pieces[0].strip() or None, pieces[1].strip() or None, modifiers


def _frozen(line: dict[str, Any]) -> dict[str, Any]:
    for name in _LISTS:
        if name in line:
            line[name] = tuple(line[name])
    return line


def _number(parts: list[str], at: int) -> Decimal | None:
    return _number_of(parts[at]) if at < len(parts) and parts[at] else None


class _Numbers(dict[str, Decimal | None]):
    """Numbers read so far: prices and units repeat, and a claim has dozens of them."""

    def __missing__(self, text: str) -> Decimal | None:
        if len(self) >= _NUMBERS_MAX:
            self.clear()
        number = read_number(text.encode())
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


def _texts(parts: list[str]) -> list[str | None]:
    """Give the texts of a segment's elements, None for what is empty or absent."""
    return [part.strip() or None for part in parts] + [*_ABSENT]


def _person(parts: list[str]) -> Person:
    texts = _texts(parts)
    return Person(
        last=texts[3],
        first=texts[4],
        middle=texts[5],
        suffix=texts[7],
        id_qualifier=texts[8],
        member_id=texts[9],
    )


def _organization(parts: list[str]) -> str | None:
    """A payer named in the claim: its name, or its id. A person (NM102 1) is never named here."""
    if len(parts) > 2 and parts[2] == "1":
        return None
    return _text(parts, 3) or _text(parts, 9)
