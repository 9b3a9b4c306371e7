"""What triage shows of policies, in force and through time, and what it takes to change them."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta
from pydantic import BaseModel, ConfigDict, Field

from services.triage.domain.policy import TEXT_CHARACTERS_MAX
from services.triage.domain.policy_file import ClockEntry, PolicyFile
from services.triage.store.policy_versions import PolicyVersion
from services.triage.store.reevaluations import Reevaluation
from shared.contracts.decision import Action, Category, EvidenceStrength, Route

Layer = Literal["reference", "installation", "organization"]
Reason = Annotated[str, Field(min_length=3, max_length=500, pattern=r"^[^\x00]+$")]


Instant = Annotated[datetime, Meta(tz=True)]


class ClockShown(msgspec.Struct, frozen=True, kw_only=True):
    """A time limit in short, e.g. 30 calendar_days from dos_last; no amount: see the policy."""

    kind: str
    label: str
    permitted: bool
    amount: int | None
    unit: str | None
    anchors: tuple[str, ...]


class PolicyShown(msgspec.Struct, frozen=True, kw_only=True):
    """
    A policy in force, in short.

    `layer` says where it comes from: shipped with Reprieve, published by the operator, or by the
    organization; `number` is its number there.
    """

    id: str
    version: str
    layer: Layer
    number: int | None
    status: str
    name: str
    default: bool
    payer_names: tuple[str, ...]
    effective_from: date | None
    effective_to: date | None
    clocks: tuple[ClockShown, ...]


class VersionShown(msgspec.Struct, frozen=True, kw_only=True):
    """
    One version of a policy as somebody wrote it.

    `status`: `reference` (shipped with Reprieve), `draft`, `published`, or `retired`. `digest` is the SHA-256
    of its content.
    """

    policy_id: str
    number: int
    layer: str
    status: str
    version: str
    name: str
    effective_from: date | None
    effective_to: date | None
    digest: str
    author: str
    author_role: str
    reason: str
    created_at: Instant
    published_by: str | None
    published_reason: str | None
    published_at: Instant | None
    retired_by: str | None
    retired_reason: str | None
    retired_at: Instant | None
    content: str | None = None
    reevaluations: int | None = None


class ReevaluationShown(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one organization's denials are looked at again for. `looked` and `changed` count denials.

    `state`: waiting, running, finished, or superseded by a later change of the same policy. `reason` is null
    for who may not read the versions of that organization.
    """

    organization_id: UUID
    reevaluation_id: UUID
    cause: str
    policy_id: str
    version: str
    number: int
    layer: str
    reason: str | None
    requested_at: Instant
    state: Literal["waiting", "running", "finished", "superseded"]
    looked: int
    changed: int
    finished_at: Instant | None


class PolicyList(msgspec.Struct, frozen=True):
    """The policies in force."""

    data: list[PolicyShown]


class PolicyHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force of one policy, as its file has it, and every version that the caller may see."""

    id: str
    versions: list[PolicyFile]
    history: list[VersionShown]


class ReevaluationList(msgspec.Struct, frozen=True):
    """What is, or was, decided again, the newest first."""

    data: list[ReevaluationShown]


class CodeShown(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a code says. `confidence` is how often a biller may trust it unread, 0 to 1.

    `refinable`: any authorization-defining remark beside it is more precise and wins; `refined_by`: these do.
    `human`: why a person must look even though the code is read. `depends`: falls with another denied line.
    """

    code: str
    category: Category
    why: str
    action: Action
    route: Route | None
    strength: EvidenceStrength
    confidence: float
    refinable: bool
    refined_by: tuple[str, ...]
    human: str | None
    depends: bool


class CodeList(msgspec.Struct, frozen=True, kw_only=True):
    """`supporting_remarks` are evidence beside a code, nothing by themselves: what each says."""

    reason_codes: list[CodeShown]
    remark_codes: list[CodeShown]
    supporting_remarks: dict[str, str]


class NewVersion(BaseModel):
    """
    A policy as its file has it.

    `based_on` is the highest number that you saw of it in your scope, 0 for none: who saw less than there is
    gets 409.
    """

    model_config = ConfigDict(extra="forbid")

    content: str = Field(min_length=1, max_length=TEXT_CHARACTERS_MAX)
    reason: Reason
    based_on: int = Field(ge=0)


class Change(BaseModel):
    """Why a version is put in force or taken out of it: the timelines of the cases that it changes say so."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


def in_short(file: PolicyFile, *, layer: Layer, number: int | None) -> PolicyShown:
    return PolicyShown(
        id=file.id,
        version=file.version,
        layer=layer,
        number=number,
        status=file.status,
        name=file.name,
        default=file.default,
        payer_names=file.match.names,
        effective_from=file.effective_from,
        effective_to=file.effective_to,
        clocks=tuple(map(_clock, file.clocks)),
    )


def _clock(entry: ClockEntry) -> ClockShown:
    return ClockShown(
        kind=entry.kind,
        label=entry.label,
        permitted=entry.permitted,
        amount=entry.amount,
        unit=entry.unit,
        anchors=entry.anchors,
    )


def version_view(
    version: PolicyVersion, *, content: bytes | None = None, reevaluations: int | None = None
) -> VersionShown:
    members = {
        name: getattr(version, name)
        for name in VersionShown.__struct_fields__
        if name not in {"digest", "content", "reevaluations"}
    }
    return VersionShown(
        **members,
        digest=version.digest.hex(),
        content=None if content is None else content.decode(),
        reevaluations=reevaluations,
    )


def reevaluation_view(one: Reevaluation, *, to_operator: bool) -> ReevaluationShown:
    names = [name for name in ReevaluationShown.__struct_fields__ if name not in {"reason", "state"}]
    state: Literal["waiting", "running", "finished", "superseded"] = (
        "waiting" if one.until_parcel is None else "running"
    )
    if one.finished_at is not None:
        whole = one.until_parcel is not None and one.after_parcel >= one.until_parcel
        state = "finished" if whole else "superseded"
    hidden = to_operator and one.layer == "organization"
    return ReevaluationShown(
        **{name: getattr(one, name) for name in names}, reason=None if hidden else one.reason, state=state
    )
