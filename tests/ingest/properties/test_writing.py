"""However a remittance is cut, delimited and broken into lines, it means the same; and it can be written back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.x12.tokenizer import Batch, tokenize
from tests.ingest.domain.files import SAMPLES, reading
from tests.ingest.properties.remittances import REMITTANCES, RICH, model, read_whole, simulated
from tests.support.x12_writing import Style, rendered, segments, styled

SINGLE = [
    bytes([byte]) for byte in b"|!+&%#$@?;=<>_^:*~`'\"\\{}[]" + bytes(range(0x1C, 0x20)) + b"\x85\xa6\xa7\xff"
]
BEYOND_ASCII = ["§".encode(), "¦".encode(), "\x85".encode()]
LINE_ENDS = [b"\n", b"\r", b"\r\n"]
BREAKS = st.lists(
    st.sampled_from([b"", b"\n", b"\r\n", b"\r", b"\n\n", b"  \r\n", b" "]), min_size=1, max_size=5
)


@st.composite
def styles(draw: st.DrawFn) -> Style:
    """Any four delimiters that differ, and whatever may stand between, before and behind the segments."""
    element, component, repetition = draw(
        st.lists(st.sampled_from([*SINGLE, *BEYOND_ASCII]), min_size=3, max_size=3, unique=True).filter(
            lambda found: not any(one != other and one in other for one in found for other in found)
        )
    )
    free = [
        one
        for one in [*SINGLE, *BEYOND_ASCII, *LINE_ENDS]
        if not set(one) & set(element + component + repetition)
    ]
    return Style(
        element,
        component,
        repetition,
        draw(st.sampled_from(free)),
        between=draw(BREAKS),
        before=draw(st.sampled_from([b"", b"\xef\xbb\xbf", b"\r\n", b"  \n"])),
        behind=draw(st.sampled_from([b"", b"\n", b"\x1a", b"\0" * 9, b" \r\n\x1a", b"\n" * 3000])),
    )


def is_legal(style: Style, text: bytes) -> bool:
    """Tell that no delimiter stands in the values, and no terminator between two segments: that is an empty one."""
    used = style.element + style.component + style.repetition + style.terminator
    values = set(text) - set(b"*:^~")
    between = b"".join(style.between)
    return not set(used) & values and not (style.terminator in LINE_ENDS and set(between) & set(b"\r\n"))


@given(REMITTANCES, styles())
def test_any_legal_delimiters_and_line_breaks_give_the_same_model(text, style):
    if is_legal(style, text):
        assert model(read_whole(styled(text, style))) == model(reading(text))


@given(simulated(), st.data())
def test_any_blocks_give_the_same_reading(text, chance):
    size = chance.draw(st.sampled_from([1, 2, 3, 7, 61, 1024, len(text)]))
    blocks = [text[at : at + size] for at in range(0, len(text), size)]
    places = sorted(chance.draw(st.lists(st.integers(0, len(text)), max_size=9)))
    uneven = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]

    assert reading(*blocks) == reading(*uneven) == reading(text)


@pytest.mark.parametrize(
    "style", [Style(), Style(terminator=b"\n"), Style(terminator="§".encode(), between=[b"\r\n"])]
)
def test_single_bytes_give_the_same_reading_in_every_style(style):
    content = styled(RICH, style)

    assert reading(*(bytes([byte]) for byte in content)) == reading(content)


@given(REMITTANCES, styles())
def test_what_is_read_can_be_written_back(text, style):
    bare = Style(style.element, style.component, style.repetition, style.terminator)
    padded = style.before.strip() or style.behind.strip(b" \r\n")
    if not is_legal(style, text) or style.terminator in LINE_ENDS:
        return
    if len(style.element + style.component + style.repetition) == 3:
        assert rendered(styled(text, bare)) == styled(text, bare)
        if not padded:
            assert rendered(styled(text, style)).strip(b" \r\n") == styled(text, bare)


@given(REMITTANCES)
def test_the_claims_and_the_segments_around_them_are_the_file(text):
    read = read_whole(text)
    left = bytearray(text)
    for claim in reversed(read.claims):
        loop = text[claim.byte_offset : claim.byte_offset + claim.byte_length]
        assert claim.loop + b"~" == loop
        del left[claim.byte_offset : claim.byte_offset + claim.byte_length]
    outside = {segment.partition(b"*")[0] for segment in segments(bytes(left))}

    assert not outside & {b"CLP", b"CAS", b"NM1", b"SVC", b"AMT", b"MOA", b"MIA", b"LQ"}
    assert sum(claim.byte_length for claim in read.claims) + len(left) == len(text)


def test_every_conforming_public_file_can_be_written_back(corpus):
    paths = sorted(path for folder in (corpus, SAMPLES) for path in folder.rglob("*") if path.is_file())
    same = 0
    for path in paths:
        content = path.read_bytes()
        codes = reading(content).codes
        if path.suffix == ".tsv" or "envelope_length" in codes:
            continue  # where the ISA is not padded, only its elements are kept
        flat = content.translate(None, _BLANKS)
        again = rendered(content).translate(None, _BLANKS)
        assert again == flat or (_is_cut(content) and flat.startswith(again)), path.name
        same += 1

    assert same > 200


_BLANKS = b"\r\n \x1a\0"


def _is_cut(content: bytes) -> bool:
    """Of a segment that the end of the file cuts, the last element is left out."""
    return any(isinstance(token, Batch) and token.unterminated for token in tokenize([content]))
