"""What a kind of channel is: each module of a channel ends with one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from limits import RateLimitItem

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
