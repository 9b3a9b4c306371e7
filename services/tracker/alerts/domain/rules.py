"""
The rules of an organization: what is worth an alert, as data.

A kind of rule is one class here and one entry of KINDS; its page in docs/runbooks/ has the same name. Each
class says when a reason stands; `judging.py` applies those about cases.
"""

from datetime import time
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)

from services.tracker.alerts.domain.content import Severity

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error", "critical")
"""From the mildest."""

BusinessDays = Annotated[int, Field(ge=0, le=60)]
Dollars = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=2)]


def _of_no_zone(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("an hour of the day has no zone of its own")
    return value


Hour = Annotated[
    time,
    AfterValidator(_of_no_zone),
    # Not the format `time` of JSON Schema: that one has an offset.
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?$",
            "examples": ["08:00"],
        }
    ),
]
"""A time of the day, in whatever zone its neighbours say."""
Word = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")]


NAMED_MAX = 500
"""Payers, cases … in one list: every look at every organization goes through all of them."""


class Part(BaseModel):
    """A part of what people edit: unknown names are mistakes."""

    # Described once, as it is sent: a generator would make two classes of one name of a second description.
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_mode_override="validation")


class Tier(Part):
    """So many business days, or hours, before an end; the severity that it has from there on."""

    business_days: BusinessDays | None = None
    hours: Annotated[int, Field(ge=1, le=168)] | None = None
    severity: Severity

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.business_days is None) == (self.hours is None):
            raise ValueError("a tier has either `business_days` or `hours`")
        return self

    @property
    def name(self) -> str:
        return f"{self.hours}h" if self.hours is not None else f"{self.business_days}bd"


def _tiers(*days: tuple[int, Severity]) -> tuple[Tier, ...]:
    return tuple(Tier(business_days=number, severity=severity) for number, severity in days)


Tiers = Annotated[tuple[Tier, ...], Field(min_length=1, max_length=8)]


class NewCase(Part):
    """A case younger than `hours` with so much at stake, or with so little time left."""

    kind: Literal["new_case"] = "new_case"
    amount_at_least: Dollars | None = Decimal(10_000)
    business_days_left: BusinessDays | None = 3
    hours: Annotated[int, Field(ge=1, le=168)] = 24
    severity: Severity = "warning"


class Clock(Part):
    """A deadline comes closer; each tier that is reached replaces the one before it."""

    kind: Literal["clock"] = "clock"
    tiers: Tiers = _tiers((10, "info"), (5, "warning"), (2, "error"), (1, "critical"))


class DeadlineMissed(Part):
    """A deadline passed while it was our turn; told for so many business days."""

    kind: Literal["deadline_missed"] = "deadline_missed"
    business_days: BusinessDays = 5
    severity: Severity = "error"


class FollowUp(Part):
    """A follow-up is due today, or was so many business days ago."""

    kind: Literal["follow_up"] = "follow_up"
    severity: Severity = "info"
    overdue_business_days: BusinessDays = 2
    overdue_severity: Severity = "warning"


class InformationRequest(Part):
    """The payer asked for something, and the time to send it runs out."""

    kind: Literal["information_request"] = "information_request"
    tiers: Tiers = _tiers((5, "info"), (2, "warning"), (1, "error"))


class Unowned(Part):
    """Nobody owns a case for so many hours, and its deadline is near."""

    kind: Literal["unowned"] = "unowned"
    hours: Annotated[int, Field(ge=0, le=720)] = 24
    business_days_left: BusinessDays = 5
    severity: Severity = "warning"


class DenialJump(Part):
    """
    Denials of a payer × category × service are more than their own history lets expect (jumps.py).

    `false_share`: among the jumps told, the share that may be chance; also how probable any is at all in a
    comparison in which nothing changed.
    """

    kind: Literal["denial_jump"] = "denial_jump"
    recent_days: Annotated[int, Field(ge=1, le=28)] = 7
    history_weeks: Annotated[int, Field(ge=4, le=52)] = 8
    false_share: Annotated[float, Field(gt=0, le=0.2)] = 0.01
    severity: Severity = "warning"


class Pipeline(Part):
    """A figure of the installation is above `above`, for at least `for_seconds`."""

    kind: Literal[
        "silent_feed",
        "silent_process",
        "quarantined_claims",
        "dead_letters",
        "unsettled_events",
        "consumer_lag",
        "reconciliation_failed",
        "channel_failing",
    ]
    above: Annotated[float, Field(ge=0)] = 0
    for_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    severity: Severity = "error"


class MorningDigest(Part):
    """A team's summary at an hour of its working days, in its zone (else the organization's)."""

    kind: Literal["morning_digest"] = "morning_digest"
    at: Hour = time(8)
    zone: Annotated[str, Field(max_length=64)] | None = None
    weekdays: Annotated[tuple[Annotated[int, Field(ge=0, le=6)], ...], Field(max_length=7)] | None = None


CaseSettings = NewCase | Clock | DeadlineMissed | FollowUp | InformationRequest | Unowned
Settings = Annotated[CaseSettings | DenialJump | Pipeline | MorningDigest, Field(discriminator="kind")]
_settings: TypeAdapter[Any] = TypeAdapter(Settings)


def read_settings(stored: bytes | str) -> Any:
    """Read the settings of a rule as one of the classes above."""
    return _settings.validate_json(stored)


class Only(Part):
    """Whom a rule is about; empty is everybody. Payers by id or name, whole, in any case of letters."""

    payers: Annotated[tuple[Word, ...], Field(max_length=NAMED_MAX)] = ()
    categories: Annotated[tuple[Word, ...], Field(max_length=NAMED_MAX)] = ()
    amount_at_least: Dollars | None = None


class Rule(Part):
    """A rule as it stands; `version` rises with every change."""

    rule_id: UUID
    name: Word
    settings: Settings
    only: Only = Only()
    enabled: bool = True
    version: int = 1


class Kind(NamedTuple):
    """What alerts of a kind are called, one and many, and whom the kind is about."""

    one: str
    many: str
    about: Literal["cases", "patterns", "pipeline", "digests"]


KINDS: dict[str, Kind] = {
    "new_case": Kind("new case that stands out", "new cases that stand out", "cases"),
    "clock": Kind("case close to its deadline", "cases close to their deadline", "cases"),
    "deadline_missed": Kind("deadline missed", "deadlines missed", "cases"),
    "follow_up": Kind("follow-up due", "follow-ups due", "cases"),
    "information_request": Kind(
        "request for information runs out", "requests for information run out", "cases"
    ),
    "unowned": Kind("case that nobody owns", "cases that nobody owns", "cases"),
    "denial_jump": Kind("jump in denials", "jumps in denials", "patterns"),
    "silent_feed": Kind("feed is silent", "feeds are silent", "pipeline"),
    "silent_process": Kind("process does not answer", "processes do not answer", "pipeline"),
    "quarantined_claims": Kind("claims in quarantine", "claims in quarantine", "pipeline"),
    "dead_letters": Kind("topic lays messages aside", "topics lay messages aside", "pipeline"),
    "unsettled_events": Kind("outbox with unsettled events", "outboxes with unsettled events", "pipeline"),
    "consumer_lag": Kind("consumer falls behind", "consumers fall behind", "pipeline"),
    "reconciliation_failed": Kind("reconciliation failed", "reconciliations failed", "pipeline"),
    "channel_failing": Kind("alert channel fails", "alert channels fail", "pipeline"),
    "morning_digest": Kind("morning summary", "morning summaries", "digests"),
}
"""By kind; the same names are those of the pages in docs/runbooks/."""

PIPELINE_KINDS: tuple[str, ...] = get_args(Pipeline.model_fields["kind"].annotation)
CASE_KINDS = tuple(name for name, kind in KINDS.items() if kind.about == "cases")


def rank(severity: Severity) -> int:
    """Number a severity, higher is worse."""
    return SEVERITIES.index(severity)
