"""Channels: where an organization is told things, with which sealed secret, and how that goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.notification import Secret
from shared.errors import ConflictError, NotFoundError
from shared.security.sealing import MasterKey

State = Literal["active", "disabled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """
    A channel. `failures` counts those in a row since `failing_since`; nothing is tried before `paused_until`.

    `settings` are those of its kind and hold no secret.
    """

    organization_id: UUID
    channel_id: UUID
    name: str
    kind: str
    settings: Mapping[str, Any]
    sealed_secret: bytes | None = field(repr=False)
    rate_per_minute: int | None
    state: State
    disabled_reason: str | None
    failures: int
    failing_since: datetime | None
    last_failure: str | None
    paused_until: datetime | None
    delivered_at: datetime | None
    created_at: datetime
    changed_at: datetime

    def secret(self, master_key: MasterKey) -> Secret | None:
        """Open the secret. Raises InvalidInputError when the master key is another one."""
        if self.sealed_secret is None:
            return None
        context = channel_secret_context(self.organization_id, self.channel_id)
        return _decode_secret(master_key.unwrap(self.sealed_secret, context=context))


def channel_secret_context(organization_id: UUID, channel_id: UUID) -> bytes:
    """Bind a wrapped secret to its channel."""
    return b"reprieve channel secret " + organization_id.bytes + channel_id.bytes


def seal_secret(master_key: MasterKey, secret: Secret, *, organization_id: UUID, channel_id: UUID) -> bytes:
    """
    Wrap a secret by the master key, as those of feeds are.

    Keys of months are destroyed with their month, and a channel outlives many.
    """
    return master_key.wrap(
        msgspec.json.encode(secret), context=channel_secret_context(organization_id, channel_id)
    )


_decode_secret = msgspec.json.Decoder(Secret).decode

_COLUMNS = """organization_id, channel_id, name, kind, settings, sealed_secret, rate_per_minute, state,
    disabled_reason, failures, failing_since, last_failure, paused_until, delivered_at, created_at,
    changed_at"""
_ADD = text("""
    insert into tracker.channels
        (organization_id, channel_id, name, kind, settings, sealed_secret, rate_per_minute)
    values (:organization_id, :channel_id, :name, :kind, cast(:settings as jsonb), :sealed_secret,
        :rate_per_minute)
    on conflict do nothing returning channel_id
""")
_LIST = text(f"select {_COLUMNS} from tracker.channels order by name")
_GET = text(f"select {_COLUMNS} from tracker.channels where channel_id = :channel_id")
_HOLD = text(f"select {_COLUMNS} from tracker.channels where channel_id = :channel_id for update")
_NAMED = text("select 1 from tracker.channels where name = :name and channel_id <> :channel_id")
_CHANGE = text("""
    update tracker.channels set name = :name, settings = cast(:settings as jsonb),
        rate_per_minute = :rate_per_minute, changed_at = now()
    where channel_id = :channel_id
""")
_SET_SECRET = text("""
    update tracker.channels set sealed_secret = :sealed_secret, changed_at = now(), paused_until = null
    where channel_id = :channel_id
""")
_ENABLE = text("""
    update tracker.channels set state = 'active', disabled_reason = null, failures = 0, failing_since = null,
        last_failure = null, paused_until = null, changed_at = now()
    where channel_id = :channel_id
""")
_DISABLE = text("""
    update tracker.channels set state = 'disabled', disabled_reason = :reason, changed_at = now()
    where channel_id = :channel_id
""")
_WENT_WELL = text("""
    update tracker.channels set delivered_at = now(), failures = 0, failing_since = null, last_failure = null,
        paused_until = null
    where channel_id = :channel_id
""")
_FAILED = text("""
    update tracker.channels set failures = failures + 1, failing_since = coalesce(failing_since, now()),
        last_failure = :reason, paused_until = :paused_until
    where channel_id = :channel_id
""")


async def add_channel(
    connection: AsyncConnection,
    *,
    organization_id: UUID,
    channel_id: UUID,
    name: str,
    kind: str,
    settings: Mapping[str, Any],
    sealed_secret: bytes | None,
    rate_per_minute: int | None,
) -> bool:
    """Add a channel; False when its id or its name is there already."""
    added = await connection.scalar(
        _ADD,
        {
            "organization_id": organization_id,
            "channel_id": channel_id,
            "name": name,
            "kind": kind,
            "settings": msgspec.json.encode(settings).decode(),
            "sealed_secret": sealed_secret,
            "rate_per_minute": rate_per_minute,
        },
    )
    return added is not None


CHANNELS_MAX = 100
"""Of one organization: each that is due has a task, and looks its name up."""


async def list_channels(connection: AsyncConnection) -> list[Channel]:
    """Give the channels of the organization in scope."""
    return [_read(row) for row in await connection.execute(_LIST)]


async def get_channel(connection: AsyncConnection, channel_id: UUID, *, hold: bool = False) -> Channel:
    """
    Give a channel; `hold` keeps it as it is until the transaction ends.

    Raises NotFoundError for an unknown one.
    """
    row = (await connection.execute(_HOLD if hold else _GET, {"channel_id": channel_id})).one_or_none()
    if row is None:
        raise NotFoundError(
            "There is no such channel.", remedy="`GET /v1/alerts/channels` lists those of your organization."
        )
    return _read(row)


async def change_channel(
    connection: AsyncConnection,
    channel_id: UUID,
    *,
    name: str,
    settings: Mapping[str, Any],
    rate_per_minute: int | None,
) -> None:
    """Change what is given. Raises ConflictError for a name that another channel has."""
    if await connection.scalar(_NAMED, {"name": name, "channel_id": channel_id}) is not None:
        raise name_taken()
    await connection.execute(
        _CHANGE,
        {
            "channel_id": channel_id,
            "name": name,
            "settings": msgspec.json.encode(settings).decode(),
            "rate_per_minute": rate_per_minute,
        },
    )


def name_taken() -> ConflictError:
    return ConflictError(
        "Another channel has this name.", remedy="Choose another name, or change that channel."
    )


async def set_sealed_secret(connection: AsyncConnection, channel_id: UUID, sealed_secret: bytes) -> None:
    await connection.execute(_SET_SECRET, {"channel_id": channel_id, "sealed_secret": sealed_secret})


async def enable_channel(connection: AsyncConnection, channel_id: UUID) -> None:
    """Let a channel begin anew, its failures forgotten."""
    await connection.execute(_ENABLE, {"channel_id": channel_id})


async def disable_channel(connection: AsyncConnection, channel_id: UUID, *, reason: str) -> None:
    """Stop a channel; `reason` is shown."""
    await connection.execute(_DISABLE, {"channel_id": channel_id, "reason": reason})


async def channel_went_well(connection: AsyncConnection, channel_id: UUID) -> None:
    await connection.execute(_WENT_WELL, {"channel_id": channel_id})


async def channel_failed(
    connection: AsyncConnection, channel_id: UUID, *, reason: str, paused_until: datetime | None
) -> None:
    await connection.execute(
        _FAILED, {"channel_id": channel_id, "reason": reason, "paused_until": paused_until}
    )


def _read(row: Any) -> Channel:
    found = dict(row._mapping)  # noqa: SLF001  SQLAlchemy's public name for it
    for key in ("organization_id", "channel_id"):
        found[key] = UUID(bytes=found[key].bytes)
    if isinstance(found["settings"], str):
        found["settings"] = msgspec.json.decode(found["settings"])
    return Channel(**found)
