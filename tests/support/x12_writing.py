"""
835s written otherwise: other delimiters, line breaks, envelopes, ways of writing an amount; and written back.

Texts come with the delimiters * : ^ ~ and an ISA of 106 characters; `Style` says how they are to be written.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from services.ingest.x12.tokenizer import Batch, Foreign, Interchange, Oversized, tokenize

WIDTHS = (2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1)
"""Of the sixteen elements of an ISA, as the standard pads them."""


@dataclass(frozen=True)
class Style:
    element: bytes = b"*"
    component: bytes = b":"
    repetition: bytes = b"^"
    terminator: bytes = b"~"
    between: Sequence[bytes] = (b"",)
    """What stands behind the terminators, in turn: line breaks."""
    before: bytes = b""
    behind: bytes = b""


def styled(text: bytes, style: Style) -> bytes:
    """Write a file of one interchange in another style."""
    table = {b"*": style.element, b":": style.component, b"^": style.repetition}
    written = [style.before]
    for index, segment in enumerate(segments(text)):
        written += [
            re.sub(rb"[*:^]", lambda found: table[found[0]], segment),
            style.terminator,
            style.between[index % len(style.between)],
        ]
    return b"".join([*written, style.behind])


def segments(text: bytes) -> list[bytes]:
    """Split a file of one interchange; the ISA is the first."""
    return [segment for segment in re.split(rb"~[\r\n]*", text) if segment]


def joined(pieces: Iterable[bytes]) -> bytes:
    return b"".join(segment + b"~" for segment in pieces)


def recounted(pieces: Sequence[bytes]) -> list[bytes]:
    """Let each SE01 tell how many segments its set has now: a sender who counts what he sends."""
    written, count = [], 0
    for segment in pieces:
        count = 1 if segment.startswith(b"ST*") else count + 1
        tag, _, rest = segment.partition(b"*")
        if tag == b"SE":
            _, _, control = rest.partition(b"*")
            segment = b"*".join([b"SE", b"%d" % count, control])  # noqa: PLW2901
        written.append(segment)
    return written


def with_amounts(text: bytes, write: Callable[[bytes], bytes]) -> bytes:
    """Write the amounts of CLP, CAS and SVC anew."""
    places = {b"CLP": (3, 4, 5), b"CAS": range(3, 20, 3), b"SVC": (2, 3)}
    pieces = []
    for segment in segments(text):
        parts = segment.split(b"*")
        for at in places.get(parts[0], ()):
            if at < len(parts) and parts[at]:
                parts[at] = write(parts[at])
        pieces.append(b"*".join(parts))
    return joined(pieces)


def rendered(content: bytes) -> bytes:
    """
    Write back what the tokenizer made of a file, without the line breaks that it may ignore.

    Foreign and oversized bytes are taken from the file: the tokens tell their place only.
    """
    written = []
    terminator = b""
    for token in tokenize([content]):
        match token:
            case Interchange(envelope=envelope):
                terminator = envelope.delimiters.terminator
                elements = (one.ljust(width) for one, width in zip(envelope.elements, WIDTHS, strict=True))
                written += [envelope.delimiters.element.join([b"ISA", *elements]), terminator]
            case Batch(segments=found, unterminated=unterminated):
                written.append(terminator.join(found) + (b"" if unterminated else terminator))
            case Foreign() | Oversized():
                written.append(content[token.offset : token.offset + token.length])
    return b"".join(written)
