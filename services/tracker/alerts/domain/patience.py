"""How long to wait after a failure, and when to stop trying. Randomness and time are given."""

from dataclasses import dataclass
from datetime import datetime, timedelta

_PAUSE_FROM_FAILURES = 3
"""A destination that failed so often in a row is left alone for a while: its circuit is open."""

_ASKED_SECONDS_MAX = 6 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """
    Waits double from `first_seconds` to `longest_seconds`, each shortened by up to half at random.

    A notification is given up, and a channel that failed all the time disabled, after `days`.
    """

    first_seconds: float = 10.0
    longest_seconds: float = 6 * 3600.0
    days: float = 3.0

    def wait(self, failures: int, *, chance: float, asked_seconds: float | None = None) -> timedelta:
        """
        Say how long to wait after so many failures in a row; `chance` is 0 to 1.

        Never less than the destination asked for, up to six hours: nobody may silence a channel for a year.
        """
        doubled = self.first_seconds * 2.0 ** min(failures - 1, 40)
        seconds = min(doubled, self.longest_seconds) * (0.5 + chance / 2)
        if asked_seconds is not None:
            seconds = max(seconds, min(asked_seconds, _ASKED_SECONDS_MAX))
        return timedelta(seconds=seconds)

    def pause(self, failures: int, *, chance: float, asked_seconds: float | None = None) -> timedelta | None:
        """Say how long to leave a destination alone; None while it may be asked for the next thing."""
        if asked_seconds is None and failures < _PAUSE_FROM_FAILURES:
            return None
        return self.wait(failures, chance=chance, asked_seconds=asked_seconds)

    def is_over(self, since: datetime, at: datetime) -> bool:
        """Tell whether trying since then was long enough."""
        return at - since >= timedelta(days=self.days)
