"""
What a notification tells, whichever channel carries it: facts of cases, and nothing about a patient.

A channel leaves the installation, and whoever reads it may not be allowed to open a name. So there is no
field here that could hold a name, a member id, a claim number or a free note: a reader who may see more
follows the link. What a writer adds beside these fields is dropped when the row is read.
"""

from datetime import date
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

Severity = Literal["critical", "error", "warning", "info"]
Kind = Literal["firing", "update", "resolved", "digest", "test"]

DEDUP_KEY_CHARACTERS_MAX = 255
"""PagerDuty's bound of a dedup_key; the others have none that is smaller."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One case, or one count of the pipeline. Everything may be missing.

    `label` names what is no case, in words of our own (a team of a digest, a loop); `days_left` counts
    calendar days in `zone`, where `deadline_on` is the day as well; `amount` is US dollars.
    """

    case_id: UUID | None = None
    label: str | None = None
    payer: str | None = None
    category: str | None = None
    amount: Decimal | None = None
    days_left: int | None = None
    deadline_on: date | None = None
    zone: str | None = None
    link: str | None = None


class Totals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of the whole group: how many things, and their dollars; `lines` may be only the first of them."""

    count: int = 0
    amount: Decimal | None = None


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    `title` is one line of our own words. `rule` is the rule's name, `runbook` the name of a page in
    docs/runbooks/ without `.md`, `link` leads to the list behind the group. `acknowledged`: somebody has it.
    """

    title: str
    rule: str
    lines: tuple[Line, ...] = ()
    totals: Totals = Totals()
    runbook: str | None = None
    link: str | None = None
    acknowledged: bool = False


def encode_content(content: Content) -> bytes:
    """Write a content as JSON; dollars are strings."""
    return _encode(content)


def decode_content(stored: bytes | str) -> Content:
    """Read what encode_content wrote; whatever else stands there is left out."""
    return _decode(stored)


_encode = msgspec.json.Encoder(decimal_format="string").encode
_decode = msgspec.json.Decoder(Content).decode
