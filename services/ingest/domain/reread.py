"""One claim again, from its byte range in the raw file: the source of follow-up events."""

from msgspec.structs import replace

from services.ingest.domain.block import Block
from services.ingest.domain.claim import Claim
from services.ingest.domain.loop import LoopReader
from services.ingest.domain.ordinals import Ordinals
from services.ingest.domain.remittance import SetHeader
from services.ingest.x12.delimiters import Delimiters
from services.ingest.x12.tokenizer import SEGMENT_BYTES_MAX, Batch
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
    batches = _batches(header.delimiters, loop, offset=byte_offset, number=segment_number)
    if not batches or not batches[0].segments[0].startswith(b"CLP" + header.delimiters.element):
        raise UnreadableError("The bytes are not a claim loop.", remedy=_REMEDY)
    block = Block(batches[0], b"CLP")
    for batch in batches[1:]:
        block.extend(batch)
    claim = LoopReader(header.delimiters).read(
        block, position=position, truncated=truncated, ordinals=Ordinals()
    )
    if not isinstance(claim, Claim):
        raise UnreadableError("The bytes are a claim loop that cannot be read.", remedy=_REMEDY)
    return claim if ordinal == 1 else replace(claim, ordinal=ordinal)


def _batches(delimiters: Delimiters, loop: bytes, *, offset: int, number: int) -> list[Batch]:
    """Cut the loop as the tokenizer did: a segment that it skipped as too long is skipped again."""
    terminator = delimiters.terminator
    runs, begin, end = [], 0, 0
    for text in loop.split(terminator):
        at, end = end, min(end + len(text) + len(terminator), len(loop))
        if len(text) > SEGMENT_BYTES_MAX:
            runs.append((begin, at))
            begin = end
    return [
        Batch.of(
            loop[begin:stop],
            delimiters,
            offset=offset + begin,
            number=number + loop.count(terminator, 0, begin),
            unterminated=stop == len(loop) and not loop.endswith(terminator),
        )
        for begin, stop in [*runs, (begin, len(loop))]
        if begin < stop
    ]


_REMEDY = "Check that the raw file and the claim's byte range belong together."
