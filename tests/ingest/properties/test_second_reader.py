"""
The program against the plain reader that shares no code with it, on remittances that something happened to.

Segments are lost, doubled, mixed up, and elements replaced. Where the plain reader may judge, both must find the
same claims, amounts, denials and faults. What it cannot judge (a torn envelope, torn amounts of adjustments) it
says; the words that the two read differently on purpose (NUL, more than 18 digits) are left out.
"""

from collections import Counter
from random import Random

from tests.ingest.domain.files import SAMPLES, reading
from tests.ingest.fuzz import mutations
from tests.ingest.properties.remittances import RICH
from tests.support import x12_plain

CASES = 1_500
WORDS = (b"", b"0", b"-1", b"7.5", b"100", b"x", b"250USD", b"1,250.00", b"20260231", b"19000101", b"22", b"25", b"197", b"45", b"ZZ", b"CO")  # fmt: skip


def word(chance: Random, text: bytes, _: object) -> bytes:
    elements = text.split(b"*")
    at = chance.randrange(17, len(elements))  # behind the ISA
    if b"~" in elements[at]:
        return text
    return b"*".join([*elements[:at], chance.choice(WORDS), *elements[at + 1 :]])


CHANGES = (mutations.drop_segment, mutations.double_segment, mutations.shuffle, word, word, word, word)


def test_two_readers_find_the_same_in_damaged_remittances():
    files = [path.read_bytes() for path in sorted(SAMPLES.glob("*.835"))] + [RICH]
    files = [text for text in files if text[:4] == b"ISA*" and text[105:106] == b"~"]
    judged = Counter()
    for number in range(CASES):
        chance = Random(f"second reader {number}")  # noqa: S311 - the same number, the same file
        text = chance.choice(files)
        for _ in range(chance.choice((1, 1, 2, 4))):
            text = chance.choice(CHANGES)(chance, text, files)
        try:
            facts = x12_plain.facts(text)
        except x12_plain.Odd:
            judged["odd"] += 1
            continue
        judged["plain"] += 1
        assert told(text) == (+facts.findings, *(getattr(facts, name) for name in NAMES)), number

    assert judged["plain"] > CASES / 3


NAMES = ("sets", "claims", "quarantined", "reversals", "denied", "denied_amount", "charge", "paid")


def told(text: bytes) -> tuple[object, ...]:
    read = reading(text)
    kinds = Counter(claim.kind for claim in read.claims)
    return (
        Counter(found.code for found in read.findings),
        read.closed.transaction_sets,
        sum(one.claims_read for one in read.sets),
        len(read.quarantined),
        kinds["reversed"],
        kinds["denied"],
        sum(claim.denied_amount for claim in read.claims),
        sum(one.charge_amount for one in read.sets),
        sum(one.paid_amount for one in read.sets),
    )
