"""An interchange between its ISA and its IEA."""

import re
from datetime import datetime
from typing import Literal

from services.ingest.acknowledgments.budget import Budget
from services.ingest.acknowledgments.open_group import ACKNOWLEDGMENTS, OpenGroup
from services.ingest.acknowledgments.open_set import counts, same_number, text_of
from services.ingest.acknowledgments.verdicts import GroupVerdict, InterchangeVerdict
from services.ingest.x12.delimiters import Delimiters, Envelope

_VERSIONS = frozenset(("00401", "00501"))
_USAGES = frozenset("PTI")
_USABLE = re.compile(r"[!-/:-@\[-`{-~]")
_CUT = "023"


class OpenInterchange:
    """Groups of one interchange. `sets` and `sets_checked` count remittances (835)."""

    def __init__(self, envelope: Envelope, budget: Budget, *, repeated: bool) -> None:
        self.sets = self.sets_checked = 0
        self._envelope = envelope
        self._isa = [b"ISA", *envelope.elements]
        self._budget = budget
        self._repeated = repeated
        self._group: OpenGroup | None = None
        self._numbers: set[str] = set()
        self._verdicts: list[GroupVerdict] = []
        self._groups = 0
        self._acknowledgments = 0
        self._sets_outside = 0

    def read(self, tag: bytes, segment: bytes, number: int) -> None:
        """Take the next segment between ISA and IEA."""
        if tag == b"GS":
            self._open_group(segment.split(self._envelope.delimiters.element))
        elif tag == b"GE":
            self._close_group(segment.split(self._envelope.delimiters.element))
        elif self._group is not None:
            self._group.read(tag, segment, number)
        elif tag == b"TA1":
            self._acknowledgments += 1
        elif tag == b"ST":
            self._sets_outside += 1

    def close(self, trailer: list[bytes] | None) -> InterchangeVerdict:
        """`trailer`: the IEA; None when there is none."""
        self._close_group(None)
        note = self._note(trailer)
        is_acknowledgment = self._acknowledgments and not self._verdicts and not self._sets_outside
        return InterchangeVerdict(
            sender_qualifier=self._shown(5),
            sender=self._shown(6),
            receiver_qualifier=self._shown(7),
            receiver=self._shown(8),
            date=self._shown(9),
            time=self._shown(10),
            version=self._shown(12),
            control_number=self._shown(13),
            usage=self._shown(15),
            code=self._code(note),
            note=note,
            ta1=not is_acknowledgment and (note != "000" or self._shown(14) == "1"),
            delimiters=_usable(self._envelope.delimiters),
            groups=tuple(self._verdicts),
        )

    def _shown(self, position: int) -> str:
        return "".join(one for one in text_of(self._isa, position) if " " <= one <= "~")

    def _open_group(self, parts: list[bytes]) -> None:
        self._close_group(None)
        number = text_of(parts, 6)
        self._groups += 1
        self._group = OpenGroup(
            parts, self._envelope.delimiters, self._budget, repeated=number in self._numbers
        )
        self._numbers.add(number)

    def _close_group(self, trailer: list[bytes] | None) -> None:
        group, self._group = self._group, None
        if group is None:
            return
        verdict = group.close(trailer)
        if group.functional_id in ACKNOWLEDGMENTS:
            self._acknowledgments += 1
            return
        self.sets += group.sets
        self.sets_checked += group.sets_checked
        self._verdicts.append(verdict)

    def _code(self, note: str) -> Literal["A", "E", "R"]:
        """What was read of it stands, so only the interchange that is cut off has to be sent again."""
        if note == "000":
            return "A"
        return "R" if note == _CUT else "E"

    def _note(self, trailer: list[bytes] | None) -> str:
        """Give the gravest fault: a TA1 has room for one."""
        faults = {
            _CUT: trailer is None,
            "018": not re.fullmatch(r"[0-9]{1,9}", self._shown(13)),
            "025": self._repeated,
            "001": trailer is not None and not same_number(text_of(trailer, 2), text_of(self._isa, 13)),
            "022": bool(self._sets_outside),
            "024": not self._groups and not self._acknowledgments and not self._sets_outside,
            "021": trailer is not None and not counts(trailer, self._groups),
            "017": not re.fullmatch(r"[0-9]{5}", self._shown(12)),
            "003": self._shown(12) not in _VERSIONS,
            "006": not self._shown(6),
            "008": not self._shown(8),
            "014": not _is_moment(self._shown(9), "%y%m%d"),
            "015": not _is_moment(self._shown(10), "%H%M"),
            "019": self._shown(14) not in {"0", "1"},
            "020": self._shown(15) not in _USAGES,
        }
        return next((code for code, is_so in faults.items() if is_so), "000")


def _is_moment(value: str, form: str) -> bool:
    try:
        datetime.strptime(value, form)  # noqa: DTZ007  a check of the form alone
    except ValueError:
        return False
    return value.isdecimal() and len(value) == (6 if "%y" in form else 4)


def _usable(delimiters: Delimiters) -> tuple[str, str, str, str] | None:
    """
    Give the sender's delimiters where an answer can use them: single punctuation marks that differ.

    The repetition separator, which our answers never use, is replaced where a 4010 interchange has none.
    """
    names = (delimiters.element, delimiters.component, delimiters.repetition, delimiters.terminator)
    element, component, repetition, terminator = (name.decode("latin-1") for name in names)
    if not all(_USABLE.fullmatch(one) for one in (element, component)) or not (
        terminator == "\n" or _USABLE.fullmatch(terminator)
    ):
        return None
    taken = {element, component, terminator}
    if not _USABLE.fullmatch(repetition) or repetition in taken:
        repetition = next(one for one in "^!|}" if one not in taken)
    return (element, component, repetition, terminator) if len(taken) == 3 else None
