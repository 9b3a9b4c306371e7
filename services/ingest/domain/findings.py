"""
What can be wrong with a remittance: a closed vocabulary of findings.

A finding is a value, never an exception. Its sentence tells what and where, its remedy what to do now.
Neither ever repeats a value from the file: values may be a patient's.
"""

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]
"""error: something could not be read or does not add up; warning: read with a guess; note: harmless."""


class Rule(msgspec.Struct, frozen=True):
    """One kind of finding: its sentence and its remedy."""

    severity: Severity
    message: str
    remedy: str


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    One fault and its place.

    `segment_number` counts every terminated segment of the file from 1; `element` counts from 1 (CLP03 is 3);
    `byte_offset` is the first byte of the segment, from 0.
    """

    code: str
    message: str
    remedy: str
    severity: Severity
    segment_number: int | None = None
    segment_id: str | None = None
    element: int | None = None
    byte_offset: int | None = None
