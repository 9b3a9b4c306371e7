"""Waiting: between attempts, for a client's answer, and no longer than until we stop."""

import asyncio
import contextlib
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


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


async def answer_within(seconds: float, asked: Coroutine[Any, Any, Answer]) -> Answer:
    """
    Give a client's answer; raises TimeoutError after `seconds`, ConnectionAbortedError when it broke down.

    Unlike asyncio.timeout() this does not rely on the client taking its cancellation: aiokafka swallows it in
    places, and then waits for ever for a broker that is gone. In others it lets the cancellation of a task of
    its own out, which would end ours without a word, or trips over a connection that has just closed.
    """
    question = asyncio.ensure_future(asked)
    try:
        done, _ = await asyncio.wait({question}, timeout=seconds)
    finally:
        if not question.done():
            question.cancel()
            question.add_done_callback(_forget)
    if not done:
        raise TimeoutError
    if question.cancelled():
        raise ConnectionAbortedError
    try:
        return question.result()
    except (LookupError, AssertionError) as error:
        raise ConnectionAbortedError from error


def _forget(question: asyncio.Future[Any]) -> None:
    """Look at the late outcome, so that asyncio does not complain that nobody did."""
    if not question.cancelled():
        question.exception()
