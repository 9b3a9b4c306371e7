"""One claim again, from its byte range in the raw file: the source of follow-up events."""

from services.ingest.domain.claim import Claim
from services.ingest.domain.remittance import SetHeader


def reread_claim(
    header: SetHeader,
    loop: bytes,
    *,
    position: int,
    ordinal: int = 1,
    byte_offset: int = 0,
    segment_number: int = 1,
    truncated: bool = False,
) -> Claim:
    """
    Give the Claim that `read` gave, from the bytes `[byte_offset, byte_offset + byte_length)` of its file.

    Raises UnreadableError where the bytes are not a readable claim loop (a wrong range, a quarantined claim).
    """
    raise NotImplementedError
