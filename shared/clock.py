"""The one place that reads the clock. Rules never do: they are given `as_of`."""

from datetime import UTC, datetime


def now() -> datetime:
    """Give the present instant, aware, in UTC."""
    return datetime.now(UTC)
