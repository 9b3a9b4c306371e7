"""
What is done with one batch of records: handled, repeated, cut in half, laid aside.

Handlers are idempotent: a batch may come twice, and halves of it may come after the whole.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from shared.contracts.base import Event
from shared.contracts.topics import EVENT_TYPES
from shared.errors import InvalidInputError, UnavailableError
from shared.kafka.backoff import Backoff, sleep_unless
from shared.kafka.dead_letters import DeadLetter, DeadLetterBudget, lay_aside
from shared.kafka.producer import Producer
from shared.kafka.received import Received, receive
from shared.observability import metrics

Handle = Callable[[Sequence[Received]], Awaitable[None]]

ATTEMPTS = 5

_FIRST_RETRY_SECONDS = 0.05

log = structlog.get_logger()


class BatchWork:
    """Works on one group's batches; remembers how much failed lately. `beat` is called while it waits."""

    def __init__(
        self,
        *,
        group: str,
        handle: Handle,
        producer: Producer,
        stop: asyncio.Event,
        beat: Callable[[], None],
        budget: DeadLetterBudget | None = None,
        types: Mapping[str, type[Event]] = EVENT_TYPES,
    ) -> None:
        self._group = group
        self._handle = handle
        self._producer = producer
        self._stop = stop
        self._beat = beat
        self._budget = budget or DeadLetterBudget()
        self._types = types

    async def do(self, records: Sequence[Any]) -> int:
        """
        Handle what can be handled, lay aside the rest; gives the number of dead letters.

        Raises UnavailableError only when told to stop while a part does not answer: commit nothing then.
        """
        received: list[Received] = []
        dead: list[DeadLetter] = []
        for record in records:
            try:
                received.append(receive(record, self._types))
            except InvalidInputError as error:
                dead.append(DeadLetter(record, error))
        if received:
            dead += await self._bisect(received)
        # Counted before they are laid aside: what overdraws the budget stays in the topic.
        self._budget.spend(dead=len(dead), handled=len(records))
        if dead:
            service = self._group.partition("-")[0]
            await self._until_it_answers(
                lambda: lay_aside(dead, group=self._group, service=service, producer=self._producer)
            )
        return len(dead)

    async def _bisect(self, batch: Sequence[Received]) -> list[DeadLetter]:
        """Handle a batch; when it fails, its halves in order. Gives the records that fail alone."""
        try:
            await self._until_it_answers(lambda: self._handle(batch))
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a handler raises concerns its records, not the loop
            log.warning(
                "batch_failed", group=self._group, records=len(batch), error_class=type(error).__name__
            )
            if len(batch) == 1:
                return await self._insist(batch[0], error)
            middle = len(batch) // 2
            return [*await self._bisect(batch[:middle]), *await self._bisect(batch[middle:])]
        return []

    async def _insist(self, received: Received, error: Exception) -> list[DeadLetter]:
        """Try one record again: what failed may have been a race."""
        attempts = 1 if isinstance(error, InvalidInputError) else ATTEMPTS
        for attempt in range(1, attempts):
            await sleep_unless(self._stop, _FIRST_RETRY_SECONDS * 2**attempt)
            try:
                await self._until_it_answers(lambda: self._handle([received]))
            except UnavailableError:
                raise
            except Exception as repeated:  # noqa: BLE001  as above
                error = repeated
            else:
                return []
        log.error("record_failed", group=self._group, attempts=attempts, exc_info=error)
        return [DeadLetter(received.record, error)]

    async def _until_it_answers(self, work: Callable[[], Awaitable[None]]) -> None:
        """Repeat `work` while a part that it needs does not answer, unless we stop."""
        backoff = Backoff()
        while True:
            self._beat()
            try:
                return await work()
            except UnavailableError as error:
                metrics.BATCH_RETRIES.labels(self._group).inc()
                log.warning(
                    "batch_waits", group=self._group, error_class=type(error.__cause__ or error).__name__
                )
                if self._stop.is_set():
                    raise
                await backoff.wait(self._stop)
