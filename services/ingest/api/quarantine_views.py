"""What is shown of quarantined claims, and what a person may supply for them."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from services.ingest.api.views import FindingView
from services.ingest.domain.claim import ClaimKind
from services.ingest.store.quarantine import State

_Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50, pattern=r"^[ -~]+$")
]
_Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500, pattern=r"^[^\x00]+$")
]
_PLAIN = re.compile(r"-?\d{1,8}(\.\d{1,2})?", re.ASCII)


def _plain(amount: object) -> object:
    """Take dollars as people write them: 1e3 and NaN are decimals too, and mostly slips of the hand."""
    whole = isinstance(amount, int) and not isinstance(amount, bool)
    if whole or (isinstance(amount, str) and _PLAIN.fullmatch(amount)):
        return amount
    raise PydanticCustomError("no_plain_decimal_such_as_500.00", "No plain decimal such as 500.00.")


_Amount = Annotated[Decimal, Field(max_digits=10, decimal_places=2), BeforeValidator(_plain)]


class QuarantinedView(BaseModel):
    """
    A claim that could not be read. `charge_amount` null: not even that could be.

    `released`: read with what a person supplied; `reread`: read by a newer reader. Then `event_id` is the
    claim's. `dismissed`: a person said that nothing is to be done. `reason` is that person's, or the one of
    who supplied. `being_read_again`: what was supplied or asked for is under way.
    """

    quarantine_id: UUID
    organization_id: UUID
    remittance_id: UUID
    receipt_id: UUID
    feed: str
    payer_name: str | None
    received_at: AwareDatetime
    payer_date: date
    is_test: bool
    position: int
    byte_offset: int
    byte_length: int
    charge_amount: Decimal | None
    findings: list[FindingView]
    reader_revision: int
    state: State
    being_read_again: bool
    quarantined_at: AwareDatetime
    changed_at: AwareDatetime
    supplied_by: UUID | None
    supplied_at: AwareDatetime | None
    dismissed_by: UUID | None
    dismissed_at: AwareDatetime | None
    reason: str | None
    event_id: UUID | None


class QuarantinedPage(BaseModel):
    data: list[QuarantinedView]
    has_more: bool
    next_cursor: str | None


class SegmentView(BaseModel):
    """A segment, masked: `segment_id` null where it is none that an 835 has."""

    segment_id: str | None
    elements: list[str]


class QuarantinedDetail(QuarantinedView):
    """
    `needed` must be supplied for the claim to be read, `allowed` may be: the file does not say it.

    `becomes`: what the claim is with what was supplied, null where nothing was. `denied` opens a case;
    `adjudicated` was paid or adjusted in the ordinary way, and `predetermination` is a forecast.
    """

    segments: list[SegmentView]
    segments_cut: bool
    needed: list[str]
    allowed: list[str]
    becomes: ClaimKind | None


class Release(BaseModel):
    """What a person knows of a claim that cannot be read, and from where. Amounts in US dollars."""

    model_config = ConfigDict(extra="forbid")

    reason: _Reason
    claim_number: _Text | None = None
    claim_status: Annotated[str, StringConstraints(pattern=r"^\d{1,2}$")] | None = None
    charge_amount: _Amount | None = None
    paid_amount: _Amount | None = None
    payer_claim_number: _Text | None = None


class Dismissal(BaseModel):
    """Why nothing is to be done about a claim that cannot be read, for example that it was sent again."""

    model_config = ConfigDict(extra="forbid")

    reason: _Reason


class ReplayWanted(BaseModel):
    """Exactly one of these."""

    model_config = ConfigDict(extra="forbid")

    remittance_id: UUID | None = None
    receipt_id: UUID | None = None
    quarantined: bool = False
    outdated: bool = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(map(bool, (self.remittance_id, self.receipt_id, self.quarantined, self.outdated))) != 1:
            raise ValueError("Name a remittance or a receipt, or say quarantined or outdated, and one only.")
        return self


class ReplayAsked(BaseModel):
    """`asked` remittances are read again; the files of `unreadable` others were deleted."""

    asked: int
    unreadable: int
