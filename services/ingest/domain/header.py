"""The header of a transaction set: who pays whom, under which trace, and when."""

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from services.ingest.domain.block import Block
from services.ingest.domain.findings import Finding
from services.ingest.domain.remittance import SetHeader
from services.ingest.x12.delimiters import Delimiters
from services.ingest.x12.elements import (
    is_absurd_date,
    read_date,
    read_number,
    read_text_or_none,
)
from shared.contracts.claim import Party, PayerDateSource, Reference

_PAYER_REFERENCES = frozenset(("2U", "EO", "HI", "NF"))
_PAYEE_REFERENCES = frozenset(
    ("TJ", "PQ", "HPI", "SL", "D3", "0B", "1A", "1B", "1C", "1D", "1E", "1F", "1G", "1H")
)
_NEEDED = {"BPR": "missing_payment", "TRN": "missing_trace"}  # and each of them once
_HEADER_SEGMENTS = frozenset(
    ("ST", "BPR", "NTE", "TRN", "CUR", "REF", "DTM", "N1", "N2", "N3", "N4", "PER", "RDM")
)


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What interchange and group say of a set."""

    delimiters: Delimiters
    is_test: bool = False
    interchange_control_number: str | None = None
    interchange_sender: str | None = None
    group_control_number: str | None = None
    group_created_on: date | None = None
    version: str | None = None


def read_header(block: Block, around: Surroundings, *, set_ordinal: int) -> tuple[SetHeader, list[Finding]]:
    """Read the segments from ST to the first claim."""
    reading = _Header(block, around.delimiters.element)
    reading.read()
    payer_date, source = reading.payer_date(around.group_created_on)
    header = SetHeader(
        set_ordinal=set_ordinal,
        byte_offset=block.start(0),
        **msgspec.structs.asdict(around),
        set_control_number=reading.set_control_number,
        payer=Party(name=reading.payer_name, ids=tuple(reading.payer_ids)),
        payee=Party(name=reading.payee_name, ids=tuple(reading.payee_ids)),
        payee_identifiers=_registered_by(reading.payee_ids),
        trace_number=reading.trace_number,
        payer_trace_id=reading.payer_trace_id,
        payment_amount=reading.payment_amount,
        payment_method=reading.payment_method,
        payment_on=reading.payment_on,
        production_on=reading.production_on,
        payer_date=payer_date,
        payer_date_source=source,
        currency=reading.currency,
    )
    return header, reading.findings


def _registered_by(ids: list[Reference]) -> tuple[str, ...]:
    """Give NPIs, then tax ids, digits only, each once: the keys under which payees are registered."""
    ordered = sorted(
        (reference for reference in ids if reference.qualifier in _REGISTERED),
        key=lambda reference: _REGISTERED[reference.qualifier],
    )
    texts = ("".join(filter(str.isalnum, reference.value)).upper() for reference in ordered)
    return tuple(dict.fromkeys(text for text in texts if text))


_REGISTERED = {"XX": 0, "HPI": 1, "FI": 2, "TJ": 3}


class _Header:
    """The running state: which party the segments belong to."""

    def __init__(self, block: Block, element: bytes) -> None:
        self._block = block
        self._element = element
        self._party: Literal["PR", "PE", ""] = ""
        self._parties: set[str] = set()
        self.findings: list[Finding] = []
        self.set_control_number: str | None = None
        self.payer_name: str | None = None
        self.payer_ids: list[Reference] = []
        self.payee_name: str | None = None
        self.payee_ids: list[Reference] = []
        self.trace_number: str | None = None
        self.payer_trace_id: str | None = None
        self.payment_amount: Decimal | None = None
        self.payment_method: str | None = None
        self.payment_on: date | None = None
        self.production_on: date | None = None
        self.currency = "USD"

    def read(self) -> None:
        seen = set()
        for index, segment in enumerate(self._block.segments):
            parts = segment.split(self._element)
            tag = parts[0].decode("ascii", "replace")
            if tag not in _HEADER_SEGMENTS:
                self._note("unknown_segment" if segment else "empty_segment", index)
            elif tag in _NEEDED and tag in seen:
                self._note("misplaced_segment", index)  # the first one stands
            elif reader := _READERS.get(tag):
                reader(self, parts, index)
            seen.add(tag)
        for needed, code in _NEEDED.items():
            if needed not in seen:
                self._note(code, 0)
        if len(self._parties) < 2:
            self._note("missing_party", 0)

    def payer_date(self, group: date | None) -> tuple[date | None, PayerDateSource]:
        """Give the first date of DTM*405, BPR16, GS04; none leaves the receipt's."""
        if self.production_on:
            return self.production_on, "dtm405"
        if self.payment_on:
            return self.payment_on, "bpr16"
        return (group, "gs04") if group else (None, "receipt")

    def st(self, parts: list[bytes], _: int) -> None:
        self.set_control_number = read_text_or_none(parts, 2)

    def bpr(self, parts: list[bytes], index: int) -> None:
        amount = read_number(parts[2]) if len(parts) > 2 else None
        if amount is None:
            self._note("amount_unreadable", index, 2)
        elif len(parts) > 3 and parts[3] == b"D":
            amount = -amount
        self.payment_amount = amount
        self.payment_method = read_text_or_none(parts, 4)
        self.payment_on = self._date(parts, 16, index)
        if (payer_id := read_text_or_none(parts, 10)) is not None:
            self.payer_ids.append(Reference(qualifier="BPR10", value=payer_id))

    def trn(self, parts: list[bytes], index: int) -> None:
        self.trace_number = read_text_or_none(parts, 2)
        if self.trace_number is None:
            self._note("missing_trace", index, 2)
        self.payer_trace_id = read_text_or_none(parts, 3)
        if self.payer_trace_id is not None:
            self.payer_ids.append(Reference(qualifier="TRN03", value=self.payer_trace_id))

    def cur(self, parts: list[bytes], index: int) -> None:
        self.currency = read_text_or_none(parts, 2) or "USD"
        if self.currency != "USD":
            self._note("foreign_currency", index, 2)

    def dtm(self, parts: list[bytes], index: int) -> None:
        day = self._date(parts, 2, index, needed=True)
        if len(parts) > 1 and parts[1] == b"405":
            self.production_on = day

    def n1(self, parts: list[bytes], index: int) -> None:
        entity = parts[1] if len(parts) > 1 else b""
        self._party = "PR" if entity == b"PR" else "PE" if entity == b"PE" else ""
        name = read_text_or_none(parts, 2)
        qualifier, value = read_text_or_none(parts, 3), read_text_or_none(parts, 4)
        ids = [Reference(qualifier=qualifier, value=value)] if qualifier and value else []
        if not self._party or self._party in self._parties:
            self._note("misplaced_segment", index, 1)
        elif name or ids:
            self._parties.add(self._party)
        if self._party == "PR":
            self.payer_name = name
            self.payer_ids[:0] = ids
        elif self._party == "PE":
            self.payee_name = name
            self.payee_ids[:0] = ids

    def ref(self, parts: list[bytes], _: int) -> None:
        qualifier, value = read_text_or_none(parts, 1), read_text_or_none(parts, 2)
        if qualifier is None or value is None:
            return
        if self._party == "PR" and qualifier in _PAYER_REFERENCES:
            self.payer_ids.append(Reference(qualifier=qualifier, value=value))
        elif self._party == "PE" and qualifier in _PAYEE_REFERENCES:
            self.payee_ids.append(Reference(qualifier=qualifier, value=value))

    def _date(self, parts: list[bytes], at: int, index: int, *, needed: bool = False) -> date | None:
        text = parts[at] if at < len(parts) else b""
        day = read_date(text)
        if day is None and (needed or text.strip()):
            self._note("date_absurd" if is_absurd_date(text) else "date_unreadable", index, at)
        return day

    def _note(self, code: str, index: int, element: int | None = None) -> None:
        self.findings.append(self._block.finding(code, index, element))


_READERS = {
    "ST": _Header.st,
    "BPR": _Header.bpr,
    "TRN": _Header.trn,
    "CUR": _Header.cur,
    "DTM": _Header.dtm,
    "N1": _Header.n1,
    "REF": _Header.ref,
}
