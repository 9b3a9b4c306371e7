"""
Hostile files: random bytes, and real remittances that something happened to. The same number, the same file.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from tests.conftest import CORPUS
from tests.ingest.domain.files import SAMPLES

PLANTED = b"ZQXPLANTEDZQX"
"""Stands where names and numbers of people and claims stood: no finding may ever repeat it."""

_SOURCE_BYTES_MAX = 6_000
_GIANT_BYTES_MAX = 200_000
_DELIMITERS = [bytes([byte]) for byte in b"*~:^|>+!\n\r\t\x1c\x1d\x1e\x1f\x85\xa7\x00 A0"] + [
    b"\r\n",
    "§".encode(),
]
_TAGS = (
    b"ISA GS ST BPR TRN CUR REF DTM N1 LX TS3 CLP CAS NM1 MIA MOA AMT QTY SVC LQ PLB SE GE IEA TA1".split()
)
_WORDS = [
    b"", b"0", b"-0", b"0.00", b"-1", b"1e9", b"1E400", b".", b"-", b"+5", b"1,250.00", b"250USD", b"NaN", b"Infinity",
    b"9" * 18, b"9" * 19, b"-" + b"9" * 400, b"0.001", b"00100", b" 100 ", b"\xc2\xb2", b"\xd9\xa3", b"1_000",
    b"20260231", b"19000101", b"99991231", b"00000000", b"2026", b"\xff\xfe", b"\x00", b"835", b"22", b"25", b"197",
    b"45", b"ISA", b"IEA", b"\xf0\x9f\x92\xb8", b"=1+1", PLANTED,
]  # fmt: skip

Mutation = Callable[[Random, bytes, Sequence[bytes]], bytes]


def sources() -> list[bytes]:
    """Give the files to begin with: our samples, and the corpus where it is present."""
    folders = [SAMPLES, CORPUS] if CORPUS.is_dir() else [SAMPLES]
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    texts = [path.read_bytes() for path in paths if path.suffix != ".tsv"]
    return [planted(text) for text in texts if len(text) <= _SOURCE_BYTES_MAX]


def planted(text: bytes) -> bytes:
    """Put the token where a claim's and a person's names and numbers stand."""
    text = re.sub(rb"(CLP([^0-9A-Za-z]))[^*|+~]*", rb"\1" + PLANTED, text)
    return re.sub(rb"(NM1([*|+])\w*\2\w*\2)[^*|+~]*", rb"\1" + PLANTED, text)


def hostile(number: str, files: Sequence[bytes]) -> bytes:
    """Make the file of this number."""
    chance = Random(number)  # noqa: S311 - not a secret: the same number must give the same file
    kind = chance.random()
    if kind < 0.04:
        return chance.randbytes(int(chance.expovariate(1 / 800)))
    if kind < 0.1:
        return _soup(chance)
    text = chance.choice(files)
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        text = chance.choice(MUTATIONS)(chance, text, files)[: 2 * _GIANT_BYTES_MAX]
    return text


def _soup(chance: Random) -> bytes:
    """Segments of this format in no order, behind an envelope or none."""
    head = b"ISA*00*          *00*          *ZZ*S              *ZZ*R              *261102*0600*^*00501*000000001*0*P*:~"
    tags = (
        b"*".join([chance.choice(_TAGS), *chance.choices(_WORDS, k=int(chance.expovariate(0.3)))])
        for _ in range(int(chance.expovariate(1 / 30)))
    )
    return (head if chance.random() < 0.8 else b"") + b"~".join(tags)


def _at(chance: Random, text: bytes) -> int:
    return chance.randrange(len(text) + 1)


def _terminator(text: bytes) -> bytes:
    found = re.search(rb"ISA[^0-9A-Za-z]", text)
    return text[found.start() + 105 : found.start() + 106] or b"~" if found else b"~"


def flip(chance: Random, text: bytes, _: Sequence[bytes]) -> bytes:
    changed = bytearray(text)
    for _ in range(chance.choice((1, 1, 4, 40))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut(chance: Random, text: bytes, _: Sequence[bytes]) -> bytes:
    return text[: _at(chance, text)]


def behead(chance: Random, text: bytes, _: Sequence[bytes]) -> bytes:
    return text[_at(chance, text) :]


def drop_bytes(chance: Random, text: bytes, _: Sequence[bytes]) -> bytes:
    at = _at(chance, text)
    return text[:at] + text[at + int(chance.expovariate(0.05)) :]


def insert(chance: Random, text: bytes, _: Sequence[bytes]) -> bytes:
    at = _at(chance, text)
    return (
        text[:at]
        + chance.choice((chance.randbytes(chance.randrange(1, 9)), *_WORDS, *_DELIMITERS))
        + text[at:]
    )


def nuls(chance: Random, text: bytes, _: Sequence[bytes]) -> bytes:
    at = _at(chance, text)
    return text[:at] + chance.choice((b"\0", b"\x1a", b"\r\n", b" ")) * chance.choice((1, 9, 500)) + text[at:]


def giant(chance: Random, text: bytes, _: Sequence[bytes]) -> bytes:
    at = _at(chance, text)
    size = chance.choice(
        (100, 1_100) if chance.random() < 0.8 else (65_400, 65_536, 66_000, _GIANT_BYTES_MAX)
    )
    return text[:at] + chance.choice((b"9", b"x", b"*", b":", b"\xff", b" ")) * size + text[at:]


def repeat(chance: Random, text: bytes, _: Sequence[bytes]) -> bytes:
    at = _at(chance, text)
    piece = text[at : at + chance.choice((1, 4, 20, 120, 600))]
    times = chance.choice((2, 30) if chance.random() < 0.95 else (3_000, 70_000))
    times = min(times, _GIANT_BYTES_MAX // (len(piece) or 1))
    return text[:at] + piece * times + text[at:]


def shuffle(chance: Random, text: bytes, _: Sequence[bytes]) -> bytes:
    end = _terminator(text)
    segments = text.split(end)
    begin = chance.randrange(len(segments))
    some = segments[begin : begin + chance.choice((2, 4, 400))]
    chance.shuffle(some)
    return end.join(segments[:begin] + some + segments[begin + len(some) :])


def drop_segment(chance: Random, text: bytes, _: Sequence[bytes]) -> bytes:
    end = _terminator(text)
    segments = text.split(end)
    del segments[chance.randrange(len(segments))]
    return end.join(segments)


def double_segment(chance: Random, text: bytes, _: Sequence[bytes]) -> bytes:
    end = _terminator(text)
    segments = text.split(end)
    at = chance.randrange(len(segments))
    return end.join(segments[:at] + segments[at : at + 1] * chance.choice((2, 2, 8)) + segments[at + 1 :])


def splice(chance: Random, text: bytes, files: Sequence[bytes]) -> bytes:
    other = chance.choice(files)
    return text[: _at(chance, text)] + other[_at(chance, other) :]


def join(chance: Random, text: bytes, files: Sequence[bytes]) -> bytes:
    return text + chance.choice((b"", b"\n", b"\xef\xbb\xbf", b"some words ")) + chance.choice(files)


def swap_delimiter(chance: Random, text: bytes, _: Sequence[bytes]) -> bytes:
    """Everywhere, or from some place on."""
    at = chance.choice((0, _at(chance, text)))
    old, new = chance.choice((b"*", b"~", b":", b"|", b"\n", b"^")), chance.choice(_DELIMITERS)
    return text[:at] + text[at:].replace(old, new)


def word(chance: Random, text: bytes, _: Sequence[bytes]) -> bytes:
    """Put something else where an element stands."""
    elements = text.split(b"*")
    for _ in range(chance.choice((1, 1, 6))):
        elements[chance.randrange(len(elements))] = chance.choice(_WORDS)
    return b"*".join(elements)


MUTATIONS: tuple[Mutation, ...] = (
    flip, flip, cut, behead, drop_bytes, insert, nuls, giant, repeat, shuffle, shuffle, drop_segment,
    double_segment, splice, join, swap_delimiter, word, word, word,
)  # fmt: skip


def minimal(text: bytes, fails: Callable[[bytes], bool], tries_max: int = 1_500) -> bytes:
    """Take away what the failure does not need: halves first, single bytes last."""
    size, tries = len(text) // 2, 0
    while size and tries < tries_max:
        at, before = 0, text
        while at < len(text) and tries < tries_max:
            tries += 1
            shorter = text[:at] + text[at + size :]
            if fails(shorter):
                text = shorter
            else:
                at += size
        if text == before or size > 1:
            size //= 2
    return text


def saved(folder: Path, number: str, text: bytes) -> Path:
    """Keep a failing file where git does not look."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number.replace(':', '-')}.835"
    path.write_bytes(text)
    return path
