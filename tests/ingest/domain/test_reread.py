import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.domain.reread import reread_claim
from services.ingest.simulate import Simulation, simulate
from services.ingest.x12.tokenizer import SEGMENT_BYTES_MAX
from shared.errors import UnreadableError
from tests.ingest.domain.files import one_claim, reading, transaction_set, wrapped


def reread_all(content):
    read = reading(content)
    owners = [
        header for header, one in zip(read.headers, read.sets, strict=True) for _ in range(one.claims_read)
    ]
    again = [
        reread_claim(
            header,
            content[claim.byte_offset : claim.byte_offset + claim.byte_length],
            position=claim.position,
            ordinal=claim.ordinal,
            byte_offset=claim.byte_offset,
            segment_number=claim.segment_number,
            truncated=claim.truncated,
        )
        for header, claim in zip(owners, read.claims, strict=True)
    ]
    return again, read.claims


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([b"~", b"~\r\n", b"\n", b" ~\n", b"~~", b"!"]), st.booleans())
def test_a_claim_read_again_from_its_bytes_is_the_same(seed, terminator, cut):
    content = b"".join(simulate(Simulation(seed=seed, claims=9, claims_per_set=4, reversed=0.3, denied=0.5)))
    begin = content.index(b"GS*")
    content = content[: begin - 1] + terminator + content[begin:].replace(b"~", terminator)
    if cut:
        content = content[: content.rindex(b"REF*6R")]
    if not cut or len(reading(content).sets) == len(reading(content).headers):
        again, claims = reread_all(content)
        assert again == claims
        assert claims


def test_a_claim_with_findings_is_the_same_again():
    content = wrapped(
        transaction_set(["CLP*A*1*100*5**12*P~ZZ*1~~SVC*HC:1*x*5~DTM*472*9999~CAS*CO*197*q~CAS*CO*45*1"])
    )
    again, claims = reread_all(content)

    assert again == claims
    assert len(claims[0].findings) > 4


@pytest.mark.parametrize("giants", [1, 3])
@pytest.mark.parametrize("behind", ["~CAS*CO*45*1~ZZ*1", ""])
def test_a_claim_that_lost_a_segment_for_its_length_is_the_same_again(giants, behind):
    giant = "~NTE*ADD*" + "x" * (SEGMENT_BYTES_MAX + 1)
    content = wrapped(
        transaction_set(["CLP*A*1*100*5**12*P~DTM*036*1" + giant * giants + behind, "CLP*B*1*1*1"])
    )
    again, claims = reread_all(content)

    assert again == claims
    assert reading(content).codes.count("oversized_segment") == giants


@pytest.mark.parametrize("loop", [b"", b"~", b"NM1*QC~", b"CLP", b"CLP*A*1*x*0~", b"LP*A*1*1*0~", b"\n\n"])
def test_bytes_that_are_no_claim_are_unreadable(loop):
    (header,) = one_claim("CLP*A*1*0*0").headers

    with pytest.raises(UnreadableError):
        reread_claim(header, loop, position=1)
