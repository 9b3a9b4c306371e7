"""
Generic webhooks, signed by the scheme of Standard Webhooks: thin, and the same bytes over all tries.

The receiver looks up what it wants to know over the API: the body has ids, counts and dollars. `webhook-id`
is the notification's id, so that a receiver drops what came twice. Two signatures stand in the header after a
rotation, until the next one. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import os
from typing import Any

import msgspec
from limits import RateLimitItemPerMinute
from standardwebhooks import Webhook

from services.tracker.alerts.channels.http import outcome_of
from services.tracker.alerts.channels.kind import Kind
from services.tracker.alerts.domain.content import Content
from services.tracker.alerts.domain.notification import Destination, Notification, Secret
from services.tracker.alerts.domain.outcomes import Outcome, Rejected
from services.tracker.alerts.domain.wording import link_of
from services.tracker.alerts.network import Network
from shared import clock
from shared.errors import InvalidInputError

BODY_BYTES_MAX = 20_000
"""The specification's advice: payloads below 20 kB."""

_LINES_MAX = 40
_SECRET_BYTES = 32
_SECRET_BYTES_MIN, _SECRET_BYTES_MAX = 24, 64
_GONE = 410


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url` is https, or http where the operator allows the host."""

    url: str


def check(settings: WebhookSettings, network: Network) -> tuple[str, int]:
    """Give the host and port behind the settings. Raises InvalidInputError for what can be no destination."""
    url = network.check_url(settings.url)
    return url.host, url.port or 443


def check_secret(secret: str) -> None:
    """Raise InvalidInputError unless it is `whsec_` and the base64 of 24 to 64 bytes."""
    try:
        size = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        size = 0
    if not (secret.startswith("whsec_") and _SECRET_BYTES_MIN <= size <= _SECRET_BYTES_MAX):
        raise InvalidInputError(
            "A signing secret is `whsec_` and the base64 of 24 to 64 bytes.",
            remedy="Leave it out: one is made, and shown this once.",
        )


def make_secret() -> str:
    return "whsec_" + base64.b64encode(os.urandom(_SECRET_BYTES)).decode()


async def deliver(notification: Notification, destination: Destination, network: Network) -> Outcome:
    """POST it. Any 2xx is a receipt, 410 ends the channel, a redirect is refused, the rest is tried again."""
    settings, secret = destination.settings, destination.secret
    if not isinstance(settings, WebhookSettings) or secret is None:
        return Rejected(reason="without_secret")
    body = render(notification)
    answer = await network.post(settings.url, content=body, headers=sign(notification, body, secret))
    if answer.status == _GONE:
        return Rejected(reason="gone", status=_GONE, gone=True)
    return outcome_of(answer, hopeless=())


def render(notification: Notification) -> bytes:
    """Write the body: `type`, `timestamp` and `data`, as the specification has it."""
    content = notification.content
    return msgspec.json.Encoder(decimal_format="string").encode(
        {
            "type": f"alert.{notification.kind}",
            "timestamp": notification.created_at.isoformat().replace("+00:00", "Z"),
            "data": {
                "organization_id": notification.organization_id,
                "notification_id": notification.notification_id,
                "dedup_key": notification.dedup_key,
                "severity": notification.severity,
                "rule": content.rule,
                "title": content.title[:500],
                "runbook": notification.runbook,
                "link": content.link,
                "acknowledged": content.acknowledged,
                "count": content.totals.count,
                "amount": content.totals.amount,
                "items": _items(content),
            },
        }
    )


def _items(content: Content) -> list[dict[str, Any]]:
    """Give the first cases, each in at most a few hundred bytes; the count tells of the others."""
    return [
        {
            "case_id": line.case_id,
            "label": line.label and line.label[:200],
            "payer": line.payer and line.payer[:80],
            "category": line.category and line.category[:60],
            "amount": line.amount,
            "days_left": line.days_left,
            "deadline_on": line.deadline_on,
            "zone": line.zone,
            "link": link_of(line.link),
        }
        for line in content.lines[:_LINES_MAX]
    ]


def sign(notification: Notification, body: bytes, secret: Secret) -> dict[str, str]:
    """Make the headers. The time is that of this try: receivers refuse what is older than five minutes."""
    at = clock.now()
    message_id = str(notification.notification_id)
    signatures = [
        Webhook(one).sign(message_id, at, body.decode()) for one in (secret.current, secret.previous) if one
    ]
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
        "webhook-attempt": str(notification.attempt),
    }


KIND = Kind(
    WebhookSettings,
    check,
    check_secret,
    deliver,
    render,
    RateLimitItemPerMinute(600),
    make_secret=make_secret,
)
