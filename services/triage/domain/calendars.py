"""Business days."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calendar:
    """Knows which days payers work."""
