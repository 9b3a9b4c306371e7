"""A functional group between its GS and its GE."""

import re
from typing import Literal

from services.ingest.acknowledgments.budget import Budget
from services.ingest.acknowledgments.conformance import SetCheck, has_guide
from services.ingest.acknowledgments.open_set import OpenSet, counts, same_number, text_of
from services.ingest.acknowledgments.verdicts import GroupVerdict, SetVerdict
from services.ingest.domain.envelope import REMITTANCE
from services.ingest.x12.delimiters import Delimiters

ACKNOWLEDGMENTS = frozenset(("FA", "AG"))
"""GS01 of 997 and 999, and of 824: an acknowledgment is never acknowledged."""

_REMITTANCES = "HP"
_NUMBER = re.compile(r"[0-9]{1,9}")
_FUNCTIONAL_ID = re.compile(r"[A-Z0-9]{2}")
_VERSION = re.compile(r"[0-9A-Za-z]{1,12}")
_READ_AS = "005010X221A1"  # whatever GS08 says, and what AK103 says where that cannot be repeated
_PARTY = re.compile(r"[!-~](?:[ -~]{0,13}[!-~])?")


class OpenGroup:
    """Sets of one group. `sets` and `sets_checked` count remittances (835)."""

    def __init__(self, parts: list[bytes], delimiters: Delimiters, budget: Budget, *, repeated: bool) -> None:
        self.functional_id = text_of(parts, 1)
        self.sets = self.sets_checked = 0
        self._header = parts
        self._delimiters = delimiters
        self._budget = budget
        self._received = self._accepted = 0
        self._numbers: set[str] = set()
        self._listed: list[SetVerdict] = []
        self._set: OpenSet | None = None
        self._worst = "A"
        self._repeated = repeated

    @property
    def _version(self) -> str:
        return text_of(self._header, 8)

    def read(self, tag: bytes, segment: bytes, number: int) -> None:
        """Take the next segment between GS and GE."""
        parts = segment.split(self._delimiters.element) if tag in {b"ST", b"SE"} else []
        if tag == b"ST":
            self._open_set(parts)
        if self._set is not None:
            self._set.read(segment, number)
        if tag == b"SE":
            self._close_set(parts)

    def close(self, trailer: list[bytes] | None) -> GroupVerdict:
        """`trailer`: the GE; None when there is none."""
        self._close_set(None)
        codes = self._codes(trailer)
        stated = text_of(trailer or [], 1)
        return GroupVerdict(
            functional_id=_shown(self.functional_id, _FUNCTIONAL_ID, _REMITTANCES),
            sender=_shown(text_of(self._header, 2), _PARTY, "UNKNOWN"),
            receiver=_shown(text_of(self._header, 3), _PARTY, "UNKNOWN"),
            control_number=_shown(text_of(self._header, 6), _NUMBER, "0"),
            version=_shown(self._version, _VERSION, _READ_AS),
            code=self._code(codes),
            included=int(stated) if stated.isdecimal() and len(stated) <= 6 else self._received,
            received=self._received,
            accepted=self._accepted,
            syntax_codes=tuple(codes),
            sets=tuple(self._listed),
        )

    def _open_set(self, parts: list[bytes]) -> None:
        self._close_set(None)
        number = text_of(parts, 2)
        is_remittance = text_of(parts, 1) == REMITTANCE
        self.sets += is_remittance
        check = None
        if is_remittance and has_guide(self._version) and self._budget.allows(0):
            check = SetCheck(self._version, self._delimiters)
        self._set = OpenSet(parts, check, self._budget, repeated=number in self._numbers)
        self._numbers.add(number)

    def _close_set(self, trailer: list[bytes] | None) -> None:
        opened, self._set = self._set, None
        if opened is None:
            return
        verdict = opened.close(trailer)
        self._received += 1
        self._accepted += verdict.code != "R"
        self.sets_checked += verdict.checked
        self._worst = max(self._worst, verdict.code)
        if self._budget.lists(faulty=verdict.code != "A"):
            self._listed.append(verdict)

    def _codes(self, trailer: list[bytes] | None) -> list[str]:
        codes = []
        if self.functional_id != _REMITTANCES:
            codes.append("1")
        elif not has_guide(self._version):
            codes.append("2")
        if trailer is None:
            codes.append("3")
        elif not same_number(text_of(trailer, 2), text_of(self._header, 6)):
            codes.append("4")
        if trailer is not None and not counts(trailer, self._received):
            codes.append("5")
        if not _NUMBER.fullmatch(text_of(self._header, 6)):
            codes.append("6")
        if self._repeated:
            codes.append("19")
        return codes

    def _code(self, codes: list[str]) -> Literal["A", "E", "P", "R"]:
        """Say R where nothing was taken in, P where not everything was."""
        if self._accepted < self._received:
            return "P" if self._accepted else "R"
        if "1" in codes and not self.sets:
            return "R"
        return "E" if codes or self._worst != "A" else "A"


def _shown(value: str, form: re.Pattern[str], otherwise: str) -> str:
    return value if form.fullmatch(value) else otherwise
