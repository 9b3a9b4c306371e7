"""Feeds as the door needs them: is there one of this name, and which secrets sign for it."""

import time
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store.feed_secrets import secrets_of_feed
from shared.security.sealing import MasterKey

REMEMBERED_SECONDS = 10.0
"""So long an edit may take to count in every process; keys are believed as long."""

_REMEMBERED_FEEDS = 10_000


class KnownFeeds:
    """Remembers the feeds that are there; one that is not is asked for each time."""

    def __init__(self, engine: AsyncEngine, master_key: MasterKey) -> None:
        self._engine = engine
        self._master_key = master_key
        self._known: dict[tuple[UUID, str], tuple[float, tuple[bytes, ...]]] = {}

    async def secrets(self, submitter_id: UUID, feed: str) -> tuple[bytes, ...]:
        """Give the secrets of a feed, none for one that needs no signature. Raises NotFoundError."""
        until, secrets = self._known.get((submitter_id, feed), (0.0, ()))
        if until > time.monotonic():
            return secrets
        secrets = await secrets_of_feed(self._engine, self._master_key, submitter_id=submitter_id, feed=feed)
        if len(self._known) >= _REMEMBERED_FEEDS:
            self._known.clear()
        self._known[submitter_id, feed] = (time.monotonic() + REMEMBERED_SECONDS, secrets)
        return secrets

    def forget(self, submitter_id: UUID, feed: str) -> None:
        """Ask again at the next request: its secrets changed here."""
        self._known.pop((submitter_id, feed), None)
