"""Bytes to claims, in one forward pass: see `read`."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from services.ingest.domain.block import SEGMENT_IDS, Block
from services.ingest.domain.envelope import REMITTANCE, EnvelopeLedger
from services.ingest.domain.findings import finding
from services.ingest.domain.header import read_header
from services.ingest.domain.loop import LoopReader
from services.ingest.domain.open_set import OpenSet
from services.ingest.domain.remittance import ReaderItem, SetOpened
from services.ingest.x12.delimiters import BLANK, Delimiters
from services.ingest.x12.tokenizer import Batch, Foreign, Interchange, Oversized, tokenize


def read(blocks: Iterable[bytes]) -> Iterator[ReaderItem]:
    """
    Read the 835s of a file, in order, from blocks of any size; never raises on bad input.

    Per transaction set: SetOpened, then ClaimRead or ClaimQuarantined as they end, then SetClosed.
    FileClosed comes last, always. Memory does not grow with the file, but for a hash per claim of the
    transaction set at hand.
    """
    return _Reader().read(blocks)


class _Reader:
    """
    Groups segments into blocks, each begun by a boundary tag, and hands a block on when the next one begins.

    What begins no block belongs to the one before it: so the last segment of the last claim is never lost.
    """

    def __init__(self) -> None:
        self._ledger = EnvelopeLedger()
        self._delimiters: Delimiters | None = None
        self._begins = _begins(b"*", b"~")
        self._loops: LoopReader | None = None
        self._block: Block | None = None
        self._set: OpenSet | None = None
        self._skipping = False  # inside a transaction set that is no 835
        self._bytes = 0
        self._items: list[ReaderItem] = []

    def read(self, blocks: Iterable[bytes]) -> Iterator[ReaderItem]:
        for token in tokenize(blocks):
            if isinstance(token, Batch):
                self._read_batch(token)
                self._bytes = token.stop
            else:
                self._read_other(token)
            yield from self._items
            self._items = []
        self._finish(b"")
        yield from self._items
        yield self._ledger.close_file(self._bytes)

    def _read_other(self, token: Interchange | Oversized | Foreign) -> None:
        if isinstance(token, Interchange):
            self._finish(b"ISA")
            self._ledger.open_interchange(token)
            self._use(token.envelope.delimiters)
            self._bytes = token.offset + token.envelope.length
            return
        self._bytes = token.offset + token.length
        if isinstance(token, Foreign):
            self._ledger.foreign(token)
        else:
            found = finding("oversized_segment", segment_number=token.number, byte_offset=token.offset)
            if self._set is not None:
                self._set.note(found)
            else:
                self._ledger.note(found)

    def _use(self, delimiters: Delimiters) -> None:
        if delimiters == self._delimiters:
            return
        self._delimiters = delimiters
        self._loops = LoopReader(delimiters)
        self._begins = _begins(delimiters.element, delimiters.terminator)

    def _read_batch(self, batch: Batch) -> None:
        terminator = batch.delimiters.terminator
        at, number, tag = 0, batch.number, b""
        for found in self._begins.finditer(
            terminator + (batch.segments[0] if batch.unterminated else batch.text)
        ):
            begin = found.start()  # of what follows the terminator, in the batch's own text
            by = found[1]
            if begin:
                if tag == by == b"CLP":
                    self._read_claim(batch, at, begin, number)
                else:
                    self._take(batch.part(at, begin, number=number), tag)
                number += batch.text.count(terminator, at, begin)
            at, tag = begin, by
            if self._block is not None or by != b"CLP":
                self._finish(by)
        self._take(batch.part(at, len(batch.text), number=number), tag)

    def _read_claim(self, batch: Batch, begin: int, stop: int, number: int) -> None:
        """A claim between two bytes of the batch, with another behind it: nearly all are read right here."""
        opened = None if batch.around is None or batch.has_empty else self._set
        read = None if opened is None else opened.read_plain(batch, begin, stop, number)
        if read is not None:
            self._items.append(read)
        else:
            self._block = Block(batch.part(begin, stop, number=number), b"CLP")
            self._block.unusual = opened is not None

    def _take(self, part: Batch, tag: bytes) -> None:
        if self._block is None:
            self._block = Block(part, tag)
        else:
            self._block.extend(part)

    def _finish(self, by: bytes) -> None:
        """Hand on the block that ends because a segment of tag `by` begins (empty at the end of the file)."""
        ends_set = by[:2] in _ENDS_SET or by in (b"ISA", b"IEA", b"")
        block, self._block = self._block, None
        if block is not None:
            if block.tag == b"CLP":
                self._finish_claim(block, truncated=ends_set)
            else:
                self._finish_other(block)
        if ends_set and self._set is not None:
            self._items.append(self._set.close_truncated())
            self._set = None
        self._skipping = self._skipping and not ends_set

    def _finish_claim(self, block: Block, *, truncated: bool) -> None:
        if self._set is not None:
            self._items.append(self._set.read_claim(block, truncated=truncated))
        elif not self._skipping:
            self._ledger.note(block.finding("misplaced_segment"))

    def _finish_other(self, block: Block) -> None:  # noqa: C901 - one dispatch by segment
        if self._delimiters is None:
            return
        parts = block.segments[0].split(self._delimiters.element)
        name = parts[0]
        if name == b"ST":
            self._open_set(block, parts)
            return
        if name == b"SE":
            self._close_set(block, parts)
        elif name == b"PLB" and self._set is not None:
            self._set.read_provider(block)
        elif name == b"GS":
            self._ledger.open_group(block, parts)
        elif name == b"GE":
            self._ledger.close_group(block, parts)
        elif name == b"IEA":
            self._ledger.close_interchange(block, parts)
        elif name == b"TA1":
            self._ledger.acknowledgment()
        elif name not in _WITHIN_SET or self._set is None:
            self._stray(block, 0)
        for index in range(1, len(block.segments)):
            self._stray(block, index)
        if self._set is not None:
            self._set.count_empty(block)

    def _open_set(self, block: Block, parts: list[bytes]) -> None:
        if self._ledger.open_set(block, parts) != REMITTANCE or self._loops is None:
            self._skipping = True
            return
        header, findings = read_header(
            block, self._ledger.surroundings(), set_ordinal=self._ledger.remittances
        )
        self._set = OpenSet(header, self._loops, block)
        for found in findings:
            self._set.note(found)
        self._items.append(SetOpened(header))

    def _close_set(self, block: Block, parts: list[bytes]) -> None:
        if self._set is not None:
            self._items.append(self._set.close(block, parts))
            self._set = None
        elif not self._skipping:
            self._ledger.note(block.finding("trailer_without_header"))
        self._skipping = False

    def _stray(self, block: Block, index: int) -> None:
        """A segment that stands where none of its kind belongs."""
        if self._skipping:
            return
        segment = block.segments[index]
        if segment[:3] == b"TA1":
            self._ledger.acknowledgment()
            return
        known = segment[:3] in SEGMENT_IDS or segment[:2] in SEGMENT_IDS
        code = ("misplaced_segment" if known else "unknown_segment") if segment else "empty_segment"
        found = block.finding(code, index)
        if self._set is not None:
            self._set.note(found)
        else:
            self._ledger.note(found)


@lru_cache(maxsize=64)
def _begins(element: bytes, terminator: bytes) -> re.Pattern[bytes]:
    """Find a terminator and behind it the tag of a segment that begins a block, as its first three bytes."""
    first, end = re.escape(element[:1]), re.escape(terminator)
    blank = re.escape(BLANK.replace(terminator, b""))
    likely = rb"(?=CL|S[TE]|[PITLG" + blank + rb"])"  # rules most others out at less cost
    whole = rb"(?:LX|S[TE]|G[SE])(?!" + end + rb")" + first  # tags of two letters
    return re.compile(end + likely + rb"[" + blank + rb"]*+(CLP|PLB|IEA|TS[23]|" + whole + rb")")


_ENDS_SET = frozenset((b"ST", b"GS", b"GE"))
_WITHIN_SET = frozenset((b"LX", b"TS2", b"TS3", b"PLB"))
