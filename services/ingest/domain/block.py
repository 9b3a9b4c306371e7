"""A run of segments that belong together: a set's header, a claim's loop, a trailer."""

from decimal import Decimal

from services.ingest.domain.findings import Finding, finding
from services.ingest.x12.tokenizer import Batch

SEGMENTS_MAX = 50_000
"""Bound on a claim's loop: 999 service lines with a few dozen segments each fit well."""


class Block:
    """
    Segments of one loop, possibly from several batches. It knows the number and offset of each, when asked.

    A plain class with slots: one is made per claim, on the hot path.
    """

    __slots__ = ("_has_empty", "_pieces", "last_end", "oversized", "segments")

    def __init__(self, batch: Batch, first: int, stop: int) -> None:
        self.segments = batch.segments[first:stop]
        self._pieces = [(batch, first, stop)]
        self._has_empty = batch.has_empty
        self.last_end = 0
        self.oversized = False

    def extend(self, batch: Batch, stop: int) -> None:
        """Take the segments of the next batch up to `stop`; what is beyond the bound is dropped and noted."""
        if len(self.segments) + stop > SEGMENTS_MAX:
            self.oversized = True
            self.last_end = batch.end(stop - 1) if stop else self.last_end
            return
        self.segments += batch.segments[:stop]
        self._has_empty = self._has_empty or batch.has_empty
        self._pieces.append((batch, 0, stop))

    def number(self, index: int) -> int:
        """Give the segment number in the file of segments[index]."""
        batch, at = self._find(index)
        return batch.number + at

    def start(self, index: int) -> int:
        """Give the file offset of the first byte of segments[index]."""
        batch, at = self._find(index)
        return batch.start(at)

    def end(self) -> int:
        """Give the file offset just behind the last segment's terminator."""
        batch, at = self._find(len(self.segments) - 1)
        return max(batch.end(at), self.last_end)

    def place(self) -> tuple[int, int, int]:
        """Give number(0), start(0) and end() at once: every claim asks for them."""
        batch, first, stop = self._pieces[0]
        if len(self._pieces) == 1 and not self.last_end:
            begin, end = batch.place(first, stop)
        else:
            begin, end = batch.start(first), self.end()
        return batch.number + first, begin, end

    def empty(self) -> int:
        """Count the segments that are none: a terminator behind a terminator."""
        return self.segments.count(b"") if self._has_empty else 0

    def finding(
        self, code: str, index: int = 0, element: int | None = None, *, difference: Decimal | None = None
    ) -> Finding:
        """Make a finding at segments[index]."""
        tag = self.segments[index][:3]
        batch, at = self._find(index)
        return finding(
            code,
            segment_number=batch.number + at,
            segment_id=_segment_id(tag),
            element=element,
            byte_offset=batch.start(at),
            difference=difference,
        )

    def _find(self, index: int) -> tuple[Batch, int]:
        for batch, first, stop in self._pieces:
            if index < stop - first:
                return batch, first + index
            index -= stop - first
        raise IndexError(index)


def _segment_id(tag: bytes) -> str | None:
    """Name the segment only if it looks like a name: anything else may be a value."""
    name = tag if tag.isalnum() else tag[:2]
    return name.decode("ascii") if name in SEGMENT_IDS else None


SEGMENT_IDS = frozenset(
    b"ISA IEA TA1 GS GE ST SE BPR NTE TRN CUR REF DTM N1 N2 N3 N4 PER RDM LX TS3 TS2 "
    b"CLP CAS NM1 MIA MOA AMT QTY SVC LQ PLB".split()
)
"""Every segment that the 835 and its envelope have."""
