"""Segments that belong together: a set's header, a claim's loop, a trailer."""

from decimal import Decimal

from services.ingest.domain.findings import Finding, finding
from services.ingest.x12.tokenizer import Batch

SEGMENTS_MAX = 50_000
"""Bound on a claim's loop: 999 service lines with a few dozen segments each fit well."""


class Block:
    """
    One loop: a batch of its own, or several where it lies in several blocks of the file.

    A plain class with slots: one is made per claim, on the hot path.
    """

    __slots__ = ("_count", "_has_empty", "_pieces", "_segments", "_stop", "oversized", "tag", "unusual")

    def __init__(self, piece: Batch, tag: bytes) -> None:
        self.tag = tag  # the first three bytes of its first segment; empty where none of the known begins it
        self.oversized = False
        self.unusual = False  # a claim that is known not to be plain
        self._pieces = [piece]
        self._has_empty = piece.has_empty
        self._segments: list[bytes] | None = None
        self._count = 0  # of segments, once there are several pieces
        self._stop = 0

    def extend(self, piece: Batch) -> None:
        """Take what goes on in the next batch; what is beyond the bound is dropped and noted."""
        held, more = self._count or self._pieces[0].count(), piece.count()
        if held + more > SEGMENTS_MAX:
            self.oversized = True
            self._stop = piece.stop
            return
        self._count = held + more
        self._pieces.append(piece)
        self._has_empty = self._has_empty or piece.has_empty
        self._segments = None

    @property
    def segments(self) -> list[bytes]:
        if self._segments is None:
            self._segments = [segment for piece in self._pieces for segment in piece.segments]
        return self._segments

    @property
    def loop(self) -> bytes:
        """The segments with a terminator between each two."""
        first = self._pieces[0]
        terminator = first.delimiters.terminator
        if first.clean and len(self._pieces) == 1:
            return first.text[: -len(terminator)]
        return terminator.join(self.segments)

    def number(self, index: int) -> int:
        """Give the segment number in the file of segments[index]."""
        piece, at = self._find(index)
        return piece.number + at

    def start(self, index: int) -> int:
        """Give the file offset of the first byte of segments[index]."""
        piece, at = self._find(index)
        return piece.start(at)

    def place(self) -> tuple[int, int, int]:
        """Give the number of the first segment, where it begins, and where the last one ends."""
        first = self._pieces[0]
        begin = first.offset if first.clean else first.start(0)
        return first.number, begin, max(self._pieces[-1].stop, self._stop)

    def empty(self) -> int:
        """Count the segments that are none: a terminator behind a terminator."""
        return self.segments.count(b"") if self._has_empty else 0

    def finding(
        self, code: str, index: int = 0, element: int | None = None, *, difference: Decimal | None = None
    ) -> Finding:
        """Make a finding at segments[index]."""
        tag = self.segments[index][:3]
        piece, at = self._find(index)
        return finding(
            code,
            segment_number=piece.number + at,
            segment_id=_segment_id(tag),
            element=element,
            byte_offset=piece.start(at),
            difference=difference,
        )

    def _find(self, index: int) -> tuple[Batch, int]:
        for piece in self._pieces:
            count = len(piece.segments)
            if index < count:
                return piece, index
            index -= count
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
