"""
One claim loop, read in full: everything that the contract names. Only claims that become events come here.

Direct identifiers leave this module as Person values, to be sealed; references that hold them are left out.
"""

from datetime import date
from decimal import Decimal
from typing import Any

from services.ingest.x12.delimiters import Delimiters
from services.ingest.x12.elements import read_date, read_number, read_text, read_text_or_none
from shared.contracts.claim import Adjustment, DateSource, Reference, Remark, ServiceLine
from shared.contracts.person import Person

_AUTHORIZATIONS = frozenset((b"G1", b"BB"))
_REFERENCES = frozenset((b"1L", b"6P", b"9A", b"9C", b"CE", b"EA", b"F8"))
"""Not SY (social security number), 1W (member id), IG (policy number): they would identify the patient."""

_MIA_REMARKS = (5, 20, 21, 22, 23)
_MOA_REMARKS = (3, 4, 5, 6, 7)
_REVENUE_QUALIFIERS = frozenset(("NU", "RB"))
_PEOPLE = {b"QC": "patient", b"IL": "subscriber", b"74": "corrected_patient"}
_PAYERS = {b"TT": "crossover_payer", b"PR": "corrected_payer"}
_CLAIM_DATES = {
    b"232": "statement_from",
    b"233": "statement_to",
    b"050": "claim_received_on",
    b"036": "coverage_expires_on",
}


class Detail:
    """The facts of one claim, under the names of shared.contracts.claim.ClaimObserved; people still open."""

    def __init__(self, segments: tuple[bytes, ...], delimiters: Delimiters) -> None:
        self.facts: dict[str, Any] = {}
        self.people: dict[str, Person] = {}
        self._element = delimiters.element
        self._component = delimiters.component
        self._line: dict[str, Any] | None = None
        self._lines: list[dict[str, Any]] = []
        self._adjustments: list[Adjustment] = []
        self._remarks: list[Remark] = []
        self._authorizations: list[Reference] = []
        self._references: list[Reference] = []
        for segment in segments:
            parts = segment.split(self._element)
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

    def clp(self, parts: list[bytes]) -> None:
        self.facts.update(
            claim_number=read_text(parts[1]),
            claim_status=read_text(parts[2]),
            patient_responsibility_amount=_number(parts, 5),
            filing_indicator=read_text_or_none(parts, 6),
            payer_claim_number=read_text_or_none(parts, 7),
            facility_type=read_text_or_none(parts, 8),
            frequency=read_text_or_none(parts, 9),
            drg=read_text_or_none(parts, 11),
        )

    def cas(self, parts: list[bytes]) -> None:
        into = self._adjustments if self._line is None else self._line["adjustments"]
        group = read_text(parts[1]) if len(parts) > 1 else ""
        for at in range(2, len(parts) - 1, 3):
            amount = read_number(parts[at + 1])
            if amount is not None:
                into.append(
                    Adjustment(
                        group=group,
                        reason=read_text(parts[at]),
                        amount=amount,
                        quantity=_number(parts, at + 2),
                    )
                )

    def nm1(self, parts: list[bytes]) -> None:
        entity = parts[1] if len(parts) > 1 else b""
        if role := _PEOPLE.get(entity):
            self.people.setdefault(role, _person(parts))
        elif entity == b"82":
            if read_text_or_none(parts, 8) == "XX":
                self.facts.setdefault("rendering_npi", read_text_or_none(parts, 9))
        elif (role := _PAYERS.get(entity)) and (name := _organization(parts)):
            self.facts.setdefault(role, name)

    def mia(self, parts: list[bytes]) -> None:
        codes = (read_text_or_none(parts, at) for at in _MIA_REMARKS)
        self._remarks += [Remark(code=code, source="MIA") for code in codes if code]

    def moa(self, parts: list[bytes]) -> None:
        codes = (read_text_or_none(parts, at) for at in _MOA_REMARKS)
        self._remarks += [Remark(code=code, source="MOA") for code in codes if code]

    def ref(self, parts: list[bytes]) -> None:
        value = read_text_or_none(parts, 2)
        if value is None:
            return
        qualifier = parts[1]
        if qualifier in _AUTHORIZATIONS:
            into = self._authorizations if self._line is None else self._line["authorization_numbers"]
            into.append(Reference(qualifier=read_text(qualifier), value=value))
        elif self._line is None:
            if qualifier in _REFERENCES:
                self._references.append(Reference(qualifier=read_text(qualifier), value=value))
        elif qualifier == b"6R":
            self._line["control_number"] = value

    def dtm(self, parts: list[bytes]) -> None:
        day = read_date(parts[2]) if len(parts) > 2 else None
        if day is None:
            return
        if self._line is None:
            if name := _CLAIM_DATES.get(parts[1]):
                self.facts[name] = day
        elif parts[1] == b"472":
            self._line["service_from"] = self._line["service_to"] = day
        elif parts[1] == b"150":
            self._line["service_from"] = day
        elif parts[1] == b"151":
            self._line["service_to"] = day

    def svc(self, parts: list[bytes]) -> None:
        qualifier, code, modifiers = self._procedure(parts, 1)
        original_qualifier, original_code, _ = self._procedure(parts, 6)
        self._line = {
            "number": len(self._lines) + 1,
            "charge_amount": _number(parts, 2) or Decimal(0),
            "paid_amount": _number(parts, 3) or Decimal(0),
            "qualifier": qualifier,
            "code": code,
            "modifiers": modifiers,
            "original_qualifier": original_qualifier,
            "original_code": original_code,
            "revenue_code": read_text_or_none(parts, 4)
            or (code if qualifier in _REVENUE_QUALIFIERS else None),
            "units_paid": _number(parts, 5),
            "units_original": _number(parts, 7),
            "adjustments": [],
            "remarks": [],
            "authorization_numbers": [],
        }
        self._lines.append(self._line)

    def _procedure(self, parts: list[bytes], at: int) -> tuple[str | None, str | None, tuple[str, ...]]:
        """SVC01, SVC06: qualifier, code, up to four modifiers, description."""
        if at >= len(parts) or not parts[at]:
            return None, None, ()
        pieces = parts[at].split(self._component) if self._component else [parts[at]]
        if len(pieces) == 1:
            return None, read_text(pieces[0]) or None, ()
        modifiers = tuple(read_text(piece) for piece in pieces[2:6] if piece)
        return read_text(pieces[0]) or None, read_text(pieces[1]) or None, modifiers

    def amt(self, parts: list[bytes]) -> None:
        if self._line is not None and parts[1] == b"B6":
            self._line["allowed_amount"] = _number(parts, 2)

    def lq(self, parts: list[bytes]) -> None:
        code = read_text_or_none(parts, 2)
        if code is None:
            return
        into = self._remarks if self._line is None else self._line["remarks"]
        into.append(Remark(code=code, source="LQ", code_list=read_text(parts[1]) or "HE"))


_READERS = {
    b"CLP": Detail.clp,
    b"CAS": Detail.cas,
    b"NM1": Detail.nm1,
    b"MIA": Detail.mia,
    b"MOA": Detail.moa,
    b"REF": Detail.ref,
    b"DTM": Detail.dtm,
    b"SVC": Detail.svc,
    b"AMT": Detail.amt,
    b"LQ": Detail.lq,
}


def _frozen(line: dict[str, Any]) -> dict[str, Any]:
    for name in ("adjustments", "remarks", "authorization_numbers"):
        line[name] = tuple(line[name])
    return line


def _number(parts: list[bytes], at: int) -> Decimal | None:
    return read_number(parts[at]) if at < len(parts) else None


def _person(parts: list[bytes]) -> Person:
    return Person(
        last=read_text_or_none(parts, 3),
        first=read_text_or_none(parts, 4),
        middle=read_text_or_none(parts, 5),
        suffix=read_text_or_none(parts, 7),
        id_qualifier=read_text_or_none(parts, 8),
        member_id=read_text_or_none(parts, 9),
    )


def _organization(parts: list[bytes]) -> str | None:
    """A payer named in the claim: its name, or its id. A person (NM102 1) is never named here."""
    if len(parts) > 2 and parts[2] == b"1":
        return None
    return read_text_or_none(parts, 3) or read_text_or_none(parts, 9)
