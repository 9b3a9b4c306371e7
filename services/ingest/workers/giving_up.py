"""
Giving up a file that cannot be read to its end: what its attempts staged is real, and goes out.

It works from the database alone, because the attempts that staged it may have died with their processes.
"""

from uuid import UUID

import msgspec
import structlog

from services.ingest.domain.findings import finding
from services.ingest.store import receipts, remittances
from services.ingest.store.receipts import Receipt
from services.ingest.store.remittances import remittance_id_of
from services.ingest.workers.files import Workshop
from services.ingest.workers.follow_ups import follow_up
from services.ingest.workers.staging import release_part
from shared.errors import ReprieveError
from shared.observability import metrics

log = structlog.get_logger()


async def give_up(workshop: Workshop, receipt: Receipt) -> None:
    """
    Release every staged set as truncated, follow all up, and refuse the receipt as a defect.

    May be repeated. A held set stays held: when the bytes are sent again it is read again.
    """
    staged = await _release_staged(workshop, receipt)
    await receipts.give_up(workshop.engine, receipt)
    _log("file_given_up", receipts.DEFECT, receipt, staged)


async def expire(workshop: Workshop, receipt: Receipt) -> None:
    """Release every staged set as truncated, and close the receipt of a file whose key was destroyed."""
    staged = await _release_staged(workshop, receipt)
    found = msgspec.json.encode([finding("file_expired")]).decode()
    await receipts.expire(workshop.engine, receipt, found)
    _log("file_expired", receipts.EXPIRED, receipt, staged)


def _log(event: str, outcome: str, receipt: Receipt, staged: int) -> None:
    metrics.RECEIPTS.labels(outcome).inc()
    log.error(
        event,
        attempts=receipt.attempts,
        staged=staged,
        submitter_id=receipt.submitter_id,
        receipt_id=receipt.receipt_id,
    )


async def _release_staged(workshop: Workshop, receipt: Receipt) -> int:
    """Let out what earlier attempts staged; gives the number of sets."""
    ids = {"submitter_id": receipt.submitter_id, "receipt_id": receipt.receipt_id}
    owners = await remittances.owners_of_sets(workshop.engine, **ids)
    sets = [(remittance_id_of(receipt.receipt_id, ordinal), owner) for ordinal, owner in owners.items()]
    for remittance_id, organization_id in sets:
        await release_part(workshop.engine, organization_id=organization_id, remittance_id=remittance_id)
    for remittance_id, organization_id in sets:
        await _follow_up(workshop, organization_id=organization_id, remittance_id=remittance_id)
    return len(sets)


async def _follow_up(workshop: Workshop, *, organization_id: UUID, remittance_id: UUID) -> None:
    organization = await workshop.payees.organization(organization_id)
    try:
        await follow_up(
            workshop.engine,
            workshop.vault,
            workshop.keyring,
            organization=organization,
            remittance_id=remittance_id,
        )
    except ReprieveError:
        raise
    except Exception:
        # Perhaps this is the defect that the file is given up for: it must not keep the others from theirs.
        log.exception("set_not_followed_up", remittance_id=remittance_id, organization_id=organization_id)
