"""
Verdicts to X12: TA1, 999 (005010X231A1), and 997 (004010) for what came as 4010.

Each answer is an interchange of its own, in the sender's delimiters where they can be used. IK404, the copy
of the bad element, is always left out: it may be a patient's name. 835s have no business unit in X231A1's
CTX, so claim numbers are left out as well.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from services.ingest.acknowledgments.codes import IN_997
from services.ingest.acknowledgments.verdicts import (
    ElementError,
    FileVerdict,
    GroupVerdict,
    InterchangeVerdict,
    SegmentError,
    SetVerdict,
)

Kind = Literal["TA1", "999", "997"]

_USUAL = ("*", ":", "^", "~")
_SYNTAX_CODES = 5  # AK905 to AK909, IK502 to IK506
_4010 = "004010"
_QUALIFIERS = frozenset((*(f"{number:02d}" for number in range(1, 39)), "AM", "NR", "SA", "SN", "ZZ"))


class Draft(msgspec.Struct, frozen=True):
    """An answer still to be written: it needs a control number of ours. `code` is the worst in it."""

    kind: Kind
    code: Literal["A", "E", "P", "R"]
    interchange: InterchangeVerdict
    groups: tuple[GroupVerdict, ...] = ()


class Acknowledgment(msgspec.Struct, frozen=True):
    """One interchange to be sent back. `acknowledges` is the ISA13 that it answers."""

    kind: Kind
    code: Literal["A", "E", "P", "R"]
    control_number: int
    acknowledges: str
    content: bytes


def draft(verdict: FileVerdict) -> list[Draft]:
    """Give what a file's sender is owed, in the order of its interchanges, TA1 first."""
    return [one for interchange in verdict.interchanges for one in _drafts(interchange)]


def render(drafted: Draft, *, control_number: int, made_at: datetime) -> Acknowledgment:
    """Write an answer. `control_number` has at most nine digits; `made_at` is written as it is."""
    writer = _Writer(drafted.interchange.delimiters or _USUAL)
    _write_header(writer, drafted, control_number, made_at)
    if drafted.kind == "TA1":
        _write_ta1(writer, drafted.interchange)
    for ordinal, group in enumerate(drafted.groups, 1):
        _write_group(writer, drafted.kind, group, ordinal, made_at)
    writer.segment("IEA", len(drafted.groups), f"{control_number:09d}")
    return Acknowledgment(
        kind=drafted.kind,
        code=drafted.code,
        control_number=control_number,
        acknowledges=drafted.interchange.control_number,
        content=writer.content(),
    )


def _drafts(interchange: InterchangeVerdict) -> Iterator[Draft]:
    if interchange.ta1:
        yield Draft("TA1", interchange.code, interchange)
    for kind in ("999", "997"):
        groups = tuple(group for group in interchange.groups if _kind_for(group) == kind)
        if groups:
            yield Draft(kind, _worst(groups), interchange, groups)


def _kind_for(group: GroupVerdict) -> Kind:
    """4010 knows no 999."""
    return "997" if group.version.startswith(_4010) else "999"


def _worst(groups: Sequence[GroupVerdict]) -> Literal["A", "E", "P", "R"]:
    return max((group.code for group in groups), key="AEPR".index)


def _write_header(writer: "_Writer", drafted: Draft, control_number: int, made_at: datetime) -> None:
    to, kind = drafted.interchange, drafted.kind
    is_4010 = kind == "997" or (kind == "TA1" and to.version != "00501")
    writer.segment(
        "ISA",
        *("00", " " * 10, "00", " " * 10),
        *(_qualifier(to.receiver_qualifier), to.receiver[:15].ljust(15)),
        *(_qualifier(to.sender_qualifier), to.sender[:15].ljust(15)),
        *(f"{made_at:%y%m%d}", f"{made_at:%H%M}"),
        *("U" if is_4010 else writer.repetition, "00401" if is_4010 else "00501"),
        *(f"{control_number:09d}", "0", to.usage if to.usage in {"P", "T"} else "P", writer.component),
    )


def _qualifier(value: str) -> str:
    """Repeat a qualifier that there is; of any other party all that is known is that both know it."""
    return value if value in _QUALIFIERS else "ZZ"


def _write_ta1(writer: "_Writer", to: InterchangeVerdict) -> None:
    writer.segment(
        "TA1",
        _digits(to.control_number, 9),
        _digits(to.date, 6),
        _digits(to.time, 4),
        to.code,
        to.note,
    )


def _digits(value: str, width: int) -> str:
    """Give a number as it was sent, or zeros where there is none to give."""
    return value.zfill(width) if value.isdecimal() and len(value) <= width else "0" * width


def _write_group(writer: "_Writer", kind: Kind, group: GroupVerdict, ordinal: int, made_at: datetime) -> None:
    version = "005010X231A1" if kind == "999" else "004010"
    writer.segment(
        "GS",
        "FA",
        group.receiver,
        group.sender,
        f"{made_at:%Y%m%d}",
        f"{made_at:%H%M%S}",
        ordinal,
        "X",
        version,
    )
    first = writer.count
    number = f"{ordinal:04d}"
    writer.segment("ST", kind, number, version if kind == "999" else "")
    writer.segment("AK1", group.functional_id, group.control_number, group.version if kind == "999" else "")
    for one in group.sets:
        _write_set(writer, kind, one)
    codes = group.syntax_codes[:_SYNTAX_CODES]
    writer.segment("AK9", group.code, group.included, group.received, group.accepted, *codes)
    writer.segment("SE", writer.count - first + 1, number)
    writer.segment("GE", 1, ordinal)


def _write_set(writer: "_Writer", kind: Kind, verdict: SetVerdict) -> None:
    number = verdict.control_number.zfill(4)  # AK202 has four characters or more
    writer.segment("AK2", verdict.set_id, number, (verdict.convention or "") if kind == "999" else "")
    for error in verdict.errors:
        _write_segment_error(writer, kind, error)
    codes = _known(verdict.syntax_codes, kind)[:_SYNTAX_CODES]
    writer.segment("IK5" if kind == "999" else "AK5", verdict.code, *codes)


def _write_segment_error(writer: "_Writer", kind: Kind, error: SegmentError) -> None:
    code = _known([error.code], kind)[0]
    writer.segment(
        "IK3" if kind == "999" else "AK3", error.segment_id, error.position, error.loop or "", code
    )
    for element in error.elements:
        _write_element_error(writer, kind, error, element)


def _write_element_error(writer: "_Writer", kind: Kind, error: SegmentError, element: ElementError) -> None:
    code = _known([element.code], kind)[0]
    reference = (element.reference or "").lstrip("0")
    if kind == "997":
        place = writer.composite(element.position, element.component)
        writer.segment("AK4", place, reference, code)
        return
    place = writer.composite(element.position, element.component, element.repetition)
    writer.segment("IK4", place, reference, code)
    if element.trigger is not None:
        trigger = writer.composite(element.trigger)
        writer.segment("CTX", "SITUATIONAL TRIGGER", error.segment_id, error.position, "", trigger)


def _known(codes: Sequence[str], kind: Kind) -> list[str]:
    """Say in a 997 what it has codes for; each once."""
    return list(codes) if kind == "999" else list(dict.fromkeys(IN_997.get(code, code) for code in codes))


class _Mark(str):
    """An element in which delimiters are meant."""

    __slots__ = ()


class _Writer:
    """Segments in the given delimiters. Empty elements at the end are left out, as X12 asks."""

    def __init__(self, delimiters: tuple[str, str, str, str]) -> None:
        self._element, component, repetition, self._terminator = delimiters
        self.component, self.repetition = _Mark(component), _Mark(repetition)
        self._taken = str.maketrans(dict.fromkeys("".join(delimiters), " "))
        self._segments: list[str] = []

    @property
    def count(self) -> int:
        return len(self._segments)

    def composite(self, *parts: int | None) -> str:
        """Join components, leaving empty ones at the end out."""
        joined = self.component.join("" if part is None else str(part) for part in parts)
        return _Mark(joined.rstrip(self.component))

    def segment(self, name: str, *elements: str | int) -> None:
        """Add a segment. A value that holds a delimiter, which only strange headers do, loses it."""
        parts = [name, *map(self._plain, elements)]
        while not parts[-1]:
            parts.pop()
        self._segments.append(self._element.join(parts) + self._terminator)

    def _plain(self, value: str | int) -> str:
        return value if isinstance(value, _Mark) else str(value).translate(self._taken)

    def content(self) -> bytes:
        return "".join(self._segments).encode("ascii")
