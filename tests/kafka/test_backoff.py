"""A client that hangs, breaks down or cancels itself never takes us along."""

import asyncio
import time

import pytest

from shared.kafka.backoff import Backoff, answer_within, sleep_unless


async def test_an_answer_is_given():
    async def answer() -> int:
        return 7

    assert await answer_within(1, answer()) == 7


async def test_a_client_that_swallows_its_cancellation_is_left_behind():
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(TimeoutError):
        await answer_within(0.05, stubborn())
    release.set()


async def test_a_client_that_cancels_itself_does_not_cancel_us():
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ConnectionAbortedError):
        await answer_within(1, cancelled())


async def test_a_client_that_trips_over_its_own_feet_is_an_absent_broker():
    async def tripping() -> None:
        raise KeyError

    with pytest.raises(ConnectionAbortedError):
        await answer_within(1, tripping())


async def test_our_own_cancellation_reaches_the_client():
    asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ask() -> None:
        await asked

    waiting = asyncio.create_task(answer_within(60, ask()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    assert asked.cancelled()


async def test_a_wait_ends_when_we_stop():
    stop = asyncio.Event()
    stop.set()
    started = time.monotonic()
    await sleep_unless(stop, 30)
    await Backoff(first_seconds=30).wait(stop)
    assert time.monotonic() - started < 5
