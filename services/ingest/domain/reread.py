"""One claim again, from its byte range in the raw file: the source of follow-up events."""

from msgspec.structs import replace

from services.ingest.domain.block import Block
from services.ingest.domain.claim import Claim
from services.ingest.domain.loop import LoopReader
from services.ingest.domain.remittance import SetHeader
from services.ingest.x12.tokenizer import Batch
from shared.errors import UnreadableError


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
    raw = loop.split(header.delimiters.terminator)
    unterminated = bool(raw[-1])
    if not unterminated:
        raw.pop()
    batch = Batch.of(
        raw,
        header.delimiters,
        offset=byte_offset,
        number=segment_number,
        clean=False,
        unterminated=unterminated,
    )
    if not raw or not batch.segments[0].startswith(b"CLP" + header.delimiters.element):
        raise UnreadableError("The bytes are not a claim loop.", remedy=_REMEDY)
    claim = LoopReader(header.delimiters).read(
        Block(batch, 0, len(raw)), position=position, truncated=truncated, ordinals={}
    )
    if not isinstance(claim, Claim):
        raise UnreadableError("The bytes are a claim loop that cannot be read.", remedy=_REMEDY)
    return claim if ordinal == 1 else replace(claim, ordinal=ordinal)


_REMEDY = "Check that the raw file and the claim's byte range belong together."
