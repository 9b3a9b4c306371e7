"""What no published list has is named, unless it may be something else than a code."""

from msgspec.structs import replace

from services.triage.domain.unknown_codes import unknown_codes
from shared.contracts.claim import Adjustment, Remark
from tests.triage.domain.denials import denial, line, refused


def adjustment(group: str, reason: str) -> Adjustment:
    return Adjustment(group=group, reason=reason, amount=5)


def test_unknown_groups_reasons_and_remarks_are_told_wherever_they_stand():
    event = denial(
        refused("999"),
        adjustments=(adjustment("CO", "999"), adjustment("ZZ", "45")),
        remarks=["N99999", "MA01"],
        lines=[line(adjustments=(adjustment("PR", "777"), adjustment("CO", "197")), remarks=["N54", "Q7"])],
    )

    assert unknown_codes(event) == {
        ("carc", "999"),
        ("carc", "777"),
        ("group", "ZZ"),
        ("rarc", "strange"),
        ("rarc", "Q7"),
    }


def test_what_does_not_look_like_a_code_is_never_shown():
    event = denial(refused("DOE"), adjustments=(adjustment("JANE DOE", "MEMBER12345"),))

    assert unknown_codes(event) == {("group", "strange"), ("carc", "strange")}


def test_pharmacy_codes_and_known_codes_are_not_told():
    pharmacy = line(2)
    pharmacy = replace(pharmacy, remarks=(Remark(code="ZZ9", source="LQ", code_list="RX"),))
    known = line(adjustments=(adjustment("CO", "197"),), remarks=["N54"])

    assert unknown_codes(denial(refused("197"), lines=[known, pharmacy])) == set()


def test_several_events_tell_their_unknown_codes_together():
    one = denial(refused("197"), adjustments=(adjustment("CO", "999"),))
    two = denial(refused("197"), lines=[line(adjustments=(adjustment("ZZ", "197"),), remarks=["Q7"])])

    assert unknown_codes(one, two) == {("carc", "999"), ("group", "ZZ"), ("rarc", "Q7")}
    assert unknown_codes() == set()
