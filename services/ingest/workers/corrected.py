"""The quarantined claims of a set for which a person supplied what could not be read."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

import structlog
from msgspec.structs import replace

from services.ingest.domain.correcting import Supplied, corrected_claim
from services.ingest.domain.remittance import SetHeader
from services.ingest.workers.batches import CorrectedClaim
from shared.errors import UnreadableError
from shared.storage.vault import VaultReader

log = structlog.get_logger()


def corrected_claims(
    header: SetHeader, reader: VaultReader, supplied: Mapping[tuple[UUID, int], tuple[int, Supplied]]
) -> dict[int, CorrectedClaim]:
    """Read, by offset, what is readable with what was supplied; the rest stays quarantined. Blocks."""
    corrected: dict[int, CorrectedClaim] = {}
    equal: Counter[bytes] = Counter()
    for (remittance_id, offset), (length, told) in supplied.items():
        loop = reader.read(offset, length)
        try:
            claim = corrected_claim(header, loop, told, position=0, byte_offset=offset)
        except UnreadableError:
            log.exception("supplied_in_vain", remittance_id=remittance_id, offset=offset)
            continue
        equal[claim.digest] += 1
        corrected[offset] = CorrectedClaim(replace(claim, ordinal=equal[claim.digest]), told.names)
    return corrected
