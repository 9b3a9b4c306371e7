"""What the delivery loop hands to a channel."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec

from services.tracker.alerts.domain.content import Content, Kind, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """
    One thing to tell over one channel. `notification_id` is its stable key over all tries of it, `dedup_key`
    that of its group.

    `attempt` counts from 1. `remote_ref` is what the channel made of this notification in an earlier try,
    `group_ref` of an earlier one of the group; `runbook` is the address of the page that says what to do.
    """

    organization_id: UUID
    channel_id: UUID
    notification_id: UUID
    dedup_key: str
    kind: Kind
    severity: Severity
    content: Content
    created_at: datetime
    attempt: int = 1
    remote_ref: str | None = None
    group_ref: str | None = None
    runbook: str | None = None


class Secret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What a channel keeps sealed: a signing secret, token, routing key, password, or a URL that is one.

    `previous` is the one before the last rotation, `rotation` names the request that made the current one.
    """

    current: str
    previous: str | None = None
    rotation: str | None = None

    def __repr__(self) -> str:
        return "<Secret>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A channel as its module sees it: `settings` are of the module's own type."""

    name: str
    settings: msgspec.Struct
    secret: Secret | None = field(repr=False)
