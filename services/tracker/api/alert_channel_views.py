"""What the API shows of channels, notifications and attempts: never a secret but the one just made."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema

from services.tracker.alerts.channels.kinds import KINDS
from services.tracker.alerts.domain.content import Kind, Severity
from services.tracker.alerts.store.channels import Channel
from services.tracker.alerts.store.notifications import NotificationState
from services.tracker.api.views import View


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"one of {', '.join(KINDS)}")
    return kind


ChannelKind = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": [*KINDS]})]
_Name = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
_Secret = Field(default=None, min_length=1, max_length=2000, repr=False)
_Rate = Field(default=None, ge=1, le=10_000, description="Messages a minute; null: what the vendor takes.")


class NewChannel(BaseModel):
    """`settings` and `secret` are those of the kind (docs/alert-channels.md); a webhook may have one made."""

    model_config = ConfigDict(extra="forbid")

    name: str = _Name
    kind: ChannelKind
    settings: dict[str, Any] = Field(default_factory=dict)
    secret: str | None = _Secret
    rate_per_minute: int | None = _Rate


class ChannelChanges(BaseModel):
    """What is named is changed; `settings` are replaced as a whole."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
    settings: dict[str, Any] | None = None
    rate_per_minute: int | None = _Rate


class NewSecret(BaseModel):
    """
    `secret` is left out where it is made here. The one before it goes on working beside it (a webhook is
    signed twice, an open incident resolved with its own key) unless `keep_previous` is false.
    """

    model_config = ConfigDict(extra="forbid")

    secret: str | None = _Secret
    keep_previous: bool = True


class ChannelView(View):
    """
    A channel. `failures` are those in a row since `failing_since`, `last_failure` is the last one's code;
    nothing is tried before `paused_until`. `disabled_reason`: gone, failed_too_long, or switched_off.
    """

    channel_id: UUID
    name: str
    kind: ChannelKind
    settings: dict[str, Any]
    rate_per_minute: int | None
    state: Literal["active", "disabled"]
    disabled_reason: str | None
    has_previous_secret: bool
    failures: int
    failing_since: AwareDatetime | None
    last_failure: str | None
    paused_until: AwareDatetime | None
    delivered_at: AwareDatetime | None
    created_at: AwareDatetime
    changed_at: AwareDatetime


class ChannelWithSecret(ChannelView):
    """`secret` is shown to who had it made, this once."""

    secret: str | None = None


class ChannelList(View):
    data: list[ChannelView]


class AttemptView(View):
    """An attempt. A number that is missing is one whose process died; another followed."""

    notification_id: UUID | None = None
    attempt: int
    begun_at: AwareDatetime
    ended_at: AwareDatetime
    outcome: Literal["delivered", "try_later", "rejected"]
    status: int | None
    reason: str | None


class AttemptList(View):
    data: list[AttemptView]


class NotificationView(View):
    """A notification; `dedup_key` is that of its group, `last_outcome` the code of the last attempt."""

    notification_id: UUID
    kind: Kind
    severity: Severity
    title: str
    dedup_key: str
    state: NotificationState
    due_at: AwareDatetime
    attempts: int
    last_outcome: str | None
    created_at: AwareDatetime
    sent_at: AwareDatetime | None


class NotificationDetail(NotificationView):
    tries: list[AttemptView]


class NotificationPage(View):
    data: list[NotificationView]
    has_more: bool
    next_cursor: str | None


def channel_view(channel: Channel, *, has_previous_secret: bool) -> ChannelView:
    shown = {name: getattr(channel, name) for name in ChannelView.model_fields if hasattr(channel, name)}
    return ChannelView(**shown, has_previous_secret=has_previous_secret)
