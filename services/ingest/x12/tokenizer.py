"""
Bytes to segments, in batches, for any delimiters and any chunking; every byte is accounted for.

A batch holds the segments of one block as they stand in the file; they are split where somebody looks at
them, and of most claims nobody does (domain/plain.py). Delimiters are found anew for each interchange. What
stands outside envelopes is counted and named, never silently dropped.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import accumulate
from typing import Literal

import msgspec

from services.ingest.x12.beginnings import BEGINNING_BYTES, Kind, kind_of
from services.ingest.x12.delimiters import BLANK, ENVELOPE_BYTES_MAX, Delimiters, Envelope, read_envelope

SEGMENT_BYTES_MAX = 64 * 1024
"""Longest segment that is read. The longest that the 835 allows has a few hundred bytes."""

_BLOCK_BYTES = 64 * 1024  # what fits into a processor's cache is read a tenth faster
_WINDOW_BYTES = SEGMENT_BYTES_MAX // 2
_ALPHANUMERIC_TAIL = re.compile(rb"[0-9A-Za-z]\Z")
_ENVELOPE_START = re.compile(rb"ISA(?![0-9A-Za-z])")
_TRAILERS = (b"SE", b"GE", b"IEA")
_REMITTANCE = re.compile(rb"ST([^0-9A-Za-z])835\1")


class Interchange(msgspec.Struct, frozen=True):
    """An ISA segment, which opens an interchange. `number` is its segment number in the file, from 1."""

    offset: int
    number: int
    envelope: Envelope


class Batch:
    """
    Consecutive segments of one interchange: bytes, which are split only where somebody looks at segments.

    `segments` are without terminators and blanks around; an empty one is a terminator after a terminator.
    Where the file ends within a segment that is no trailer, the element that it ends in is left out: an
    amount that was cut would pass for a smaller one.
    """

    __slots__ = (
        "_begins",
        "_segments",
        "around",
        "clean",
        "delimiters",
        "has_empty",
        "number",
        "offset",
        "text",
        "unterminated",
    )

    def __init__(
        self,
        text: bytes,
        delimiters: Delimiters,
        *,
        offset: int,
        number: int,
        around: tuple[bytes, bytes] | None,
        has_empty: bool,
        unterminated: bool = False,
    ) -> None:
        self.text = text  # with terminators
        self.delimiters = delimiters
        self.offset = offset
        self.number = number  # segment number of segments[0]
        # Blanks before and behind each terminator, where they are the same at every one: none, line breaks.
        self.around = around
        self.clean = around == _NO_BLANKS  # no segment has blanks around it
        self.has_empty = has_empty
        self.unterminated = unterminated  # the file ends within the last segment
        self._segments: list[bytes] | None = None
        self._begins: list[int] | None = None

    @classmethod
    def of(
        cls, text: bytes, delimiters: Delimiters, *, offset: int, number: int, unterminated: bool = False
    ) -> "Batch":
        """Make a batch of text as it stands in the file."""
        terminator = delimiters.terminator
        around = None if unterminated else _blanks_around(text, terminator)
        return cls(
            text,
            delimiters,
            offset=offset,
            number=number,
            around=around,
            has_empty=_has_empty(text, terminator, around),
            unterminated=unterminated,
        )

    def part(self, begin: int, stop: int, *, number: int) -> "Batch":
        """Give the segments from one byte of the text to another. `number` is that of the first."""
        return Batch(
            self.text[begin:stop],
            self.delimiters,
            offset=self.offset + begin,
            number=number,
            around=self.around,
            has_empty=self.has_empty,
            unterminated=self.unterminated and stop == len(self.text),
        )

    def loop(self, begin: int, stop: int) -> tuple[int, bytes]:
        """
        Give where the segments between two bytes of a regular text begin, and these with a terminator
        between each two.
        """
        before, behind = self.around or _NO_BLANKS
        begin += len(behind)
        terminator = self.delimiters.terminator
        segments = self.text[begin : stop - len(before) - len(terminator)]
        return begin, segments.replace(before + terminator + behind, terminator)

    @property
    def stop(self) -> int:
        """The offset just behind the last segment's terminator."""
        return self.offset + len(self.text)

    @property
    def segments(self) -> list[bytes]:
        if self._segments is None:
            raw = self._raw()
            self._segments = raw if self.clean else [text.strip(BLANK) for text in raw]
            if self.unterminated and not self._segments[-1].startswith(_TRAILERS):
                self._segments[-1] = self._segments[-1].rpartition(self.delimiters.element)[0]
        return self._segments

    def count(self) -> int:
        """Give the number of segments, without splitting them."""
        return self.text.count(self.delimiters.terminator) + self.unterminated

    def start(self, index: int) -> int:
        """Give the offset in the file of the segment's first byte that is not blank."""
        begin, end = self._edges()[index], self._edges()[index + 1] - len(self.delimiters.terminator)
        return self.offset + end - len(self.text[begin:end].lstrip(BLANK))

    def end(self, index: int) -> int:
        """Give the offset just behind the segment's terminator."""
        return min(self.offset + self._edges()[index + 1], self.stop)

    def _raw(self) -> list[bytes]:
        raw = self.text.split(self.delimiters.terminator)
        if not self.unterminated:
            raw.pop()
        return raw

    def _edges(self) -> list[int]:
        """Give where each segment begins in the text, and where one behind the last would."""
        if self._begins is None:
            width = len(self.delimiters.terminator)
            self._begins = [0, *accumulate(len(text) + width for text in self._raw())]
        return self._begins


class Oversized(msgspec.Struct, frozen=True):
    """A segment of more than SEGMENT_BYTES_MAX bytes, skipped. It counts as one segment."""

    offset: int
    number: int
    length: int
    terminated: bool


class Foreign(msgspec.Struct, frozen=True):
    """
    Bytes outside any interchange: before the first ISA, or behind an IEA.

    `blank`: only white space, padding or a byte order mark. `envelope_like`: "ISA" stands there, unreadable.
    `remittance_like`: an 835 transaction set begins there, without an envelope. `kind`: what begins there
    instead; no envelope is looked for in a ZIP, which may hold one whole, a part of one, or none.
    """

    offset: int
    length: int
    blank: bool
    envelope_like: bool
    remittance_like: bool
    kind: Kind | None


Token = Interchange | Batch | Oversized | Foreign


def tokenize(blocks: Iterable[bytes]) -> Iterator[Token]:
    """Give the tokens of a file, from blocks of any size: any chunking gives the same segments."""
    return _Tokenizer().tokens(_bounded(blocks))


def _bounded(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut large blocks, so that a batch never holds more than its share of memory."""
    for block in blocks:
        if len(block) <= _BLOCK_BYTES:
            yield bytes(block)
        else:
            for at in range(0, len(block), _BLOCK_BYTES):
                yield bytes(block[at : at + _BLOCK_BYTES])


class _Tokenizer:
    """The state between blocks: the bytes not yet consumed, where they stand, and what surrounds them."""

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0  # consumed of the buffer: moving it copies nothing, however many interchanges follow
        self._base = 0  # offset in the file of the buffer's first byte
        self._number = 1  # of the next segment
        self._delimiters: Delimiters | None = None  # None outside interchanges
        self._trailer: int | None = None  # the next IEA in the buffer, -1 without one, None before a search
        self._oversized_from: int | None = None  # offset of the segment being skipped
        self._foreign = _ForeignBytes(0)

    def tokens(self, blocks: Iterable[bytes]) -> Iterator[Token]:
        for block in blocks:
            self._base += self._at
            self._buffer, self._at, self._trailer = self._buffer[self._at :] + block, 0, None
            yield from self._advance(final=False)
        yield from self._advance(final=True)
        if self._oversized_from is not None:  # all of it has been skipped before the end was known
            yield self._oversized(self._oversized_from, terminated=False)
        yield from self._foreign.flush(self._offset)

    @property
    def _offset(self) -> int:
        return self._base + self._at

    @property
    def _left(self) -> int:
        return len(self._buffer) - self._at

    def _take(self, count: int) -> bytes:
        self._at += count
        return self._buffer[self._at - count : self._at]

    def _advance(self, *, final: bool) -> Iterator[Token]:
        """Consume what the buffer allows: interchanges may begin and end within one block."""
        while self._left:
            before = (self._at, self._delimiters, self._oversized_from)
            if self._delimiters is None:
                yield from self._outside(final=final)
            elif self._oversized_from is not None:
                yield from self._skip(self._oversized_from, self._delimiters.terminator, final=final)
            else:
                yield from self._inside(self._delimiters, final=final)
            if (self._at, self._delimiters, self._oversized_from) == before:
                return

    def _outside(self, *, final: bool) -> Iterator[Token]:
        """Look for an envelope; what is none is foreign."""
        found = self._buffer.find(b"ISA", self._at)
        if found < 0:
            self._foreign.add(self._take(self._left if final else max(0, self._left - 2)))
            return
        self._foreign.add(self._take(found - self._at))
        if self._left < ENVELOPE_BYTES_MAX and not final:
            return
        hidden = self._foreign.ends_in_word or self._foreign.kind == "zip_archive"
        envelope = None if hidden else self._envelope_at(self._at)
        if envelope is None:
            self._foreign.add(self._take(3))
            return
        yield from self._foreign.flush(self._offset)
        yield Interchange(self._offset, self._number, envelope)
        self._take(envelope.length)
        self._number += 1
        self._delimiters = envelope.delimiters

    def _envelope_at(self, at: int) -> Envelope | None:
        return read_envelope(self._buffer[at : at + ENVELOPE_BYTES_MAX])

    def _inside(self, delimiters: Delimiters, *, final: bool) -> Iterator[Token]:
        """Split what the buffer holds, up to the next segment that may be no ordinary one."""
        if (envelope := self._envelope_ahead(final=final)) != "no":
            if envelope == "yes":  # the interchange before it has no IEA
                self._leave()
            return
        terminator = delimiters.terminator
        text = self._buffer[self._at : self._ordinary_end(terminator)]
        ended, found, tail = text.rpartition(terminator)
        readable = _readable(ended + found, terminator)
        if readable:
            last = readable[: -len(terminator)].rpartition(terminator)[2].strip(BLANK)
            yield self._batch(delimiters, readable)
            if last == b"IEA" or last.startswith(b"IEA" + delimiters.element):
                self._leave()
        elif found or len(tail) > SEGMENT_BYTES_MAX:
            self._oversized_from = self._offset
        elif final and tail:
            yield from self._last(delimiters, tail)

    def _envelope_ahead(self, *, final: bool) -> Literal["yes", "no", "wait"]:
        """Tell whether the buffer goes on with a new interchange, whatever its delimiters."""
        begin = self._at
        while self._buffer[begin : begin + 1] in _BLANKS:
            begin += 1
        if not _ENVELOPE_START.match(self._buffer, begin):
            return "no"
        if len(self._buffer) < begin + ENVELOPE_BYTES_MAX and not final:
            return "wait"
        return "yes" if self._envelope_at(begin) else "no"

    def _ordinary_end(self, terminator: bytes) -> int:
        """Give where splitting stops: behind a trailer, before what may be an envelope, else at the end."""
        trailer = self._next_trailer()
        limit = len(self._buffer) if trailer < 0 else trailer
        # Not from the first byte: what begins there has just been found to be no envelope.
        envelope = self._buffer.find(b"ISA", self._at + len(terminator), limit)
        while envelope >= 0 and not self._begins_segment(envelope, terminator):
            envelope = self._buffer.find(b"ISA", envelope + 3, limit)
        if envelope >= 0:
            return envelope
        if trailer < 0:
            return limit
        end = self._buffer.find(terminator, trailer)
        return len(self._buffer) if end < 0 else end + len(terminator)

    def _next_trailer(self) -> int:
        """Look for the next IEA once: a file of nothing but torn ISAs would have it looked for at each."""
        if self._trailer is None or 0 <= self._trailer < self._at:
            self._trailer = self._buffer.find(b"IEA", self._at)
        return self._trailer

    def _begins_segment(self, at: int, terminator: bytes) -> bool:
        while at > self._at and not self._buffer.endswith(terminator, self._at, at):
            if self._buffer[at - 1 : at] not in _BLANKS:
                return False
            at -= 1
        return at > self._at

    def _batch(self, delimiters: Delimiters, text: bytes, *, unterminated: bool = False) -> Batch:
        batch = Batch.of(
            text, delimiters, offset=self._offset, number=self._number, unterminated=unterminated
        )
        self._at += len(text)
        self._number += batch.count()
        return batch

    def _last(self, delimiters: Delimiters, tail: bytes) -> Iterator[Token]:
        """Give what stands behind the last terminator of the file: padding, or a segment without one."""
        if tail.strip(BLANK):
            yield self._batch(delimiters, tail, unterminated=True)
        else:
            self._leave()

    def _skip(self, begin: int, terminator: bytes, *, final: bool) -> Iterator[Token]:
        """Drop a segment that is too long, in constant memory."""
        end = self._buffer.find(terminator, self._at)
        if end < 0:
            self._take(self._left if final else max(0, self._left - len(terminator) + 1))
            if not final:
                return
        else:
            self._take(end + len(terminator) - self._at)
        yield self._oversized(begin, terminated=end >= 0)

    def _oversized(self, begin: int, *, terminated: bool) -> Oversized:
        skipped = Oversized(begin, self._number, self._offset - begin, terminated)
        self._number += 1
        self._oversized_from = None
        return skipped

    def _leave(self) -> None:
        self._delimiters = None
        self._foreign = _ForeignBytes(self._offset)


def _readable(text: bytes, terminator: bytes) -> bytes:
    """Give the segments before the first that is too long."""
    # Whatever is too long covers one of these windows, so that lengths need not be looked at one by one.
    windows = range(0, len(text) - _WINDOW_BYTES, _WINDOW_BYTES)
    if all(text.find(terminator, at, at + _WINDOW_BYTES) >= 0 for at in windows):
        return text
    begin = 0
    while (end := text.find(terminator, begin)) >= 0 and end - begin <= SEGMENT_BYTES_MAX:
        begin = end + len(terminator)
    return text[:begin]


def _has_empty(text: bytes, terminator: bytes, around: tuple[bytes, bytes] | None) -> bool:
    """Tell whether a terminator follows a terminator; the text itself follows one."""
    if around is None:
        return _empty_segment(terminator).search(terminator + text) is not None
    joined = _without(around, text, terminator)
    return 2 * terminator in joined or joined.startswith(terminator)


@lru_cache(maxsize=64)
def _empty_segment(terminator: bytes) -> re.Pattern[bytes]:
    blank = b"[" + re.escape(b"".join(_BLANKS - {terminator})) + b"]"
    return re.compile(re.escape(terminator) + blank + b"*+" + re.escape(terminator))


def _blanks_around(text: bytes, terminator: bytes) -> tuple[bytes, bytes] | None:
    """Give the blanks before and behind every terminator; None where they are not the same at each."""
    if _is_clean(text, terminator):
        return _NO_BLANKS
    blank = BLANK.replace(terminator, b"")
    at = text.find(terminator, 1)
    segment, behind = text[:at], text[at + len(terminator) : at + len(terminator) + _BREAK_BYTES_MAX]
    around = segment[len(segment.rstrip(blank)) :], behind[: len(behind) - len(behind.lstrip(blank))]
    regular = text.startswith(around[1]) and _is_clean(_without(around, text, terminator), terminator)
    return around if regular else None


def _without(around: tuple[bytes, bytes], text: bytes, terminator: bytes) -> bytes:
    """Leave the same blanks around every terminator out; the text begins behind one and ends with one."""
    before, behind = around
    if around == _NO_BLANKS:
        return text
    return (text + behind)[len(behind) :].replace(before + terminator + behind, terminator)


def _is_clean(text: bytes, terminator: bytes) -> bool:
    """Tell cheaply that no segment has blanks around it: no line breaks anywhere, no space at an edge."""
    if any(blank in text for blank in _LINE_BLANKS if blank != terminator):
        return False
    if text[:1] == b" " or text[-1:] == b" ":
        return False
    return b" " not in text or (b" " + terminator not in text and terminator + b" " not in text)


_NO_BLANKS = (b"", b"")
_BREAK_BYTES_MAX = 8
_BLANK_OR_MARK = BLANK + b"\xef\xbb\xbf"
_BLANKS = frozenset(BLANK[index : index + 1] for index in range(len(BLANK)))
_LINE_BLANKS = _BLANKS - {b" "}


class _ForeignBytes:
    """Counts bytes outside interchanges, keeping only their last few."""

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._length = 0
        self._blank = True
        self._envelope_like = False
        self._remittance_like = False
        self._memory = b""
        self._beginning = b""

    def add(self, text: bytes) -> None:
        if not text:
            return
        if len(self._beginning) < BEGINNING_BYTES:
            self._beginning = (self._beginning + text).lstrip(_BLANK_OR_MARK)[:BEGINNING_BYTES]
        seen = self._memory + text
        self._length += len(text)
        self._blank = self._blank and not text.strip(_BLANK_OR_MARK)
        self._envelope_like = self._envelope_like or _ENVELOPE_START.search(seen) is not None
        self._remittance_like = self._remittance_like or _REMITTANCE.search(seen) is not None
        self._memory = seen[-8:]

    @property
    def ends_in_word(self) -> bool:
        """True where an ISA right here would be the end of a word."""
        return _ALPHANUMERIC_TAIL.search(self._memory) is not None

    @property
    def kind(self) -> Kind | None:
        return kind_of(self._beginning)

    def flush(self, end: int) -> Iterator[Foreign]:
        if self._length:
            yield Foreign(
                offset=self._offset,
                length=self._length,
                blank=self._blank,
                envelope_like=self._envelope_like,
                remittance_like=self._remittance_like,
                kind=self.kind,
            )
        self._offset, self._length, self._memory, self._beginning = end, 0, b"", b""
