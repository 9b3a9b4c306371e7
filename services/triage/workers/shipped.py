"""The policies of this release, kept once when it first runs: what they said can be read for ever."""

import asyncio
from collections.abc import Sequence
from importlib.metadata import version

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.triage.domain.policy_file import PolicyFile
from services.triage.store.policy_sets import INSTALLATION
from services.triage.store.policy_versions import keep_reference
from shared.errors import UnavailableError
from shared.kafka.backoff import Backoff
from shared.postgres import transaction

log = structlog.get_logger()


async def keep_shipped(
    engine: AsyncEngine, shipped: Sequence[tuple[PolicyFile, bytes]], stop: asyncio.Event
) -> None:
    """Keep each policy file with its content; waits for a database that is away."""
    backoff = Backoff()
    while not stop.is_set():
        try:
            async with transaction(engine, organizations=[INSTALLATION]) as connection:
                kept = await keep_reference(connection, shipped, release=version("reprieve"))
        except UnavailableError:
            await backoff.wait(stop)
        else:
            log.info("shipped_policies_kept", count=kept, total=len(shipped))
            return
