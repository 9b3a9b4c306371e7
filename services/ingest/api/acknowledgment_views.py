"""An acknowledgment as JSON shows it: each code of the TA1 and the 999 beside its meaning."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

_Instant = Annotated[datetime, Meta(tz=True)]


class CodeMeant(Struct, frozen=True, kw_only=True):
    """A code and what it says."""

    code: str
    meaning: str


class ElementNoted(CodeMeant, frozen=True, kw_only=True):
    """IK4: what is wrong with an element. `trigger`: the element whose presence asks for this one."""

    position: int
    component: int | None
    repetition: int | None
    reference: str | None
    trigger: int | None


class SegmentNoted(CodeMeant, frozen=True, kw_only=True):
    """IK3. `position` counts from the ST, which is 1; `segment_number` from the file's first segment."""

    segment_id: str
    position: int
    segment_number: int
    loop: str | None
    elements: list[ElementNoted]


class SetAcknowledged(CodeMeant, frozen=True, kw_only=True):
    """AK2 and IK5. `checked`: conformance was looked at, to its end."""

    set_id: str
    control_number: str
    checked: bool
    errors: list[CodeMeant]
    segments: list[SegmentNoted]


class GroupAcknowledged(CodeMeant, frozen=True, kw_only=True):
    """AK1 and AK9. `sets` are the first ones and those with errors, up to a limit; the counts cover all."""

    functional_id: str
    control_number: str
    version: str
    sets_included: int
    sets_received: int
    sets_accepted: int
    errors: list[CodeMeant]
    sets: list[SetAcknowledged]


class InterchangeAcknowledged(Struct, frozen=True, kw_only=True):
    """TA1: its code, and its note with what it says."""

    control_number: str
    sender: str
    receiver: str
    code: str
    note: CodeMeant
    groups: list[GroupAcknowledged]


class AcknowledgmentFileShown(Struct, frozen=True, kw_only=True):
    """One interchange that goes to the sender."""

    name: str
    kind: str
    code: str
    control_number: int
    acknowledges: str
    delivered_at: _Instant | None


class AcknowledgmentShown(Struct, frozen=True, kw_only=True):
    """
    What the sender of a file is told. `sets_checked` of `sets` were looked at for conformance to their end;
    `cut_short` says what ended that look.
    """

    receipt_id: UUID
    made_at: _Instant
    preference: Literal["none", "negative", "all"]
    sets: int
    sets_checked: int
    cut_short: str | None
    interchanges: list[InterchangeAcknowledged]
    files: list[AcknowledgmentFileShown]
