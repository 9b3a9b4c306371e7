"""Every kind of channel: one module and one line each."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond

from services.tracker.alerts.channels import email, pagerduty, slack_bot, slack_webhook, webhook
from services.tracker.alerts.domain.notification import Destination, Notification
from services.tracker.alerts.domain.outcomes import Outcome
from services.tracker.alerts.network import Network


@dataclass(frozen=True, slots=True)
class Kind:
    """
    `check` gives host and port of valid settings; `check_secret` judges a secret and gives the URL that it
    is, if it is one; `make_secret` makes one where it is ours to make. `render` shows what would be sent;
    `rate` is what the vendor takes of one destination.
    """

    settings: type[msgspec.Struct]
    check: Callable[[Any, Network], tuple[str, int] | None]
    check_secret: Callable[[str], str | None]
    deliver: Callable[[Notification, Destination, Network], Awaitable[Outcome]]
    render: Callable[[Notification], bytes]
    rate: RateLimitItem
    make_secret: Callable[[], str] | None = None
    needs_secret: bool = True


KINDS: dict[str, Kind] = {
    "slack_webhook": Kind(
        slack_webhook.SlackWebhookSettings,
        slack_webhook.check,
        slack_webhook.check_secret,
        slack_webhook.deliver,
        slack_webhook.render,
        RateLimitItemPerSecond(1),
    ),
    # Two calls each, and a channel takes one message a second.
    "slack_bot": Kind(
        slack_bot.SlackBotSettings,
        slack_bot.check,
        slack_bot.check_secret,
        slack_bot.deliver,
        slack_bot.render,
        RateLimitItemPerSecond(1, 2),
    ),
    "pagerduty": Kind(
        pagerduty.PagerDutySettings,
        pagerduty.check,
        pagerduty.check_secret,
        pagerduty.deliver,
        pagerduty.render,
        RateLimitItemPerMinute(100),
    ),
    "webhook": Kind(
        webhook.WebhookSettings,
        webhook.check,
        webhook.check_secret,
        webhook.deliver,
        webhook.render,
        RateLimitItemPerMinute(600),
        make_secret=webhook.make_secret,
    ),
    "email": Kind(
        email.EmailSettings,
        email.check,
        email.check_secret,
        email.deliver,
        email.render,
        RateLimitItemPerMinute(30),
        needs_secret=False,
    ),
}
