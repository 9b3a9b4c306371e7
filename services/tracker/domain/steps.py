"""
Steps: what people did about a case, as they tell it and as it is kept. Where each leads stands in states.py.

Days are days where the payer is. Texts are people's own words; they go with the case when it is purged.
"""

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

from services.tracker.domain.states import Move, Outcome, PeoplesReason, StepKind, move_of

RequestKind = Literal[
    "retro_authorization",
    "authorization_correction",
    "referral",
    "notification",
    "reconsideration",
    "appeal",
    "peer_to_peer",
]
Channel = Literal["portal", "phone", "fax", "mail", "email", "edi_278", "edi_837", "other"]
_NO_NUL = r"^[^\x00]*$"
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=_NO_NUL)
]
Reference = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=_NO_NUL)
]
Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Day = Annotated[date, Field(ge=date(1990, 1, 1), le=date(2100, 12, 31))]


Files = Annotated[tuple[UUID, ...], Field(min_length=1, max_length=100)]


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: StepKind
    note: Text | None = None

    @property
    def move(self) -> Move:
        return move_of(self.kind, getattr(self, "outcome", None) if self.kind in _ENDING else None)


_ENDING = frozenset({"determine", "peer_to_peer"})


class _RequestStep(_Step):
    request: RequestKind
    level: int = Field(default=1, ge=1, le=9, description="Of an appeal; 1 for all else.")

    @model_validator(mode="after")
    def _only_appeals_have_levels(self) -> Self:
        if self.level != 1 and self.request != "appeal":
            raise ValueError("only an appeal has levels")
        return self


class Prepare(_RequestStep):
    """Work on a request begins."""

    kind: Literal["prepare"]


class Submit(_RequestStep):
    """
    A request went to the payer on a day. `sent` names what went along, `files` those of the case among it.

    `follow_up_on` is when to ask after it; left out, the payer's interval counts. `duplicate_reason` says why
    the same was submitted again.
    """

    kind: Literal["submit"]
    on: Day
    channel: Channel
    reference: Reference | None = None
    sent: Text | None = None
    files: Files | None = None
    follow_up_on: Day | None = None
    duplicate_reason: Text | None = None


class InformationRequested(_RequestStep):
    """The payer wants to know more, by the end of `due_on` in `zone`, which is the payer's when left out."""

    kind: Literal["information_requested"]
    on: Day
    what: Text
    due_on: Day | None = None
    zone: str | None = Field(default=None, max_length=64)

    @model_validator(mode="after")
    def _zone_is_known(self) -> Self:
        if self.zone is not None:
            try:
                ZoneInfo(self.zone)
            except (OSError, ValueError, ZoneInfoNotFoundError):
                raise ValueError("the time zone is not known") from None
        return self

    @property
    def due_at(self) -> datetime | None:
        """The last second of the day."""
        if self.due_on is None:
            return None
        return datetime.combine(self.due_on, time(23, 59, 59), ZoneInfo(self.zone or "UTC"))


class InformationSent(_RequestStep):
    """What the payer asked for went out."""

    kind: Literal["information_sent"]
    on: Day
    channel: Channel
    sent: Text | None = None
    files: Files | None = None
    reference: Reference | None = None
    follow_up_on: Day | None = None


class PeerToPeer(_Step):
    """A talk between physicians: arranged for a day, or held on it and with this outcome."""

    kind: Literal["peer_to_peer"]
    on: Day
    outcome: Literal["scheduled"] | Outcome
    reference: Reference | None = None


class Determine(_RequestStep):
    """The payer answered. `valid_from` to `valid_to` and `units` are what it authorized."""

    kind: Literal["determine"]
    on: Day
    outcome: Outcome
    reason: Text | None = None
    authorization_number: Reference | None = None
    valid_from: Day | None = None
    valid_to: Day | None = None
    units: Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=3)] | None = None

    @model_validator(mode="after")
    def _span_is_in_order(self) -> Self:
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise ValueError("valid_to is before valid_from")
        return self


class Withdraw(_RequestStep):
    """The request is not followed up."""

    kind: Literal["withdraw"]
    reason: Text


class CorrectedClaimSent(_Step):
    """The claim went out again. `frequency_code` is CLM05-3: 7 replaces, 8 voids, 1 is a new claim."""

    kind: Literal["corrected_claim_sent"]
    on: Day
    channel: Channel = "edi_837"
    frequency_code: Literal["1", "7", "8"] = "7"
    reference: Reference | None = None
    follow_up_on: Day | None = None


class FollowUpScheduled(_Step):
    """Ask after it on a day."""

    kind: Literal["follow_up_scheduled"]
    on: Day


class FollowUpDone(_Step):
    """Somebody asked. While a request waits, the next day comes by itself unless `next_on` names it."""

    kind: Literal["follow_up_done"]
    on: Day
    outcome: Text
    next_on: Day | None = None


class Note(_Step):
    """Something worth keeping."""

    kind: Literal["note"]
    note: Text


class AddTag(_Step):
    kind: Literal["tag"]
    tag: Tag


class RemoveTag(_Step):
    kind: Literal["untag"]
    tag: Tag


class Assign(_Step):
    """The case is this person's. Billers take cases for themselves; supervisors and admins give them away."""

    kind: Literal["assign"]
    assignee_id: UUID


class Unassign(_Step):
    kind: Literal["unassign"]


class DocumentChecked(_Step):
    """A paper of the decision's `documents` is there; `document` names it as the decision does."""

    kind: Literal["document_checked"]
    document: Text


class DocumentUnchecked(_Step):
    kind: Literal["document_unchecked"]
    document: Text


class FileAttached(_Step):
    """
    A file came to the case, or is further papers of the checklist. Made by the route that takes its bytes.

    `sha256` is that of its content, in hex. Its name may name a patient, and is sealed elsewhere.
    """

    kind: Literal["file_attached"]
    file_id: UUID
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    media_type: Annotated[str, StringConstraints(max_length=100)]
    size_bytes: int = Field(gt=0)
    documents: tuple[Text, ...] = ()


class FileRemoved(_Step):
    """A file does not belong here: its bytes and its name are destroyed; that it was here stays."""

    kind: Literal["file_removed"]
    file_id: UUID
    reason: Text


class Close(_Step):
    """The case is over, for a reason. What ends in no money needs words."""

    kind: Literal["close"]
    reason: PeoplesReason

    @model_validator(mode="after")
    def _a_loss_is_explained(self) -> Self:
        if self.reason in {"written_off", "not_worth_pursuing"} and not self.note:
            raise ValueError("closing for this reason needs a note that says why")
        return self


class Reopen(_Step):
    kind: Literal["reopen"]
    note: Text


PeoplesStep = (
    Prepare
    | Submit
    | InformationRequested
    | InformationSent
    | PeerToPeer
    | Determine
    | Withdraw
    | CorrectedClaimSent
    | FollowUpScheduled
    | FollowUpDone
    | Note
    | AddTag
    | RemoveTag
    | Assign
    | Unassign
    | DocumentChecked
    | DocumentUnchecked
    | FileRemoved
    | Close
    | Reopen
)
AnyStep = Annotated[PeoplesStep, Field(discriminator="kind")]
"""A step as people tell it."""
Step = PeoplesStep | FileAttached
_adapter: TypeAdapter[Step] = TypeAdapter(Annotated[Step, Field(discriminator="kind")])


def read_step(body: str | bytes) -> Step:
    """Read a step as it was kept."""
    return _adapter.validate_json(body)


def write_step(step: Step) -> str:
    """Write a step as it is kept: as JSON, what was left out left out."""
    return step.model_dump_json(exclude_none=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """
    A step with who made it, and on what evidence: what the remittances said then (Standing.evidence).

    `number` counts the steps of `case_id` from 1. The case may since have become a part of another.
    """

    step_id: UUID
    case_id: UUID
    number: int
    step: Step
    evidence: UUID
    made_at: datetime
    made_by: UUID
    made_role: str


def in_order(steps: list[Made]) -> list[Made]:
    """Sort the steps of cases that turned out to be one: as they were made."""
    return sorted(steps, key=lambda one: (one.made_at, one.case_id, one.number))
