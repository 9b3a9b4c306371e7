"""A transaction set between its ST and its SE."""

import re

from services.ingest.acknowledgments.budget import Budget
from services.ingest.acknowledgments.codes import REJECTING
from services.ingest.acknowledgments.conformance import SetCheck
from services.ingest.acknowledgments.segment_names import UNNAMED
from services.ingest.acknowledgments.verdicts import SegmentError, SetVerdict
from services.ingest.domain.envelope import REMITTANCE

_SET_ID = re.compile(r"[0-9]{3}")
_CONTROL_NUMBER = re.compile(r"[0-9A-Za-z._-]{1,9}")
_CONVENTION = re.compile(r"[0-9A-Z]{6,12}")


class OpenSet:
    """
    Counts segments, collects errors. `check` None: its conformance is not looked at.

    The rest is told when it closes: a set is rejected where its claims were not read or its end is missing,
    and accepted, perhaps with errors, where they were read.
    """

    def __init__(self, parts: list[bytes], check: SetCheck | None, budget: Budget, *, repeated: bool) -> None:
        self._header = parts
        self._check = check
        self._budget = budget
        self._complete = check is not None
        self._segments = 0
        self._errors: list[SegmentError] = []
        self.codes: list[str] = []
        set_id, number = text_of(parts, 1), text_of(parts, 2)
        if not _SET_ID.fullmatch(set_id):
            self.codes.append("6")
        elif set_id != REMITTANCE:
            self.codes.append("1")
        if not _CONTROL_NUMBER.fullmatch(number):
            self.codes.append("7")
        if repeated:
            self.codes.append("23")

    def read(self, segment: bytes, number: int) -> None:
        """Take the next segment, from ST to SE; an empty one stands for one too long to be read."""
        self._segments += 1
        if not segment:
            self._note(SegmentError(self._segments, number, UNNAMED, "1"))
        elif self._check is None or not self._budget.allows(len(segment)):
            self._complete = False
        else:
            for error in self._check.errors(segment, position=self._segments, segment_number=number):
                self._note(error)

    def close(self, trailer: list[bytes] | None) -> SetVerdict:
        """`trailer`: the SE; None when there is none."""
        codes = [*self.codes, *self._trailer_codes(trailer)]
        if self._errors:
            guide_only = all(_is_of_guide(error) for error in self._errors)
            codes.append("I5" if guide_only else "5")
        rejected = not REJECTING.isdisjoint(codes)
        if self._check is not None and self._check.broken:
            self._complete = False
            self._budget.cut_short = self._budget.cut_short or "failed"
        return SetVerdict(
            set_id=_shown(self._header, 1, _SET_ID, "000"),
            control_number=_shown(self._header, 2, _CONTROL_NUMBER, "0"),
            convention=_shown(self._header, 3, _CONVENTION, "") or None,
            code="R" if rejected else "E" if codes else "A",
            syntax_codes=tuple(codes),
            errors=tuple(self._errors),
            checked=self._complete,
        )

    def _note(self, error: SegmentError) -> None:
        if len(self._errors) < self._budget.set_errors:
            self._errors.append(error)
            self._budget.spend_error()
        else:
            self._check, self._complete = None, False

    def _trailer_codes(self, trailer: list[bytes] | None) -> list[str]:
        if trailer is None:
            return ["2"]
        codes = []
        if not same_number(text_of(trailer, 2), text_of(self._header, 2)):
            codes.append("3")
        if not counts(trailer, self._segments):
            codes.append("4")
        return codes


def _is_of_guide(error: SegmentError) -> bool:
    """Tell an error of the implementation guide alone from one of X12 itself."""
    if error.code == "8":
        return all(element.code.startswith("I") for element in error.elements)
    return error.code.startswith("I")


def text_of(parts: list[bytes], position: int) -> str:
    return parts[position].decode("ascii", "replace").strip() if position < len(parts) else ""


def same_number(one: str, other: str) -> bool:
    """Compare control numbers as the reader does: leading zeros are padding."""
    return one.lstrip("0") == other.lstrip("0")


def counts(parts: list[bytes], count: int) -> bool:
    stated = text_of(parts, 1)
    return stated.isdecimal() and int(stated[:18]) == count


def _shown(parts: list[bytes], position: int, form: re.Pattern[str], otherwise: str) -> str:
    """Repeat a value only if it has its form: anything else may be a patient's."""
    value = text_of(parts, position)
    return value if form.fullmatch(value) else otherwise
