from services.triage.domain import code_lists
from services.triage.domain.codes import carc_status, group_allowed, is_alert, rarc_status, requires_remark
from services.triage.domain.meanings import CARC_MEANINGS, RARC_MEANINGS, RARC_SUPPORTING


def test_the_lists_hold_407_reason_codes_and_1216_remark_codes():
    assert len(code_lists.CARC_CURRENT) + len(code_lists.CARC_DEACTIVATED) == 407
    assert len(code_lists.RARC_CURRENT) + len(code_lists.RARC_DEACTIVATED) == 1216


def test_no_code_is_both_in_use_and_retired():
    assert not code_lists.CARC_CURRENT & code_lists.CARC_DEACTIVATED
    assert not code_lists.RARC_CURRENT & code_lists.RARC_DEACTIVATED


def test_15_38_62_and_165_are_retired():
    assert {carc_status(code) for code in ("15", "38", "62", "165")} == {"deactivated"}


def test_the_codes_that_need_a_remark_are_known():
    assert all(requires_remark(code) for code in ("16", "96", "226", "227", "251", "252", "A1"))
    assert not requires_remark("197")


def test_appeal_cues_are_alerts_and_ma130_is_none():
    assert is_alert("MA01")
    assert is_alert("N864")
    assert not any(is_alert(code) for code in ("MA130", "N921", "N421"))


def test_a_duplicate_may_only_be_other_adjustment():
    assert group_allowed("OA", "18")
    assert not group_allowed("CO", "18")
    assert group_allowed("CO", "197")


def test_every_code_with_a_meaning_is_published():
    assert not [code for code in CARC_MEANINGS if carc_status(code) == "unknown"]
    assert not [code for code in (*RARC_MEANINGS, *RARC_SUPPORTING) if rarc_status(code) == "unknown"]


def test_no_alert_ever_defines_a_category():
    assert not [code for code in (*RARC_MEANINGS, *RARC_SUPPORTING) if is_alert(code)]


def test_a_code_that_needs_a_remark_says_so_in_the_table():
    assert not [
        code
        for code, meaning in CARC_MEANINGS.items()
        if requires_remark(code) != (meaning.strength == "needs_remark")
    ]


def test_retired_codes_say_that_they_are():
    for code, meaning in {**CARC_MEANINGS, **RARC_MEANINGS}.items():
        status = carc_status(code) if code in CARC_MEANINGS else rarc_status(code)
        assert meaning.why.startswith("Retired code") == (status == "deactivated"), code
