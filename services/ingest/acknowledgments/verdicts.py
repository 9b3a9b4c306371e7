"""
What was found of a file's form. No value of the file is in it, but for control numbers, codes and party ids.

Codes are those of the segments named in each docstring; their meanings stand in codes.py.
"""

from typing import Literal

import msgspec

CutShort = Literal["size", "time", "errors", "sets", "failed"]
"""What ended the look at conformance: bytes, processor time, errors or sets kept, or pyx12 failed."""


class Limits(msgspec.Struct, frozen=True):
    """
    What one file may cost. Beyond it only the envelope is looked at.

    `conformance_bytes` 0: the envelope alone. `seconds` of processor time are for conformance.
    """

    conformance_bytes: int = 8 * 1024 * 1024
    seconds: float = 60.0
    set_errors: int = 200
    file_errors: int = 2_000
    sets: int = 2_000


class ElementError(msgspec.Struct, frozen=True, omit_defaults=True):
    """IK4. `trigger`: the element whose presence asks for this one."""

    position: int
    code: str
    component: int | None = None
    repetition: int | None = None
    reference: str | None = None
    trigger: int | None = None


class SegmentError(msgspec.Struct, frozen=True, omit_defaults=True):
    """IK3. `position` counts from the ST, which is 1; `segment_number` from the file's first segment."""

    position: int
    segment_number: int
    segment_id: str
    code: str
    loop: str | None = None
    elements: tuple[ElementError, ...] = ()


class SetVerdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """AK2 and IK5. `checked`: conformance was looked at, to its end."""

    set_id: str
    control_number: str
    code: Literal["A", "E", "R"]
    convention: str | None = None
    syntax_codes: tuple[str, ...] = ()
    errors: tuple[SegmentError, ...] = ()
    checked: bool = False


class GroupVerdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    AK1 and AK9, with who sent the group to whom.

    `sets` are the first ones and those with errors, up to a limit; the counts cover all.
    """

    functional_id: str
    sender: str
    receiver: str
    control_number: str
    version: str
    code: Literal["A", "E", "P", "R"]
    included: int
    received: int
    accepted: int
    syntax_codes: tuple[str, ...] = ()
    sets: tuple[SetVerdict, ...] = ()


class InterchangeVerdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    TA1: `code` and `note`, owed where `ta1`. Groups that are acknowledgments themselves are left out.

    `delimiters`: element, component, repetition and terminator as received, or none that could be used.
    """

    sender_qualifier: str
    sender: str
    receiver_qualifier: str
    receiver: str
    date: str
    time: str
    version: str
    control_number: str
    usage: str
    code: Literal["A", "E", "R"]
    note: str
    ta1: bool
    delimiters: tuple[str, str, str, str] | None = None
    groups: tuple[GroupVerdict, ...] = ()


class FileVerdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole file. `sets_checked` of `sets` were looked at for conformance to their end."""

    interchanges: tuple[InterchangeVerdict, ...] = ()
    sets: int = 0
    sets_checked: int = 0
    cut_short: CutShort | None = None
