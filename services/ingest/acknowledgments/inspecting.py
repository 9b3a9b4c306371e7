"""
Bytes to a verdict, in one forward pass: every envelope to the end of the file, and conformance within limits.

Memory does not grow with the file: sets beyond the limit are counted, not kept.
"""

from collections.abc import Iterable

from services.ingest.acknowledgments.budget import Budget
from services.ingest.acknowledgments.open_interchange import OpenInterchange
from services.ingest.acknowledgments.verdicts import FileVerdict, InterchangeVerdict, Limits
from services.ingest.x12.tokenizer import Batch, Interchange, Oversized, tokenize


def inspect(blocks: Iterable[bytes], limits: Limits) -> FileVerdict:
    """Judge a file of any form; never raises on bad input."""
    inspector = _Inspector(Budget(limits))
    for token in tokenize(blocks):
        if isinstance(token, Interchange):
            inspector.open(token)
        elif isinstance(token, Batch):
            inspector.read(token)
        elif isinstance(token, Oversized):
            inspector.skip()
    return inspector.close()


class _Inspector:
    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._done: list[InterchangeVerdict] = []
        self._numbers: set[bytes] = set()  # ISA13s of the file
        self._open: OpenInterchange | None = None
        self._sets = 0
        self._sets_checked = 0

    def open(self, token: Interchange) -> None:
        self._close_interchange(None)
        number = token.envelope.elements[12]
        self._open = OpenInterchange(token.envelope, self._budget, repeated=number in self._numbers)
        self._numbers.add(number)

    def read(self, batch: Batch) -> None:
        element = batch.delimiters.element
        for index, segment in enumerate(batch.segments):
            if self._open is None:
                return
            if not segment:
                continue
            tag = segment[:4].split(element, 1)[0]
            if tag == b"IEA":
                self._close_interchange(segment.split(element))
            else:
                self._open.read(tag, segment, batch.number + index)

    def skip(self) -> None:
        """A segment too long to be read."""
        if self._open is not None:
            self._open.read(b"", b"", 0)

    def close(self) -> FileVerdict:
        self._close_interchange(None)
        return FileVerdict(
            interchanges=tuple(self._done),
            sets=self._sets,
            sets_checked=self._sets_checked,
            cut_short=self._budget.cut_short,
        )

    def _close_interchange(self, trailer: list[bytes] | None) -> None:
        if self._open is not None:
            self._done.append(self._open.close(trailer))
            self._sets += self._open.sets
            self._sets_checked += self._open.sets_checked
        self._open = None
