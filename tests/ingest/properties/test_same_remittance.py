"""The same remittance, however it comes, has the same events; another amount makes another event."""

import re
from collections import Counter
from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.ingest.domain.files import reading
from tests.ingest.properties.remittances import REMITTANCES, RICH, ids, simulated
from tests.support.x12_writing import joined, recounted, segments, with_amounts

CONTROL = st.integers(1, 999_999_999).map(lambda number: b"%09d" % number)


def enveloped(text: bytes, isa: bytes, group: bytes, sets: bytes, day: bytes) -> bytes:
    """Put other control numbers and dates into the envelope: what a clearinghouse does when it sends on."""
    pieces, count = [], 0
    for segment in segments(text):
        parts = segment.split(b"*")
        count += parts[0] == b"ST"
        number = b"%s%04d" % (sets, count)
        places = {
            b"ISA": {9: day[2:], 13: isa},
            b"GS": {4: day, 5: b"2359", 6: group},
            b"ST": {2: number},
            b"SE": {2: number},
            b"GE": {2: group},
            b"IEA": {2: isa},
        }.get(parts[0], {})
        pieces.append(b"*".join(places.get(at, part) for at, part in enumerate(parts)))
    return joined(pieces)


@given(REMITTANCES, CONTROL, CONTROL, st.integers(1, 99), st.dates(date(1981, 1, 1), date(2098, 12, 31)))
def test_another_envelope_gives_the_same_events(text, isa, group, sets, day):
    again = enveloped(text, isa, group, b"%d" % sets, day.strftime("%Y%m%d").encode())

    assert again != text
    assert reading(again).codes == []
    assert ids(reading(again)) == ids(reading(text))


@given(simulated(), st.data())
def test_one_remittance_in_two_files_gives_the_same_events(text, chance):
    """Each file has the header of every set, and some of its claims."""
    read = reading(text)
    digests = [(claim.digest, claim.kind) for claim in read.claims]
    assume(len(set(digests)) == len(digests))  # equal claims of one set are told apart by their order in it
    loops = [text[claim.byte_offset : claim.byte_offset + claim.byte_length] for claim in read.claims]
    first = chance.draw(st.sets(st.sampled_from(range(len(loops))))) if len(loops) > 1 else {0}
    halves = []
    for keep in (first, set(range(len(loops))) - first):
        half = text
        for at, loop in enumerate(loops):
            if at not in keep:
                half = half.replace(loop, b"", 1)
        halves.append(joined(recounted(segments(half))))
    together = Counter(ids(reading(halves[0])) + ids(reading(halves[1])))

    assert together == Counter(ids(read))


WRITINGS = [
    lambda amount: amount if b"." in amount else amount + b".",
    lambda amount: amount + (b"0" if b"." in amount else b".00"),
    lambda amount: re.sub(rb"^(-?)", rb"\g<1>000", amount),
    lambda amount: amount if amount.startswith(b"-") else b"+" + amount,
    lambda amount: b" " + amount + b"  ",
    lambda amount: re.sub(rb"\.0+$|(\.\d*[1-9])0+$", rb"\1", amount),
]


@given(REMITTANCES, st.sampled_from(WRITINGS))
def test_amounts_written_otherwise_give_the_same_events(text, write):
    assert ids(reading(with_amounts(text, write))) == ids(reading(text))


@given(REMITTANCES, st.data())
def test_one_changed_amount_changes_the_event_of_its_claim_alone(text, chance):
    read = reading(text)
    places = [0]

    def count(amount: bytes) -> bytes:
        places[0] += 1
        return amount

    with_amounts(text, count)
    at = chance.draw(st.integers(1, places[0]))
    places[0] = 0

    def change(amount: bytes) -> bytes:
        places[0] += 1
        return amount if places[0] != at else (b"%.2f" % (float(amount) + 7))

    changed = ids(reading(with_amounts(text, change)))
    before = ids(read)

    assert len(changed) == len(before)
    assert sum(one != other for one, other in zip(changed, before, strict=True)) == 1
    assert len(set(changed) - set(before)) == 1


def test_a_test_copy_has_other_events():
    assert not set(ids(reading(RICH))) & set(ids(reading(RICH.replace(b"*0*P*:~", b"*0*T*:~"))))


@st.composite
def adjusted(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """The CAS segments of one level, and the same adjustments in other segments and another order."""
    reasons = st.sampled_from([b"197", b"29", b"45", b"1", b"23", b"50", b"ZZ9", b"0197"])
    triplets = draw(
        st.lists(
            st.tuples(
                st.sampled_from([b"CO", b"PR", b"OA"]), reasons, st.integers(-5_000, 9_000).filter(bool)
            ),
            min_size=1,
            max_size=9,
        )
    )

    one_by_one = [b"CAS*%s*%s*%.2f" % (group, reason, cents / 100) for group, reason, cents in triplets]
    order = draw(st.permutations(triplets))
    joint: list[bytes] = []
    for group, reason, cents in order:
        piece = b"%s*%.2f*" % (reason, cents / 100)
        if (
            joint
            and joint[-1].startswith(b"CAS*" + group)
            and joint[-1].count(b"*") < 19
            and draw(st.booleans())
        ):
            joint[-1] += b"*" + piece
        else:
            joint.append(b"CAS*" + group + b"*" + piece)
    return one_by_one, joint


@pytest.mark.parametrize("line", [b"", b"SVC*HC:99213*500*100"])
@given(adjusted())
def test_order_and_grouping_of_adjustments_never_change_what_is_denied(line, pair):
    amounts, sums = [], []
    for adjustments in pair:
        head = [b"CLP*A*1*500*100**12*P", *([line] if line else [])]
        pieces = segments(RICH)
        begin, end = (next(i for i, s in enumerate(pieces) if s.startswith(t)) for t in (b"CLP*", b"PLB*"))
        (claim,) = reading(joined([*pieces[:begin], *head, *adjustments, *pieces[end:]])).claims
        amounts.append(claim.denied_amount)
        by_code: Counter[tuple[str, str]] = Counter()
        for item in claim.denied:
            by_code[item.group, item.reason] += item.amount
        sums.append(by_code)

    assert amounts[0] == amounts[1]
    assert sums[0] == sums[1]
