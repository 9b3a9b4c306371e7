"""
The policies of this release, kept once when it first runs: what they said can be read for ever.

Where an earlier release ran before, what they change is decided again, as after a publication.
"""

import asyncio
from collections.abc import Sequence
from importlib.metadata import version

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.triage.domain.policy_file import PolicyFile
from services.triage.store.audit import NOBODY, audit
from services.triage.store.organizations import time_zones
from services.triage.store.policy_sets import INSTALLATION
from services.triage.store.policy_versions import DISTRIBUTION, keep_reference
from services.triage.store.reevaluations import ask_reevaluations
from shared.clock import now
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
            kept = await _keep(engine, shipped)
        except UnavailableError:
            await backoff.wait(stop)
        else:
            log.info("shipped_policies_kept", count=kept, total=len(shipped))
            return


async def _keep(engine: AsyncEngine, shipped: Sequence[tuple[PolicyFile, bytes]]) -> int:
    async with transaction(engine) as connection:
        organizations = list(await time_zones(connection))
    async with transaction(engine, organizations=[INSTALLATION, *organizations]) as connection:
        kept, upgraded = await keep_reference(connection, shipped, release=version("reprieve"))
        for one in kept if upgraded else ():
            await ask_reevaluations(
                connection,
                one,
                organizations,
                cause="policy_published",
                reason=one.reason,
                role=DISTRIBUTION.role,
                at=now(),
            )
            await audit(
                connection,
                "policy_shipped",
                scope=INSTALLATION,
                principal_id=NOBODY,
                subject_id=one.policy_id,
                detail={"number": one.number, "version": one.version, "reason": one.reason},
            )
            log.info("shipped_policy_changed", policy_id=one.policy_id, policy_version=one.version)
    return len(kept)
