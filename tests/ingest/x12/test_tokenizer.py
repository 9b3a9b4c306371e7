from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.x12.tokenizer import (
    SEGMENT_BYTES_MAX,
    Batch,
    Foreign,
    Interchange,
    Oversized,
    tokenize,
)
from tests.ingest.x12.envelopes import interchange, isa

GS = b"GS*HP*A*B*20261102*0600*1*X*005010X221A1"
BODY = [GS, b"ST*835*0001", b"NM1*QC*1*ISAAC*ISA", b"SE*3*0001", b"GE*1*1"]


def flat(blocks):
    """Every token, batches taken apart: what must not depend on the chunking."""
    found = []
    accounted = 0
    for token in tokenize(blocks):
        match token:
            case Batch():
                for index, segment in enumerate(token.segments):
                    found.append((token.number + index, token.start(index), token.end(index), segment))
                accounted += token.end(len(token.segments) - 1) - token.offset
            case Interchange():
                found.append((token.number, token.offset, token.envelope))
                accounted += token.envelope.length
            case Oversized() | Foreign():
                found.append(token)
                accounted += token.length
    return found, accounted


def segments_of(content):
    return [one for token in tokenize([content]) if isinstance(token, Batch) for one in token.segments]


def cut(content, places):
    edges = [0, *sorted(place % (len(content) + 1) for place in places), len(content)]
    return [content[begin:end] for begin, end in pairwise(edges)]


DELIMITERS = st.sampled_from(
    [
        (b"*", b":", b"~", b""),
        (b"*", b":", b"~", b"\n"),
        (b"|", b">", b"\n", b""),
        (b"*", b":", b"\r\n", b""),
        (b"+", b"^", b"\x85", b"\r\n"),
        (b"*", b":", b"\xc2\xa7", b""),
        (b"\x1d", b"\x1f", b"\x1c", b""),
    ]
)
SEGMENTS = st.lists(
    st.lists(st.text("ABISAEG019. -", max_size=6).map(str.encode), min_size=1, max_size=5).map(
        lambda parts: b"NM1*" + b"*".join(parts)
    ),
    max_size=12,
)


@given(st.lists(st.tuples(DELIMITERS, SEGMENTS), max_size=3), st.lists(st.integers(0, 10**6), max_size=9))
def test_any_chunking_yields_the_same_segments_and_accounts_for_every_byte(interchanges, places):
    content = b"".join(
        interchange([GS, *segments, b"GE*0*1"], element=e, component=c, terminator=t, between=b)
        for (e, c, t, b), segments in interchanges
    )

    whole, accounted = flat([content])

    assert accounted == len(content)
    assert flat(cut(content, places)) == (whole, accounted)
    assert sum(isinstance(found, tuple) and len(found) == 3 for found in whole) == len(interchanges)


@given(st.binary(max_size=3000), st.lists(st.integers(0, 10**6), max_size=9))
def test_arbitrary_bytes_are_read_alike_in_any_chunking(content, places):
    for begin in (b"", isa()):
        whole, accounted = flat([begin + content])

        assert accounted == len(begin + content)
        assert flat(cut(begin + content, places)) == (whole, accounted)


def test_one_byte_at_a_time_is_enough():
    content = (
        b"\xef\xbb\xbfnote\n"
        + interchange(BODY, between=b"\r\n")
        + interchange(BODY, element=b"|")
        + b"\0\x1a"
    )

    assert flat([content[i : i + 1] for i in range(len(content))]) == flat([content])


def test_a_terminator_may_be_a_line_break_of_either_kind():
    for terminator in (b"\n", b"\r\n", b"\r"):
        assert segments_of(interchange(BODY, terminator=terminator))[:-1] == BODY


def test_mixed_line_breaks_end_the_same_segments():
    content = interchange(BODY, terminator=b"\r\n").replace(b"GE*1*1\r\n", b"GE*1*1\n")

    assert segments_of(content)[:-1] == BODY


def test_blanks_before_a_terminator_belong_to_no_segment():
    content = isa(terminator=b"\n~") + b"\n~".join([*BODY, b"IEA*1*000000001"])

    assert segments_of(content)[:-1] == BODY
    assert segments_of(interchange(BODY, terminator=b" ~"))[:-1] == BODY


def test_terminators_beyond_ascii_are_found():
    for terminator in (b"\x85", b"\xa7", b"\xc2\x85"):
        assert segments_of(interchange(BODY, terminator=terminator))[:-1] == BODY


def test_an_isa_without_its_last_element_still_tells_the_terminator():
    assert segments_of(interchange(BODY, component=b""))[:-1] == BODY


def test_an_isa_that_is_padded_wrongly_is_read_by_its_elements():
    content = interchange(BODY).replace(b"SENDER         ", b"SENDER")
    opened = next(iter(tokenize([content])))

    assert not opened.envelope.padded
    assert opened.envelope.elements[5] == b"SENDER"
    assert segments_of(content)[:-1] == BODY


def test_delimiters_are_found_anew_for_each_interchange():
    content = interchange(BODY) + interchange(BODY, element=b"|", component=b">", terminator=b"!")
    found = [token.delimiters for token in tokenize([content]) if isinstance(token, Batch)]

    assert [(d.element, d.component, d.terminator) for d in found] == [(b"*", b":", b"~"), (b"|", b">", b"!")]


def test_an_interchange_without_iea_ends_where_the_next_begins():
    open_ended = isa() + b"GS*1~ST*835*1~"
    found, _ = flat([open_ended + interchange(BODY, element=b"|", terminator=b"!")])

    assert sum(len(one) == 3 for one in found if isinstance(one, tuple)) == 2


def test_a_name_that_begins_with_isa_is_no_envelope():
    assert segments_of(interchange([b"N1*PR*ISA", b"ISAAC*1", b"ISA*X"]))[:-1] == [
        b"N1*PR*ISA",
        b"ISAAC*1",
        b"ISA*X",
    ]


def test_text_before_and_behind_is_foreign_and_counted():
    leading, _, trailing = (
        token
        for token in tokenize([b"Dear VISA* team\n" + interchange(BODY) + b"ST*835*1~"])
        if not isinstance(token, Batch)
    )

    assert (leading.offset, leading.length, leading.blank) == (0, 16, False)
    assert (trailing.length, trailing.remittance_like) == (9, True)


def test_padding_around_interchanges_is_blank():
    around = [
        t
        for t in tokenize([b"\xef\xbb\xbf\r\n" + interchange(BODY) + b"\r\n\0\0\x1a"])
        if isinstance(t, Foreign)
    ]

    assert [token.blank for token in around] == [True, True]


def test_the_last_segment_needs_no_terminator():
    content = interchange(BODY)[:-1]
    *_, last = tokenize([content])

    assert last.unterminated
    assert last.end(0) == len(content)
    assert last.segments == [b"IEA*1*000000001"]


def test_an_empty_segment_does_not_stop_reading():
    content = interchange([GS, b"", b"GE*0*1"])

    assert segments_of(content) == [GS, b"", b"GE*0*1", b"IEA*1*000000001"]


def test_a_segment_without_end_is_skipped_in_constant_memory():
    content = interchange([GS, b"NTE*" + b"x" * (5 * SEGMENT_BYTES_MAX), b"GE*0*1"])
    whole, accounted = flat([content])
    oversized = [token for token in whole if isinstance(token, Oversized)]

    assert [token.number for token in oversized] == [3]
    assert accounted == len(content)
    assert flat(cut(content, range(0, len(content), 1000))) == (whole, accounted)
    assert whole[-1][3] == b"IEA*1*000000001"


@pytest.mark.parametrize("terminator", [b"~", "§".encode()])
@pytest.mark.parametrize("beyond", [1, 100, SEGMENT_BYTES_MAX])
@pytest.mark.parametrize("step", [50, 4_096, 1 << 20])
def test_a_segment_without_end_at_the_end_of_the_file_is_told_and_counted(terminator, beyond, step):
    content = isa(terminator=terminator) + b"N" * (SEGMENT_BYTES_MAX + beyond)
    whole, accounted = flat(cut(content, range(0, len(content), step)))

    assert isinstance(whole[-1], Oversized)
    assert not whole[-1].terminated
    assert accounted == len(content)


def test_the_bound_is_exact():
    longest = b"N" * SEGMENT_BYTES_MAX

    assert longest in segments_of(interchange([longest]))
    assert longest + b"N" not in segments_of(interchange([longest + b"N"]))
