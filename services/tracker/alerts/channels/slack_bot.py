"""
Slack by a bot's token: one message for each group, updated in place; the lines stand in its thread.

https://docs.slack.dev/reference/methods/chat.postMessage, chat.update: 200 whatever happened, with `ok` and
`error`; 429 with Retry-After. `remote_ref` is `CHANNEL:TS`. Slack knows no key of ours, so a message of an
attempt whose process died may come twice: both carry the notification's id as `block_id` and in `metadata`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from limits import RateLimitItemPerSecond

from services.tracker.alerts.channels.http import outcome_of
from services.tracker.alerts.channels.kind import Kind
from services.tracker.alerts.domain.notification import Destination, Notification
from services.tracker.alerts.domain.outcomes import (
    Delivered,
    DestinationError,
    Outcome,
    Rejected,
    TryLater,
)
from services.tracker.alerts.network import Network
from services.tracker.alerts.templates.slack import message, sections
from shared.errors import InvalidInputError

_LINES_MAX = 5
_THREAD_LINES_MAX = 100

_GONE = frozenset({"account_inactive", "token_revoked", "is_archived", "channel_not_found"})
_HOPELESS = frozenset(
    {
        "invalid_blocks",
        "invalid_blocks_format",
        "msg_too_long",
        "no_text",
        "invalid_arguments",
        "too_many_blocks",
    }
)
_NOT_THERE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"})


class SlackBotSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`channel` is an id (C…) or a name with #. `api_url` is another one for GovSlack."""

    channel: str
    api_url: str = "https://slack.com/api"


class _Answered(msgspec.Struct, frozen=True):
    ok: bool = False
    error: str | None = None
    channel: str | None = None
    ts: str | None = None


_read = msgspec.json.Decoder(_Answered).decode


def check(settings: SlackBotSettings, network: Network) -> tuple[str, int]:
    """Give the host and port behind the settings. Raises InvalidInputError for no channel, or no address."""
    if not settings.channel.strip():
        raise InvalidInputError(
            "A channel's id is needed.", remedy="It begins with C, in its details in Slack."
        )
    url = network.check_url(settings.api_url)
    return url.host, url.port or 443


def check_secret(secret: str) -> None:
    """Raise InvalidInputError for what is no bot's token."""
    if not secret.startswith("xoxb-") or not secret.isascii() or not secret.isprintable():
        raise InvalidInputError(
            "The secret of this kind is a bot's token.",
            remedy="It begins with xoxb-; its scope is chat:write.",
        )


async def deliver(notification: Notification, destination: Destination, network: Network) -> Outcome:
    """Post or update the group's message, then say the lines in its thread."""
    settings, secret = destination.settings, destination.secret
    if not isinstance(settings, SlackBotSettings) or secret is None:
        return Rejected(reason="without_secret")
    slack = _Slack(settings.api_url.rstrip("/"), secret.current, network)
    main = {**_main(notification), "channel": settings.channel}
    made = await _post_or_update(slack, main, notification.remote_ref or notification.group_ref)
    if not isinstance(made, Delivered) or made.remote_ref is None or not _has_details(notification):
        return made
    channel, _, ts = made.remote_ref.partition(":")
    try:
        said = await slack.call(
            "chat.postMessage", {"channel": channel, "thread_ts": ts, **_details(notification)}
        )
    except DestinationError as error:
        said = TryLater(reason=error.message)
    # The message stands: what is left to say in the thread is tried again without another message.
    return _in_place(said, made.remote_ref)


def _in_place(said: Outcome, remote_ref: str) -> Outcome:
    """Keep the message's place, whatever became of the thread."""
    if isinstance(said, TryLater):
        return TryLater(
            reason=said.reason, status=said.status, after_seconds=said.after_seconds, remote_ref=remote_ref
        )
    if isinstance(said, Rejected) and said.gone:
        return said
    return Delivered(status=said.status, remote_ref=remote_ref)


async def _post_or_update(slack: "_Slack", main: Mapping[str, Any], known: str | None) -> Outcome:
    if known is not None:
        channel, _, ts = known.partition(":")
        updated = await slack.call("chat.update", {**main, "channel": channel, "ts": ts})
        # Deleted, too old to edit, or in a channel that was left meanwhile: it is posted anew.
        if not isinstance(updated, Rejected) or updated.reason in _HOPELESS:
            return updated
    return await slack.call("chat.postMessage", main)


class _Slack:
    def __init__(self, api_url: str, token: str, network: Network) -> None:
        self._api_url, self._token, self._network = api_url, token, network

    async def call(self, method: str, asked: Mapping[str, Any]) -> Outcome:
        answer = await self._network.post(
            f"{self._api_url}/{method}",
            content=msgspec.json.encode(asked),
            headers={
                "Content-Type": "application/json; charset=utf-8",
                "Authorization": f"Bearer {self._token}",
            },
        )
        outcome = outcome_of(answer, hopeless=())
        if not isinstance(outcome, Delivered):
            return outcome
        try:
            answered = _read(answer.body)
        except msgspec.MsgspecError:
            return TryLater(reason="answer_unreadable", status=answer.status)
        if answered.ok:
            return Delivered(status=answer.status, remote_ref=f"{answered.channel}:{answered.ts}")
        return _failure(answered.error or "unknown", answer.status, answer.retry_after_seconds)


def _failure(error: str, status: int, after_seconds: float | None) -> Outcome:
    """Read Slack's word. A token or an invitation can be mended within the days of trying."""
    word = error if error.isascii() and error.replace("_", "").isalnum() else "unknown"
    if word in _GONE:
        return Rejected(reason=word[:60], status=status, gone=True)
    if word in _HOPELESS or word in _NOT_THERE:
        return Rejected(reason=word[:60], status=status)
    return TryLater(reason=word[:60], status=status, after_seconds=after_seconds)


def _main(notification: Notification) -> dict[str, Any]:
    return {
        **message(notification, lines_max=_LINES_MAX),
        "unfurl_links": False,
        "metadata": {
            "event_type": "reprieve_alert",
            "event_payload": {
                "notification_id": str(notification.notification_id),
                "dedup_key": notification.dedup_key,
            },
        },
    }


def _has_details(notification: Notification) -> bool:
    """
    Tell whether the thread has something to say: lines that the message has no room for, or that it changed.

    Slack tells nobody of a message that was updated in place; whoever follows its thread hears of this.
    """
    lines = len(notification.content.lines)
    return lines > _LINES_MAX or (lines > 0 and notification.group_ref is not None)


def _details(notification: Notification) -> dict[str, Any]:
    blocks = sections(notification, lines_max=_THREAD_LINES_MAX)
    blocks[0]["block_id"] = str(notification.notification_id)
    return {"text": f"{notification.kind}: {len(notification.content.lines)}", "blocks": blocks}


def render(notification: Notification) -> bytes:
    """Write the message and what is said in its thread, as the contract test wants to see them."""
    said = _details(notification) if notification.content.lines else None
    return msgspec.json.encode([_main(notification), said])


# Two calls each, and a channel takes one message a second.
KIND = Kind(SlackBotSettings, check, check_secret, deliver, render, RateLimitItemPerSecond(1, 2))
