"""Every kind of channel: one module and one line each."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from limits import RateLimitItem, RateLimitItemPerMinute

from services.tracker.alerts.channels import webhook
from services.tracker.alerts.domain.notification import Destination, Notification
from services.tracker.alerts.domain.outcomes import Outcome
from services.tracker.alerts.network import Network


@dataclass(frozen=True, slots=True)
class Kind:
    """
    `check` gives host and port of valid settings, `check_secret` judges a secret; `make_secret` makes one
    where it is ours to make. `rate` is what the vendor takes of one destination.
    """

    settings: type[msgspec.Struct]
    check: Callable[[Any, Network], tuple[str, int] | None]
    check_secret: Callable[[str], object]
    deliver: Callable[[Notification, Destination, Network], Awaitable[Outcome]]
    rate: RateLimitItem
    make_secret: Callable[[], str] | None = None
    needs_secret: bool = True


KINDS: dict[str, Kind] = {
    "webhook": Kind(
        webhook.WebhookSettings,
        webhook.check,
        webhook.check_secret,
        webhook.deliver,
        RateLimitItemPerMinute(600),
        make_secret=webhook.make_secret,
    ),
}
