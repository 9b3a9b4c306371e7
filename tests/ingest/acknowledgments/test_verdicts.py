"""What is said of a file's form: codes, places, and never a value."""

import pytest

from services.ingest.acknowledgments.verdicts import ElementError
from tests.ingest.acknowledgments.answers import judge, only_set
from tests.ingest.remittances import OTHER_NPI, TestSet, denied, paid, remittance

SOUND = remittance(TestSet([denied("A1"), paid("A2")]))


def places(content: bytes) -> list[tuple[str, int, str]]:
    return [(error.segment_id, error.position, error.code) for error in only_set(content).errors]


def elements(content: bytes) -> list[ElementError]:
    (error,) = only_set(content).errors
    assert error.code == "8"
    return list(error.elements)


def test_a_sound_file_is_accepted_without_a_word():
    (interchange,) = judge(SOUND).interchanges
    (group,) = interchange.groups

    assert (interchange.code, interchange.note, interchange.ta1) == ("A", "000", False)
    assert (group.code, group.included, group.received, group.accepted) == ("A", 1, 1, 1)
    assert (group.sets[0].code, group.sets[0].errors, group.sets[0].checked) == ("A", (), True)


def test_a_requested_interchange_acknowledgment_is_owed():
    (interchange,) = judge(SOUND.replace(b"*0*P*:", b"*1*P*:")).interchanges

    assert (interchange.ta1, interchange.note) == (True, "000")


@pytest.mark.parametrize(
    ("old", "new", "note", "code"),
    [
        (b"IEA*1*000000001", b"IEA*1*000000002", "001", "E"),
        (b"IEA*1*", b"IEA*2*", "021", "E"),
        (b"IEA*1*000000001~\n", b"", "023", "R"),
        (b"00501*000000001", b"00200*000000001", "003", "E"),
        (b"*260301*1200*^", b"*269901*1200*^", "014", "E"),
        (b"*260301*1200*^", b"*260301*9900*^", "015", "E"),
        (b"*0*P*:", b"*0*X*:", "020", "E"),
        (b"*0*P*:", b"*7*P*:", "019", "E"),
        (b"*ZZ*PROVIDER       *", b"*ZZ*               *", "008", "E"),
        (b"*000000001*0*P", b"*00000000X*0*P", "018", "E"),
        (b"GS*HP*", b"XX*HP*", "022", "E"),
    ],
)
def test_an_envelope_at_fault_is_named(old: bytes, new: bytes, note: str, code: str):
    assert old in SOUND
    interchange = judge(SOUND.replace(old, new)).interchanges[0]

    assert (interchange.note, interchange.code, interchange.ta1) == (note, code, True)


def test_a_control_number_used_twice_in_a_file_is_named():
    first, second = judge(SOUND + SOUND).interchanges

    assert (first.note, second.note) == ("000", "025")


@pytest.mark.parametrize(
    ("old", "new", "codes", "code"),
    [
        (b"GE*1*1", b"GE*1*2", ("4",), "E"),
        (b"GE*1*1", b"GE*3*1", ("5",), "E"),
        (b"GE*1*1~\n", b"", ("3",), "E"),
        (b"1200*1*X*005010X221A1", b"1200*A*X*005010X221A1", ("4", "6"), "E"),
        (b"005010X221A1", b"005010X222A1", ("2",), "E"),
        (b"GS*HP", b"GS*HC", ("1",), "E"),
    ],
)
def test_a_group_at_fault_is_named(old: bytes, new: bytes, codes: tuple[str, ...], code: str):
    ((group,),) = (one.groups for one in judge(SOUND.replace(old, new)).interchanges)

    assert (group.syntax_codes, group.code) == (codes, code)


@pytest.mark.parametrize(
    ("old", "new", "codes", "code"),
    [
        (b"*0001~\nGE", b"*0009~\nGE", ("3",), "E"),
        (b"\nSE*", b"\nSE*9", ("4",), "E"),
        (b"ST*835", b"ST*277", ("1",), "R"),
        (b"ST*835*0001", b"ST*835*DOE JANE", ("7", "3"), "E"),
    ],
)
def test_a_set_at_fault_is_named(old: bytes, new: bytes, codes: tuple[str, ...], code: str):
    one = only_set(SOUND.replace(old, new, 1))

    assert tuple(c for c in one.syntax_codes if c not in {"5", "I5"}) == codes
    assert one.code == code


def test_a_set_that_is_cut_off_is_rejected_and_its_neighbour_is_not():
    whole = remittance(TestSet([denied("A1")]), TestSet([denied("A2")], trace="T2"))
    (interchange,) = judge(whole[: whole.index(b"CLP*A2")]).interchanges
    (group,) = interchange.groups

    assert [(one.code, one.syntax_codes) for one in group.sets] == [("A", ()), ("R", ("2",))]
    assert (group.code, group.syntax_codes, group.received, group.accepted) == ("P", ("3",), 2, 1)
    assert (interchange.note, interchange.code) == ("023", "R")


def test_an_unknown_segment_a_foreign_one_and_a_misplaced_one_are_told_apart():
    assert places(SOUND.replace(b"DTM*405", b"JANE*405", 1)) == [("ZZZ", 4, "1")]
    assert places(SOUND.replace(b"DTM*405", b"HL*405", 1)) == [("HL", 4, "6")]
    assert places(SOUND.replace(b"DTM*405", b"MOA*405", 1)) == [("MOA", 4, "2")]


def test_a_missing_segment_is_named_with_its_loop():
    one = only_set(SOUND.replace(b"PER*BL*SUPPORT*TE*8005550100~\n", b"").replace(b"SE*2", b"SE*2"))

    assert [(e.segment_id, e.code, e.loop) for e in one.errors] == [("PER", "3", "1000")]
    assert one.errors[0].position == 8  # where it was looked for: before the N1 of the payee


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (b"BPR*I*", b"BPR*Q*", ElementError(position=1, code="7", reference="305")),
        (b"TRN*1*TRACE1*", b"TRN*1**", ElementError(position=2, code="1", reference="127")),
        (b"*20260301~\nTRN", b"*20269901~\nTRN", ElementError(position=16, code="8", reference="373")),
        (b"N3*1 MAIN STREET", b"N3*" + b"X" * 60, ElementError(position=1, code="5", reference="166")),
        (b"N4*COLUMBUS*", b"N4*C*", ElementError(position=1, code="4", reference="19")),
        (b"SVC*HC:99213*", b"SVC*HC:99213:A:*", ElementError(position=1, component=3, code="4", reference="1339")),
        (b"SVC*HC:99213*", b"SVC*HC:99213:::::::::X*", ElementError(position=1, component=9, code="13")),
        (b"N4*COLUMBUS*", b"N4*COLUMBUS^OHIO*", ElementError(position=1, repetition=2, code="12")),
        (b"CAS*CO*197*500", b"CAS*CO*197*500**45", ElementError(position=6, code="2", reference="782", trigger=5)),
        (b"*1234567893~", b"*1234567893*98*7~", ElementError(position=5, code="I10", reference="706")),
    ],
)  # fmt: skip
def test_an_element_at_fault_is_named_to_its_component(old: bytes, new: bytes, error: ElementError):
    content = remittance(TestSet([denied("A1")]))
    assert old in content

    assert elements(content.replace(old, new, 1))[0] == error


def test_what_only_the_guide_forbids_is_told_from_what_x12_forbids():
    assert only_set(SOUND.replace(b"ST*835*0001", b"ST*835*0001*005010X221A1")).syntax_codes == ("I5",)
    assert only_set(SOUND.replace(b"BPR*I*", b"BPR*Q*")).syntax_codes == ("5",)


def test_a_version_without_a_guide_is_read_and_named_and_not_judged():
    verdict = judge(SOUND.replace(b"005010X221A1", b"006020X308"))
    (group,) = verdict.interchanges[0].groups

    assert (group.code, group.syntax_codes, group.sets[0].code) == ("E", ("2",), "A")
    assert (verdict.sets, verdict.sets_checked, group.sets[0].checked) == (1, 0, False)


def test_a_guide_without_its_addenda_is_the_same_guide():
    verdict = judge(SOUND.replace(b"005010X221A1", b"005010X221"))

    assert (verdict.interchanges[0].groups[0].code, verdict.sets_checked) == ("A", 1)


@pytest.mark.parametrize(
    "harmless",
    [
        pytest.param((b"~\n", b"~\n~\n"), id="empty segments"),
        pytest.param((b"~\n", b"~"), id="no line breaks"),
        pytest.param((b"N3*1 MAIN STREET", b"N3*1 MAIN STREET  "), id="blanks behind a value"),
        pytest.param((b"DTM*405*20260301", b"DTM*405*20260301**"), id="empty elements at the end"),
        pytest.param((b"CAS*CO*197*500~\n", b"CAS*CO*197*500~\nLQ*HE*N999~\n"), id="a remark newer than the list"),
        pytest.param((b"~\nSVC", b"~\nMOA***N9999*MA130~\nSVC"), id="a remark of the claim newer than the list"),
        pytest.param((b"SE*", b"PLB*1234567893*20261231*WO:1*0~\nPLB*1234567893*20261231*WO:2*0~\nSE*"), id="two PLB"),
    ],
)  # fmt: skip
def test_known_faults_of_the_validator_are_not_reported(harmless: tuple[bytes, bytes]):
    one = only_set(remittance(TestSet([denied("A1")])).replace(*harmless))

    assert one.errors == ()
    assert one.code == "A" or one.syntax_codes == ("4",)  # SE01 was not corrected above


def test_each_interchange_is_read_with_its_own_delimiters():
    other = SOUND.replace(b"000000001", b"000000002").translate(bytes.maketrans(b"*:~^", b"|>'!"))
    verdict = judge(SOUND + other.replace(b"BPR|I|", b"BPR|Q|"))

    assert [one.groups[0].code for one in verdict.interchanges] == ["A", "E"]
    assert verdict.interchanges[1].delimiters == ("|", ">", "!", "'")


def test_acknowledgments_are_never_acknowledged():
    ta1 = SOUND[: SOUND.index(b"GS*")] + b"TA1*000000001*260301*1200*A*000~IEA*0*000000001~"
    ack = (
        SOUND[: SOUND.index(b"GS*")].replace(b"*0*P", b"*1*P")
        + b"GS*FA*A*B*20260301*1200*1*X*005010X231A1~ST*999*0001*005010X231A1~AK1*HP*1~AK9*A*1*1*1~SE*4*0001~"
        + b"GE*1*1~IEA*1*000000001~"
    )
    for content in (ta1, ack):
        (interchange,) = judge(content).interchanges
        assert (interchange.ta1, interchange.groups) == (False, ())


def test_a_group_of_something_else_is_rejected():
    (interchange,) = judge(SOUND.replace(b"GS*HP", b"GS*HC").replace(b"ST*835", b"ST*837")).interchanges

    assert (interchange.groups[0].code, interchange.groups[0].syntax_codes) == ("R", ("1",))
    assert (interchange.groups[0].sets[0].code, interchange.groups[0].accepted) == ("R", 0)


def test_a_limit_cuts_conformance_short_and_says_so_while_envelopes_are_judged_to_the_end():
    sets = [TestSet([denied(f"A{n}")], trace=f"T{n}", npi=OTHER_NPI) for n in range(20)]
    content = remittance(*sets).replace(b"BPR*I*", b"BPR*Q*").replace(b"*0020~\nGE", b"*0021~\nGE")
    by_size, by_errors, by_sets = (
        judge(content, conformance_bytes=3000),
        judge(content, file_errors=2),
        judge(content, sets=4),
    )

    assert [one.cut_short for one in (by_size, by_errors, by_sets)] == ["size", "errors", "sets"]
    assert 0 < by_size.sets_checked < 20
    assert by_errors.sets_checked == 1
    (group,) = by_sets.interchanges[0].groups
    assert (len(group.sets), group.received, group.accepted, group.code) == (8, 20, 20, "E")
    assert by_size.interchanges[0].groups[0].sets[-1].syntax_codes == ("3",)


def test_time_cuts_conformance_short():
    many = remittance(TestSet([denied(f"A{n}") for n in range(100)]))

    assert judge(many, seconds=-1.0).cut_short == "time"
    assert judge(many, seconds=-1.0).interchanges[0].groups[0].code == "A"  # as far as was looked


def test_a_segment_on_which_pyx12_fails_is_left_out_and_the_rest_is_checked(monkeypatch: pytest.MonkeyPatch):
    from pyx12.map_if import segment_if

    original = segment_if.is_valid_errors

    def fails(self, segment):
        if segment.get_seg_id() == "TRN":
            raise IndexError("list index out of range")
        return original(self, segment)

    monkeypatch.setattr(segment_if, "is_valid_errors", fails)
    verdict = judge(SOUND.replace(b"BPR*I*", b"BPR*Q*"))

    assert (verdict.cut_short, verdict.sets_checked) == ("failed", 0)
    assert [e.segment_id for e in verdict.interchanges[0].groups[0].sets[0].errors] == ["BPR"]
