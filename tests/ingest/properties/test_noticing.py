"""
What is missing, doubled or cut is noticed; where it is not, the table below says why it need not be.

Every segment between ST and SE is counted, so a loss on the way is always noticed. The tables are for senders
who count what they send: they hold what a set may lack, repeat, or leave short, and its reader cannot know.
"""

import pytest

from tests.ingest.domain.files import SAMPLES, reading
from tests.ingest.properties.remittances import RICH
from tests.support.x12_writing import joined, recounted, segments

SEGMENTS = segments(RICH)
PLACES = range(len(SEGMENTS))
GUIDE = "not required, or not everywhere, and nothing that was decided depends on it"
CONFORMANCE = "a fault of form: the 999 tells of it, nothing that was decided depends on it"
FALL_BACK = (
    "situational: another date stands in, and the event says which (payer_date_source, service_date_source)"
)

MAY_BE_ABSENT = {
    "CUR": "situational: dollars",
    "DTM": FALL_BACK,
    "REF": GUIDE,
    "PER": GUIDE,
    "LX": "numbers the claims' batches; nothing is read from it",
    "TS3": "situational: a summary",
    "NM1": GUIDE,
    "MOA": GUIDE,
    "MIA": GUIDE,
    "AMT": GUIDE,
    "QTY": GUIDE,
    "LQ": GUIDE,
    "SVC": "lines need not add up to their claim (TR3 1.10.2); its adjustments count for the level before it",
}
MAY_BE_REPEATED = {
    "CUR": CONFORMANCE,
    "DTM": CONFORMANCE,
    "REF": GUIDE,
    "PER": GUIDE,
    "LX": "loop 2000 repeats",
    "TS3": CONFORMANCE,
    "NM1": CONFORMANCE,
    "MOA": CONFORMANCE,
    "MIA": CONFORMANCE,
    "AMT": GUIDE,
    "QTY": GUIDE,
    "LQ": GUIDE,
}
MAY_END_AFTER = {  # that many elements
    "BPR": (2, "how the money moves; without BPR16 another date stands in"),
    "TRN": (2, CONFORMANCE),
    "CUR": (0, "then it is dollars"),
    "N1": (2, "the name suffices"),
    "REF": (0, CONFORMANCE),
    "PER": (0, CONFORMANCE),
    "TS3": (0, CONFORMANCE),
    "CLP": (4, "CLP05 is situational; the rest is form"),
    "CAS": (3, "the quantity is situational"),
    "NM1": (0, CONFORMANCE),
    "MOA": (0, GUIDE),
    "MIA": (0, GUIDE),
    "SVC": (3, "the rest is situational"),
    "LQ": (1, CONFORMANCE),
}


def tag(segment: bytes) -> str:
    return segment.partition(b"*")[0].decode()


def noticed(pieces: list[bytes]) -> bool:
    content = joined(pieces)
    read = reading(content)
    assert read.closed.bytes_read == len(content)
    return bool(read.codes) or read.closed.refusal is not None


def without(place: int) -> list[bytes]:
    return SEGMENTS[:place] + SEGMENTS[place + 1 :]


def doubled(place: int) -> list[bytes]:
    return SEGMENTS[: place + 1] + SEGMENTS[place:]


def test_the_file_itself_has_nothing_to_notice():
    assert joined(SEGMENTS) == RICH
    assert not noticed(SEGMENTS)
    assert recounted(SEGMENTS) == SEGMENTS


@pytest.mark.parametrize("change", [without, doubled])
def test_a_segment_lost_or_doubled_on_the_way_is_noticed(change):
    assert [SEGMENTS[place] for place in PLACES if not noticed(change(place))] == []


@pytest.mark.parametrize(("change", "legal"), [(without, MAY_BE_ABSENT), (doubled, MAY_BE_REPEATED)])
def test_a_segment_that_the_sender_left_out_or_repeated_is_noticed_or_legal(change, legal):
    passed = {tag(SEGMENTS[place]) for place in PLACES if not noticed(recounted(change(place)))}

    assert passed == legal.keys()  # and no reason stands there for nothing


def test_a_segment_cut_short_is_noticed_or_legal():
    passed: dict[str, int] = {}
    for place in PLACES[1:]:
        elements = SEGMENTS[place].split(b"*")
        for kept in range(1, len(elements)):
            if not noticed([*SEGMENTS[:place], b"*".join(elements[:kept]), *SEGMENTS[place + 1 :]]):
                name = elements[0].decode()
                passed[name] = min(passed.get(name, kept - 1), kept - 1)

    assert passed == {name: kept for name, (kept, _) in MAY_END_AFTER.items()}


@pytest.mark.parametrize("name", ["", *sorted(path.name for path in SAMPLES.glob("*.835"))])
def test_a_file_cut_at_any_byte_is_noticed_and_what_came_before_stands(name):
    content = (SAMPLES / name).read_bytes() if name else RICH
    whole = reading(content).claims
    body = len(content.rstrip()) - 1  # the last terminator may be missing
    for cut in range(body):
        read = reading(content[:cut])
        codes = set(read.codes)
        assert read.closed.bytes_read == cut
        assert read.closed.refusal or codes, cut
        before = read.claims[:-1] if "set_truncated" in codes else read.claims
        assert before == whole[: len(before)], cut
