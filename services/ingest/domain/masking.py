"""
A claim loop without whose it is: codes, amounts and dates; never a name, a number of a claim, or free text.

An allow-list by segment and element. What is shown must also look like its kind: in a claim that cannot be
read any element may hold anything. In an amount of at most six places letters become X, so that its fault is
seen; more of them, or other signs than an amount has, may be a number of a person.
"""

import re
from collections.abc import Callable

import msgspec

from services.ingest.domain.block import SEGMENT_IDS
from services.ingest.x12.delimiters import Delimiters
from services.ingest.x12.elements import decode, read_date

MASK = "•••"
SEGMENTS_MAX = 500
"""So many segments of a loop are shown; a claim that is read has a few dozen."""

_AMOUNT = re.compile(r"[-+]?([0-9]{1,8})(\.[0-9]{0,2})?")  # nine digits: a social security number
_SPOILT_AMOUNT = re.compile(r"[-+]?[0-9X]{1,6}(\.[0-9X]{0,2})?")
_LETTER = re.compile(r"[^\W\d_]")
_CODE = re.compile(r"[A-Z]{0,2}\d{1,3}[A-Z]?|[A-Z]\d{1,4}")
_QUALIFIERS = frozenset(
    """
    AD AU BB CE CO CR EA ER FI GB HC HE HP IG IL IV MI NU OA PI PR QC RB RX SY TT WK XV XX ZZ
    """.split()  # noqa: SIM905  thirty strings would fill a screen
)
_PROCEDURE = re.compile(r"[A-Z]?\d{3,4}[A-Z0-9]|\d{3,4}|[A-Z0-9]{2}")


class MaskedSegment(msgspec.Struct, frozen=True):
    """A segment: its name, None where it has none that an 835 knows, and its elements from the first."""

    segment_id: str | None
    elements: tuple[str, ...]


def mask_loop(loop: bytes, delimiters: Delimiters) -> list[MaskedSegment]:
    """Show a claim's segments, of a long one the first SEGMENTS_MAX."""
    raw = [segment.strip() for segment in loop.split(delimiters.terminator, SEGMENTS_MAX)[:SEGMENTS_MAX]]
    return [_mask_segment(segment.split(delimiters.element), delimiters) for segment in raw if segment]


def _mask_segment(parts: list[bytes], delimiters: Delimiters) -> MaskedSegment:
    name = parts[0] if parts[0] in SEGMENT_IDS else None
    shown = _SHOWN.get(name or b"", {})
    component = decode(delimiters.component) if delimiters.component else ""
    return MaskedSegment(
        name.decode() if name else None,
        tuple(
            _mask(decode(part).strip(), _kind(name, at, shown), component)
            for at, part in enumerate(parts[1:], 1)
        ),
    )


def _kind(name: bytes | None, at: int, shown: dict[int, Callable[[str], str]]) -> Callable[[str], str] | None:
    if name == b"CAS" and at > 1:
        return _code if at % 3 == 2 else _amount
    return shown.get(at)


def _mask(text: str, show: Callable[[str], str] | None, component: str) -> str:
    if not text:
        return ""
    if show is None:
        return MASK
    if show is _procedure and component:
        return component.join(_procedure(part) if part else "" for part in text.split(component)[:6])
    return show(text)


def _amount(text: str) -> str:
    if amount := _AMOUNT.fullmatch(text):
        return MASK if _date(amount[1]) != MASK else text
    spoilt = _LETTER.sub("X", text)
    return spoilt if _SPOILT_AMOUNT.fullmatch(spoilt) else MASK


def _code(text: str) -> str:
    return text if text in _QUALIFIERS or _CODE.fullmatch(text) else MASK


def _date(text: str) -> str:
    return text if read_date(text.encode()) else MASK


def _procedure(text: str) -> str:
    return text if text in _QUALIFIERS or _PROCEDURE.fullmatch(text) else MASK


_Show = Callable[[str], str]
_SHOWN: dict[bytes, dict[int, _Show]] = {
    b"CLP": {2: _code, 3: _amount, 4: _amount, 5: _amount, 6: _code, 8: _code, 9: _code, 11: _code},
    b"CAS": {1: _code},
    b"NM1": {1: _code, 2: _code, 8: _code},
    b"MIA": {
        **dict[int, _Show].fromkeys((1, 2, 3, 4, *range(6, 20), 24), _amount),
        **dict[int, _Show].fromkeys((5, 20, 21, 22, 23), _code),
    },
    b"MOA": {
        **dict[int, _Show].fromkeys((1, 2, 8, 9), _amount),
        **dict[int, _Show].fromkeys((3, 4, 5, 6, 7), _code),
    },
    b"DTM": {1: _code, 2: _date},
    b"REF": {1: _code},
    b"AMT": {1: _code, 2: _amount},
    b"QTY": {1: _code, 2: _amount},
    b"SVC": {1: _procedure, 2: _amount, 3: _amount, 4: _code, 5: _amount, 6: _procedure, 7: _amount},
    b"LQ": {1: _code, 2: _code},
}
