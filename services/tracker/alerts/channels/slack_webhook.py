"""
Slack by an incoming webhook: one message for each notification. The URL is the secret.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks: answers are 200 `ok`, else 400,
403, 404, 410 and 500 with a word; 429 with Retry-After; one message a second.
"""

import msgspec
from limits import RateLimitItemPerSecond

from services.tracker.alerts.channels.http import outcome_of
from services.tracker.alerts.channels.kind import Kind
from services.tracker.alerts.domain.notification import Destination, Notification
from services.tracker.alerts.domain.outcomes import Outcome, Rejected
from services.tracker.alerts.network import Network
from services.tracker.alerts.templates.slack import message
from shared.errors import InvalidInputError

_LINES_MAX = 20
_GONE = frozenset({404, 410})  # no_service, channel_not_found, channel_is_archived


class SlackWebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """There is nothing to set: the secret says where."""


def check(_settings: SlackWebhookSettings, _network: Network) -> None:
    return None


def check_secret(secret: str) -> str:
    """Give the URL, for the network to judge. Raises InvalidInputError for what is none."""
    if not secret.startswith(("https://", "http://")):
        raise InvalidInputError(
            "The secret of this kind is the URL of the webhook.",
            remedy="It begins with https://hooks.slack.com/services/.",
        )
    return secret


async def deliver(notification: Notification, destination: Destination, network: Network) -> Outcome:
    """POST one message."""
    if destination.secret is None:
        return Rejected(reason="without_secret")
    answer = await network.post(
        destination.secret.current,
        content=render(notification),
        headers={"Content-Type": "application/json; charset=utf-8"},
    )
    if answer.status in _GONE:
        return Rejected(reason=f"status_{answer.status}", status=answer.status, gone=True)
    return outcome_of(answer, hopeless=(400,))


def render(notification: Notification) -> bytes:
    """Write the message."""
    return msgspec.json.encode(message(notification, lines_max=_LINES_MAX))


KIND = Kind(SlackWebhookSettings, check, check_secret, deliver, render, RateLimitItemPerSecond(1))
