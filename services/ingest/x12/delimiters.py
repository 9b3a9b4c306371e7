"""
The four delimiters of an interchange, found in its ISA segment.

The standard fixes the ISA at 106 bytes; real files pad it wrongly, so elements are counted, not positions.
"""

import re
from collections.abc import Callable

import msgspec

ENVELOPE_BYTES_MAX = 1024
"""Room for an ISA and what follows it: a correct one has 106 bytes, the worst seen in the wild 122."""

BLANK = b" \t\r\n\x0b\x0c\x00\x1a"
"""What may stand between segments and means nothing: white space, NUL and Ctrl-Z padding."""

_COMPONENT_AT = 104
_ALPHANUMERIC = re.compile(rb"[0-9A-Za-z]")


class Delimiters(msgspec.Struct, frozen=True, gc=False):
    """
    One or two bytes each (two where a non-ASCII delimiter went through UTF-8).

    `component` and `repetition` are empty where the ISA names none: 4010 has "U" or a letter in ISA11.
    """

    element: bytes
    component: bytes
    repetition: bytes
    terminator: bytes


def to_neutral(delimiters: Delimiters, joint: bytes) -> Callable[[bytes], bytes]:
    r"""
    Give what rewrites text with the same delimiters for every file.

    They are \x1d between elements, \x1f between components and \x1e for `joint`. All at once: one of these
    may be a delimiter of the file already.
    """
    pairs = {joint: b"\x1e", delimiters.element: b"\x1d"}
    if delimiters.component:
        pairs[delimiters.component] = b"\x1f"
    if all(len(old) == 1 for old in pairs):
        table = bytes.maketrans(b"".join(pairs), b"".join(pairs.values()))
        return lambda text: text.translate(table)
    pattern = re.compile(b"|".join(map(re.escape, sorted(pairs, key=len, reverse=True))))
    return lambda text: pattern.sub(lambda found: pairs[found[0]], text)


class Envelope(msgspec.Struct, frozen=True):
    """An ISA segment: delimiters, its sixteen elements, and its length with the terminator."""

    delimiters: Delimiters
    elements: tuple[bytes, ...]
    length: int
    padded: bool  # as the standard wants it: ISA16 at byte 104


def read_envelope(text: bytes) -> Envelope | None:
    """
    Read the ISA segment with which `text` begins; None where it is a word, a name or a torn segment.

    `text` holds ENVELOPE_BYTES_MAX bytes, or what is left of the file.
    """
    element = _character(text, 3)
    if not element or element in BLANK or _ALPHANUMERIC.match(element):
        return None
    parts = text[3 + len(element) : ENVELOPE_BYTES_MAX].split(element, 15)
    if len(parts) < 16 or not _is_plausible(parts):
        return None
    at = 3 + len(element) * 16 + sum(map(len, parts[:15]))
    component, terminator, length = _closing(text, at)
    if element in (component, terminator):
        return None
    repetition = parts[10].strip(BLANK)
    if len(repetition) > 2 or _ALPHANUMERIC.match(repetition):
        repetition = b""
    delimiters = Delimiters(element, component, repetition, terminator)
    return Envelope(
        delimiters, (*(part.strip(BLANK) for part in parts[:15]), component), length, at == _COMPONENT_AT
    )


def _is_plausible(parts: list[bytes]) -> bool:
    """Tell an envelope from prose: ISA12 is a version of five digits, or ISA15 says test or production."""
    return bool(re.fullmatch(rb"\d{5}", parts[11].strip())) or parts[14].strip() in (b"P", b"T", b"I")


def _closing(text: bytes, at: int) -> tuple[bytes, bytes, int]:
    """
    Give component separator, terminator, and where the segment ends, from the sixteenth element on.

    Some writers break the line, or put spaces, before the terminator; some leave ISA16 out.
    """
    component = _character(text, at)
    after = at + len(component)
    rest = text[after:]
    blank = len(rest) - len(rest.lstrip(BLANK))
    following = _character(text, after + blank)
    if following and not _ALPHANUMERIC.match(following):
        return component, following, after + blank + len(following)
    if blank:
        terminator = next((c for c in (b"\n", b"\r") if c in rest[:blank]), rest[:1])
        return component, terminator, after + rest.index(terminator) + 1
    if following:
        return b"", component, after
    return component, b"~", after


def _character(text: bytes, at: int) -> bytes:
    """Give one character as its bytes: two where UTF-8 needs two (a delimiter such as U+0085)."""
    if (
        0xC2 <= int.from_bytes(text[at : at + 1]) <= 0xDF
        and 0x80 <= int.from_bytes(text[at + 1 : at + 2]) < 0xC0
    ):
        return text[at : at + 2]
    return text[at : at + 1]
