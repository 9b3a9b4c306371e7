"""TA1, 999 and 997 as X12: byte for byte, by the guide's rules, and as pyx12 reads them."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.acknowledgments.validators import Validators
from tests.ingest.acknowledgments.answers import answers, judge, pyx12_accepts
from tests.ingest.acknowledgments.guide import faults, split
from tests.ingest.remittances import TestSet, denied, remittance

SOUND = remittance(TestSet([denied("A1")]))
TWO_SETS = remittance(TestSet([denied("A1")]), TestSet([denied("A2")], trace="T2"))

GOLDEN = """\
ISA*00*          *00*          *ZZ*PROVIDER       *ZZ*CLEARINGHOUSE  *260302*0830*^*00501*000000001*0*P*:~
GS*FA*PROVIDER*CLEARINGHOUSE*20260302*083015*1*X*005010X231A1~
ST*999*0001*005010X231A1~
AK1*HP*1*005010X221A1~
AK2*835*0001~
IK3*BPR*2**8~
IK4*16*373*8~
IK3*PER*8*1000*3~
IK3*SVC*12*2110*8~
IK4*1:3*1339*4~
IK3*CAS*14*2110*8~
IK4*6*782*2~
CTX*SITUATIONAL TRIGGER*CAS*14**5~
IK5*E*4*5~
AK2*835*0002~
IK5*A~
AK9*E*2*2*2~
SE*16*0001~
GE*1*1~
IEA*1*000000001~
"""

GOLDEN_TA1 = """\
ISA*00*          *00*          *ZZ*PROVIDER       *ZZ*CLEARINGHOUSE  *260302*0830*^*00501*000000001*0*P*:~
TA1*000000001*260301*1200*E*001~
IEA*0*000000001~
"""

GOLDEN_997 = """\
ISA*00*          *00*          *ZZ*PROVIDER       *ZZ*CLEARINGHOUSE  *260302*0830*U*00401*000000001*0*T*:~
GS*FA*PROVIDER*CLEARINGHOUSE*20260302*083015*1*X*004010~
ST*997*0001~
AK1*HP*1~
AK2*835*0001~
AK3*CAS*16*2110*8~
AK4*1*1033*7~
AK5*E*5~
AK9*E*1*1*1~
SE*8*0001~
GE*1*1~
IEA*1*000000001~
"""


def lines(content: bytes) -> str:
    return content.decode().replace("~", "~\n")


def test_a_999_names_every_place_at_fault():
    broken = (
        TWO_SETS.replace(b"*20260301~\nTRN", b"*20269901~\nTRN", 1)
        .replace(b"PER*BL*SUPPORT*TE*8005550100~\n", b"", 1)
        .replace(b"SVC*HC:99213*", b"SVC*HC:99213:A*", 1)
        .replace(b"CAS*CO*197*500", b"CAS*CO*197*500**45", 1)
    )
    (one,) = answers(broken)

    assert lines(one.content) == GOLDEN
    assert (one.kind, one.code, one.acknowledges) == ("999", "E", "000000001")


def test_a_ta1_stands_alone_in_its_interchange_and_before_the_999():
    ta1, nines = answers(SOUND.replace(b"IEA*1*000000001", b"IEA*1*000000009"))

    assert lines(ta1.content) == GOLDEN_TA1
    assert (ta1.code, nines.kind, nines.code, nines.control_number) == ("E", "999", "A", 2)


def test_4010_is_answered_with_a_997():
    old = (
        SOUND.replace(b"*^*00501*", b"*U*00401*")
        .replace(b"005010X221A1", b"004010X091A1")
        .replace(b"*0*P*", b"*0*T*")
        .replace(b"PER*BL", b"PER*CX")
        .replace(b"CAS*CO*197*500", b"CAS*XX*197*500")
        .replace(b"LX*1~\n", b"REF*TJ*123456789~\nLX*1~\n")
        .replace(b"\nSE*16*", b"\nSE*17*")
    )
    (one,) = answers(old)

    assert lines(one.content) == GOLDEN_997
    assert pyx12_accepts(one.content)


@pytest.mark.parametrize("kind", ["A", "E", "P", "R"])
def test_every_verdict_keeps_the_guides_rules(kind: str):
    content = {
        "A": SOUND,
        "E": SOUND.replace(b"BPR*I*", b"BPR*Q*"),
        "P": TWO_SETS[: TWO_SETS.index(b"CLP*A2")],
        "R": SOUND[: SOUND.index(b"CLP*A1")],
    }[kind]
    ack = answers(content)[-1]

    assert ack.code == kind
    assert list(faults(ack.content)) == []
    assert pyx12_accepts(ack.content)


def test_the_answer_is_written_in_the_senders_delimiters():
    theirs = SOUND.replace(b"BPR*I*", b"BPR*Q*").translate(bytes.maketrans(b"*:~^", b"|>'!"))
    (one,) = answers(theirs)

    assert (one.content[:7], one.content[-1:]) == (b"ISA|00|", b"'")
    assert list(faults(one.content)) == []
    assert split(one.content)[5:7] == [["IK3", "BPR", "2", "", "8"], ["IK4", "1", "305", "7"]]


@pytest.mark.parametrize("awkward", [b"ABC", b"-.,", b"\x1c\x1d\x1e"])
def test_delimiters_that_an_answer_cannot_use_are_replaced(awkward: bytes):
    theirs = SOUND.translate(bytes.maketrans(b"*:~", awkward)) if awkward != b"ABC" else SOUND
    ((one),) = answers(theirs)

    assert list(faults(one.content)) == []


def test_a_party_that_holds_our_delimiter_cannot_break_the_answer():
    theirs = SOUND.replace(b"GS*HP*CLEARINGHOUSE", b"GS*HP*A:B^C").translate(
        bytes.maketrans(b"*~", b"\x1d\x1c")
    )
    theirs = theirs.replace(b"PROVIDER\x1d2026", b"PRO*VI~ER\x1d2026")
    (one,) = answers(theirs)

    assert list(faults(one.content)) == []
    assert split(one.content)[1][2:4] == ["PRO VI ER", "A B C"]


PLANTED = ("DOE", "JANE", "MEMBER123", "A1SECRET", "QQZ")


def test_no_value_of_a_bad_element_leaves_in_any_form():
    content = (
        remittance(TestSet([denied("A1SECRET")]))
        .replace(b"NM1*QC*1*DOE*JANE", "NM1*QC*1*DOE\x01:MÜLLER*JANE".encode() + b"X" * 40)
        .replace(b"MI*MEMBER123", b"MI*MEMBER123 MEMBER123 MEMBER123 MEMBER123 MEMBER123 MEMBER123 MEMBER123")
        .replace(b"CLP*A1SECRET*1*500", b"CLP*A1SECRET" * 5 + b"*1*JANE")
        .replace(b"DTM*472*20260210", b"DTM*472*JANE\nDOE*JANE~QQZ*DOE~JANE DOE")
    )
    verdict = judge(content)
    shown = repr(verdict) + "".join(one.content.decode() for one in answers(content))

    assert verdict.interchanges[0].groups[0].sets[0].code == "E"
    for value in PLANTED:
        assert value not in shown


MUTATIONS = st.lists(
    st.tuples(st.integers(0, len(TWO_SETS) - 1), st.sampled_from([b"", b"*", b"~", b":", b"^", b"A", b" ", b"\xff", b"~~"])),
    min_size=1,
    max_size=12,
)  # fmt: skip


@given(MUTATIONS)
def test_whatever_comes_the_answers_are_sound(mutations: list[tuple[int, bytes]]):
    content = bytearray(TWO_SETS)
    for place, new in mutations:
        content[place : place + 1] = new
    for one in answers(bytes(content)):
        assert list(faults(one.content)) == []


@given(st.integers(0, len(TWO_SETS)))
def test_a_file_that_is_cut_anywhere_is_never_accepted_as_it_is(end: int):
    cut = TWO_SETS[:end]
    interchanges = judge(cut).interchanges

    if cut.rstrip() != TWO_SETS.rstrip() and interchanges and not cut.endswith(b"IEA*1*000000001"):
        assert interchanges[0].code in {"E", "R"}


def test_every_corpus_file_with_a_readable_group_gets_a_complete_and_sound_answer(corpus: Path):
    with (corpus / "MANIFEST.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for row in rows:
        content = (corpus / row["file"]).read_bytes()
        groups = [group for one in judge(content).interchanges for group in one.groups]
        files = [one for one in answers(content) if one.kind != "TA1"]
        answered = sum(int(split(one.content)[-1][1]) for one in files)
        assert answered == len(groups), row["file"]
        if row["gs08"]:  # what others found of it
            is_acknowledgment = set(row["types"].split(",")) <= {"824", "997", "999", "TA1"}
            assert bool(files) != is_acknowledgment, row["file"]
        # A party's id of one character is answered as it came, though X12 wants two.
        for one in answers(content):
            if one.kind != "997":
                assert {f for f in faults(one.content) if f[:4] not in {"GS02", "GS03"}} == set(), row["file"]


async def test_a_process_gives_the_same_verdict_as_this_one():
    validators = Validators()
    try:
        broken = SOUND.replace(b"BPR*I*", b"BPR*Q*")
        for content in (SOUND, broken, b"", b"no X12", TWO_SETS):
            blocks = [content[at : at + 50] for at in range(0, len(content), 50)]
            assert await validators.inspect(lambda blocks=blocks: iter(blocks)) == judge(content)
    finally:
        await validators.close()
