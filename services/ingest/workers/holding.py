"""Held sets: when somebody registers the payee, the file is read again for what was held."""

import asyncio
from uuid import UUID

import structlog
from sqlalchemy import text

from services.ingest.store import receipts
from services.ingest.workers.files import Workshop
from shared.errors import UnavailableError
from shared.http.probes import Health
from shared.kafka.backoff import sleep_unless
from shared.observability import metrics
from shared.postgres import transaction

LOOP = "holding"
_POLL_SECONDS = 3.0

_HELD = text("select submitter_id, receipt_id, payee_identifiers from ingest.held_payees()")

log = structlog.get_logger()


async def watch_held(workshop: Workshop, health: Health, stop: asyncio.Event) -> None:
    """Look until `stop` whether the payee of a held set is known meanwhile."""
    while not stop.is_set():
        health.beat(LOOP)
        try:
            await release_known(workshop)
        except UnavailableError:
            log.warning("holding_waits", loop=LOOP)
        await sleep_unless(stop, _POLL_SECONDS)
    health.retire(LOOP)


async def release_known(workshop: Workshop) -> int:
    """Make the receipts due whose held payees are registered now; gives their number."""
    async with transaction(workshop.engine) as connection:
        held = (await connection.execute(_HELD)).all()
    metrics.HELD_TRANSACTION_SETS.set(len(held))
    waiting: dict[tuple[str, ...], set[tuple[UUID, UUID]]] = {}
    made_due = 0
    for row in held:
        waiting.setdefault(tuple(row.payee_identifiers), set()).add((row.submitter_id, row.receipt_id))
    for identifiers, of_receipts in waiting.items():
        if await workshop.payees.resolve(identifiers) is None:
            continue
        for submitter_id, receipt_id in of_receipts:
            if await receipts.make_due(workshop.engine, submitter_id=submitter_id, receipt_id=receipt_id):
                made_due += 1
                log.info("held_file_due", receipt_id=receipt_id, submitter_id=submitter_id)
    return made_due
