"""
PagerDuty's Events API v2: trigger, acknowledge and resolve under one dedup_key for each group.

Digests and tests are change events: they page nobody. An incident is resolved with the routing key that
triggered it, whichever is current by then: `remote_ref` is the fingerprint of that key.
https://github.com/PagerDuty/developer-docs/tree/main/docs/events-API-v2: summary 1,024 characters, dedup_key
255, 512 KB; 429 above some 120 events a minute and key, to be tried again after minutes.
"""

import hashlib
from typing import Any

import msgspec
from limits import RateLimitItemPerMinute

from services.tracker.alerts.channels.http import outcome_of
from services.tracker.alerts.channels.kind import Kind
from services.tracker.alerts.domain.content import Content
from services.tracker.alerts.domain.notification import Destination, Notification, Secret
from services.tracker.alerts.domain.outcomes import Delivered, Outcome, Rejected, TryLater
from services.tracker.alerts.domain.wording import (
    cut,
    describe,
    headline,
    link_of,
    not_shown,
    one_line,
)
from services.tracker.alerts.network import Network
from shared.errors import InvalidInputError

SUMMARY_CHARACTERS_MAX = 1024
_LINES_MAX = 50
_CHANGES = frozenset({"digest", "test"})
_TOO_MANY = 429
_PATIENT_SECONDS = 60.0
_KEY_CHARACTERS = 32


class PagerDutySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`api_url` is https://events.eu.pagerduty.com in the EU service region."""

    api_url: str = "https://events.pagerduty.com"


def check(settings: PagerDutySettings, network: Network) -> tuple[str, int]:
    """Give the host and port behind the settings."""
    url = network.check_url(settings.api_url)
    return url.host, url.port or 443


def check_secret(secret: str) -> None:
    """Raise InvalidInputError for what is no routing key."""
    if len(secret) != _KEY_CHARACTERS or not secret.isascii() or not secret.isalnum():
        raise InvalidInputError(
            "The secret of this kind is an integration key of 32 letters and digits.",
            remedy="It is in the service's Integrations, as Events API v2.",
        )


async def deliver(notification: Notification, destination: Destination, network: Network) -> Outcome:
    """Send one event."""
    settings, secret = destination.settings, destination.secret
    if not isinstance(settings, PagerDutySettings) or secret is None:
        return Rejected(reason="without_secret")
    key = _key(secret, notification.group_ref)
    path = "/v2/change/enqueue" if notification.kind in _CHANGES else "/v2/enqueue"
    answer = await network.post(
        settings.api_url.rstrip("/") + path,
        content=msgspec.json.encode({"routing_key": key, **event(notification)}),
        headers={"Content-Type": "application/json"},
    )
    outcome = outcome_of(answer, hopeless=(400, 413))
    if isinstance(outcome, Delivered):
        return Delivered(
            status=outcome.status, remote_ref=None if notification.kind in _CHANGES else _print(key)
        )
    if isinstance(outcome, TryLater) and answer.status == _TOO_MANY and outcome.after_seconds is None:
        return TryLater(reason=outcome.reason, status=_TOO_MANY, after_seconds=_PATIENT_SECONDS)
    return outcome


def _key(secret: Secret, told_with: str | None) -> str:
    """Choose the routing key that the group's incident was triggered with, as far as it is known still."""
    if secret.previous is not None and told_with == _print(secret.previous):
        return secret.previous
    return secret.current


def _print(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def event(notification: Notification) -> dict[str, Any]:
    """Write an event, without the routing key."""
    content = notification.content
    links = _links(notification)
    if notification.kind in _CHANGES:
        return {
            "payload": {
                "summary": _summary(notification),
                "source": "reprieve",
                "timestamp": notification.created_at.isoformat(),
                "custom_details": _details(content, notification),
            },
            "links": links,
        }
    if notification.kind == "resolved":
        return {"event_action": "resolve", "dedup_key": notification.dedup_key}
    return {
        "event_action": "acknowledge" if content.acknowledged else "trigger",
        "dedup_key": notification.dedup_key,
        "client": "Reprieve",
        **({"client_url": link} if (link := link_of(content.link)) else {}),
        "links": links,
        "payload": {
            "summary": _summary(notification),
            "source": "reprieve",
            "severity": notification.severity,
            "timestamp": notification.created_at.isoformat(),
            "class": one_line(content.rule),
            "custom_details": _details(content, notification),
        },
    }


def _summary(notification: Notification) -> str:
    return cut(headline(notification.content, notification.kind, "info"), SUMMARY_CHARACTERS_MAX)


def _details(content: Content, notification: Notification) -> dict[str, Any]:
    shown = content.lines[:_LINES_MAX]
    return {
        "items": [" ".join((cut(describe(line), 600), link_of(line.link) or "")).strip() for line in shown],
        "not_shown": not_shown(content, len(shown)),
        "runbook": notification.runbook,
        "notification_id": str(notification.notification_id),
    }


def _links(notification: Notification) -> list[dict[str, str]]:
    wanted = {"Open": notification.content.link, "What to do": notification.runbook}
    return [{"href": link, "text": text} for text, url in wanted.items() if (link := link_of(url))]


def render(notification: Notification) -> bytes:
    """Write the event as the contract test wants to see it."""
    return msgspec.json.encode(event(notification))


KIND = Kind(PagerDutySettings, check, check_secret, deliver, render, RateLimitItemPerMinute(100))
