"""Waiting between attempts: longer each time, never in step with others, and no longer than until we stop."""

import asyncio
import contextlib
import random


class Backoff:
    """Waits that double from `first_seconds` to `longest_seconds`, each shortened by up to half at random."""

    def __init__(self, *, first_seconds: float = 0.1, longest_seconds: float = 5.0) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._next = first_seconds

    def reset(self) -> None:
        """Begin again with the shortest wait: something worked."""
        self._next = self._first

    async def wait(self, stop: asyncio.Event) -> None:
        """Wait once, or until `stop` is set."""
        seconds = self._next * random.uniform(0.5, 1)  # noqa: S311  spreads retries, guards nothing
        self._next = min(self._next * 2, self._longest)
        await sleep_unless(stop, seconds)


async def sleep_unless(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but wake up at once when `stop` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
