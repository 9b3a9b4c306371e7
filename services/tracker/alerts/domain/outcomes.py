"""What a channel answers when it was asked once. It never tries again: the delivery loop does, for all."""

from dataclasses import dataclass

from shared.errors import UnavailableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """
    The destination has it. `remote_ref` is how it calls what it made of it, for the next of the group.

    `status` is the HTTP or SMTP status, here as below.
    """

    status: int | None = None
    remote_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TryLater:
    """Not now. `after_seconds` is what the destination asked for; `remote_ref` what was made nevertheless."""

    reason: str
    status: int | None = None
    after_seconds: float | None = None
    remote_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Never in this form. `gone`: the destination wants nothing any more, so its channel ends."""

    reason: str
    status: int | None = None
    gone: bool = False


Outcome = Delivered | TryLater | Rejected


class DestinationError(UnavailableError):
    """A destination did not answer; the message is a code, such as `timed_out`, for the log of attempts."""
