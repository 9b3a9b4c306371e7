"""
The registrar: receipts become rows, those that arrive together in one transaction.

A commit waits for the disk. While one is on its way the receipts of other requests gather, and go together
with the next: each answer still comes after the commit of its own row.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store.feeds import no_such_feed
from services.ingest.store.receipts import KeptReceipt, NewReceipt, add_receipts
from shared.errors import ConflictError, UnavailableError

_TOGETHER_MAX = 200

_Waiting = tuple[NewReceipt, asyncio.Future[KeptReceipt]]


class Registrar:
    """Keeps receipts. One per process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._waiting: list[_Waiting] = []
        self._working: asyncio.Task[None] | None = None
        self._keys: set[tuple[UUID, str]] = set()

    async def add(self, fresh: NewReceipt) -> KeptReceipt:
        """
        Keep a receipt, or find the one of the same bytes; it is durable when this returns.

        Raises NotFoundError for an unknown feed, KeyReusedError, and UnavailableError.
        """
        future: asyncio.Future[KeptReceipt] = asyncio.get_running_loop().create_future()
        self._waiting.append((fresh, future))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting[:_TOGETHER_MAX], self._waiting[_TOGETHER_MAX:]
            await self._keep(together)

    async def _keep(self, together: list[_Waiting]) -> None:
        try:
            kept = await add_receipts(self.engine, [fresh for fresh, _ in together])
        except Exception as error:  # noqa: BLE001  whatever it is, it is told to those who wait
            if len(together) > 1 and not isinstance(error, UnavailableError):
                for alone in together:  # one row's fault costs no other
                    await self._keep([alone])
                return
            for _, future in together:
                if not future.done():
                    future.set_exception(no_such_feed() if isinstance(error, IntegrityError) else error)
            return
        for (_, future), one in zip(together, kept, strict=True):
            if not future.done():  # its client may have gone
                future.set_result(one)

    @contextmanager
    def key_in_use(self, submitter_id: UUID, key: str | None) -> Iterator[None]:
        """Hold a request's key while it is under way. Raises ConflictError when another request holds it."""
        if key is None:
            yield
            return
        held = (submitter_id, key)
        if held in self._keys:
            raise ConflictError(
                "A request with this Idempotency-Key is under way.",
                remedy="Wait for its answer; repeating afterwards is safe.",
            )
        self._keys.add(held)
        try:
            yield
        finally:
            self._keys.discard(held)
