"""A plain claim is read as one text (domain/plain.py), with the very result that reading it closely gives."""

import re
from decimal import Decimal
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.plain import LoopRead, PlainReader
from services.ingest.domain.reader import read
from services.ingest.simulate import Simulation, simulate
from tests.ingest.properties.remittances import REMITTANCES

WORDS = (
    b"", b"0", b"0.00", b"-0", b"1", b"-1", b"7.5", b"100", b"100.0", b"100.50", b"00100", b".5", b"5.", b"-7.50", b"0.001", b" 100", b"x",
    b"999999999.99", b"123456789012345678", b"1234567890123456789", b"250USD", b"\xc2\xb2", b"20260231", b"20240229", b"20260831",
    b"19000101", b"99991231", b"20261301", b"22", b"25", b"1", b"45", b"237", b"197", b"ZZ", b"CO", b" CO", b"HC:", b"HC::", b"HC:99213:",
    b"A B", b" A", b"A ", b" ", b"\x1d", b"\x1e", b"\x1f", b"A\x1eB", b"\x00", b"*", b"**", b"*0", b"*1*2", b"~", b"~~", b"~\n", b"6R", b"6RX",
    b"G1", b"EA", b"472", b"47", b"B6", b"I", b"CLP", b"CAS", b"SVC", b"MOA", b"MIA", b"MOA*0.50", b"MIA*1*2.00", b"LQ", b"DTM", b"NM1", b"QTY", b"XYZ",
)  # fmt: skip
CHANGES = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 9), st.sampled_from(WORDS)), min_size=0, max_size=3
)
BREAKS = st.sampled_from([(b"", b""), (b"", b"\n"), (b"", b"\r\n"), (b"\n", b""), (b" ", b" \n")])
DELIMITERS = st.sampled_from([b"*:~", b"|>!", b"\x1d\x1f\x1c", b"\x1f\x1d\x1e", b"\x1e:~", b"*:\n"])


def changed(text: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Replace elements of claims; a word may hold delimiters, and so make elements and segments of one."""
    segments = text.split(b"~")
    begin = next(at for at, segment in enumerate(segments) if segment.startswith(b"CLP"))
    for where, element, word in changes:
        at = begin + where % (len(segments) - begin - 4)
        elements = segments[at].split(b"*")
        elements[element % len(elements)] = word
        segments[at] = b"*".join(elements)
    return b"~".join(segments)


def told(text: bytes) -> list[bytes]:
    """Write down all that reading gives; amounts with the digits that they were sent with."""
    encoder = msgspec.json.Encoder(decimal_format="string")
    return [type(item).__name__.encode() + encoder.encode(item) for item in read([text])]


def told_closely(text: bytes) -> list[bytes]:
    with patch.object(PlainReader, "read", return_value=None):
        return told(text)


def with_cents(text: bytes) -> bytes:
    """Write the amounts of claims with two places, as many payers do; an inpatient part comes with them."""
    segments = []
    for segment in text.split(b"~"):
        elements = segment.split(b"*")
        for at in AMOUNTS.get(elements[0], ()):
            if at < len(elements) and re.fullmatch(rb"-?\d+(\.\d+)?", elements[at]):
                elements[at] = format(Decimal(elements[at].decode()), ".2f").encode()
        segments.append(b"*".join(elements))
        if elements[0] == b"CLP":
            segments.append(b"MIA*0***100.00*MA01*-5.50")
    return b"~".join(segments)


def with_points(text: bytes) -> bytes:
    """Write a point behind whole amounts."""
    return re.sub(rb"(?<=\*)(-?[0-9]+)\.00(?=[*~])", rb"\1.", with_cents(text))


def with_breaks(text: bytes) -> bytes:
    return text.replace(b"~", b"~\r\n")


def with_lines(text: bytes) -> bytes:
    return text.replace(b"~", b"\n")


AMOUNTS = {b"CLP": (3, 4, 5), b"SVC": (2, 3), b"CAS": range(3, 20, 3), b"AMT": (2,)}


@given(REMITTANCES, st.sampled_from([bytes, with_cents, with_points]), CHANGES, DELIMITERS, BREAKS)
def test_a_claim_read_as_one_text_is_what_it_is_read_closely(text, written, changes, delimiters, around):
    text = changed(written(text), changes).translate(bytes.maketrans(b"*:~", delimiters))
    terminator = delimiters[2:]
    text = text.replace(terminator, around[0] + terminator + around[1])

    assert told(text) == told_closely(text)


@pytest.mark.parametrize(
    "segment",
    [
        b"CAS*PR", b"CAS*PR*", b"CAS*PR*1", b"CAS*PR*1*20*", b"CAS*PR*1*20**", b"CAS*PR*1*20**2", b"CAS*PR*1*20*A*2*30",
        b"CAS*PR*1*20*2*30", b"CAS*PR*1*20*2A", b"SVC*HC:", b"SVC*HC:1*", b"SVC*HC:1*5*5*", b"SVC*HC:1*5*5*:", b"DTM*472",
        b"DTM*472*2026", b"AMT*B6", b"AMT*B6*1x", b"QTY*CA*", b"REF*EA*", b"LQ*HE*", b"MOA***MA01*", b"MOA***:",
    ],
)  # fmt: skip
@pytest.mark.parametrize("last", [True, False])
def test_a_segment_that_breaks_off_is_seen_wherever_it_stands(segment, last):
    text = b"".join(simulate(Simulation(claims=3, denied=0.0, reversed=0.0)))
    first, second = [found.start() for found in re.finditer(rb"(?<=~)CLP\*", text)][:2]
    at = second if last else text.index(b"~", first) + 1
    text = text[:at] + segment + b"~" + text[at:]

    assert told(text) == told_closely(text)


def test_every_file_of_the_corpus_reads_the_same_both_ways(corpus):
    for path in sorted(path for path in corpus.rglob("*") if path.is_file()):
        text = path.read_bytes()
        assert told(text) == told_closely(text), path.name


@pytest.mark.parametrize("written", [bytes, with_cents, with_breaks, with_lines])
@pytest.mark.parametrize("denied", [0.0, 1.0])
def test_simulated_claims_are_plain(denied, written):
    text = written(b"".join(simulate(Simulation(claims=200, denied=denied, reversed=0.0))))
    found: list[LoopRead | None] = []
    original = PlainReader.read
    with patch.object(PlainReader, "read", lambda *given: found.append(read := original(*given)) or read):
        told(text)

    assert len(found) == 200
    assert all(found)
