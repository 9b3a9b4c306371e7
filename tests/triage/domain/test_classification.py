"""What the codes mean, row by row, written from the research and not from the table."""

from datetime import date
from decimal import Decimal

import pytest
from msgspec.structs import replace

from services.triage.domain.classification import classify
from services.triage.domain.code_lists import CARC_CURRENT
from services.triage.domain.meanings import CARC_MEANINGS, RARC_MEANINGS
from shared.contracts.claim import Remark
from shared.contracts.decision import Category, Route
from tests.triage.domain.denials import denial, line, refused

# reason code: category, action
AUTHORIZATION = {
    "197": ("authorization_absent", "search_existing_authorization"),
    "198": ("authorization_exceeded", "request_extension"),
    "210": ("authorization_untimely", "request_reconsideration"),
    "302": ("authorization_expired", "request_date_change"),
    "284": ("authorization_not_for_service", "amend_authorization"),
    "296": ("authorization_not_for_provider", "amend_authorization"),
    "39": ("authorization_denied", "appeal"),
    "15": ("authorization_number_invalid", "search_existing_authorization"),
    "62": ("authorization_absent", "search_existing_authorization"),
    "38": ("referral_not_authorized", "obtain_referral"),
    "243": ("referral_not_authorized", "obtain_referral"),
    "165": ("referral_absent", "obtain_referral"),
    "288": ("referral_absent", "obtain_referral"),
    "287": ("referral_exceeded", "obtain_referral"),
    "P17": ("referral_not_authorized", "obtain_referral"),
    "W6": ("referral_not_authorized", "obtain_referral"),
}

# route: reason codes that are somebody else's problem
ROUTES = {
    "coordination_of_benefits": "19 20 21 22 23 109 136 276 B9 B11",
    "eligibility": "13 14 26 27 31 32 33 34 140 141 166 177 200",
    "timely_filing": "29",
    "coding": "4 5 6 7 8 9 10 11 12 54 58 110 146 181 182 189 199 B16 B22",
    "medical_necessity": "40 50 55 56 114 150 151 152 216 272 B8",
    "duplicate": "18 B13",
    "bundling": "59 60 97 128 231 236 B10 B15",
    "benefit_limit": "35 49 51 53 119 149 167 169 202 204 222 273 B1 B14",
    "contractual": "24 42 44 45 94 101 104 131 144 253 256 A2",
    "missing_information": "107 163 164 206 207 208",
    "other": "95 133 138 170 171 172 183 184 185 242 285 286 299 B7 B20",
}
UNCLEAR = {"61", "78", "193"}
NEED_A_REMARK = {
    "16",
    "17",
    "96",
    "125",
    "129",
    "148",
    "201",
    "226",
    "227",
    "234",
    "237",
    "250",
    "251",
    "252",
    "267",
    "307",
    "A1",
    "D23",
}

# remark code: category, beside a reason code that says nothing alone
DEFINING_REMARKS = {
    "M62": "authorization_number_invalid",
    "N752": "authorization_number_invalid",
    "N54": "authorization_not_for_service",
    "N188": "authorization_not_for_service",
    "N351": "authorization_expired",
    "N175": "authorization_absent",
    "N241": "authorization_number_invalid",
    "N385": "notification_untimely",
    "N758": "authorization_denied",
    "N41": "authorization_denied",
    "N630": "referral_not_authorized",
    "N475": "referral_absent",
    "N476": "referral_absent",
    "N489": "referral_absent",
    "N490": "referral_absent",
}


# remark code, beside 16, 96 or A1: whose problem it is
ROUTING_REMARKS = {
    "MA130": "missing_information",
    "N290": "missing_information",
    "N286": "missing_information",
    "M127": "missing_information",
    "N391": "missing_information",
    "N479": "coordination_of_benefits",
    "MA04": "coordination_of_benefits",
    "M76": "coding",
    "M51": "coding",
    "M53": "coding",
    "N115": "medical_necessity",
    "N130": "benefit_limit",
    "N30": "eligibility",
    "N619": "eligibility",
    "M15": "bundling",
    "N522": "duplicate",
    "N448": "contractual",
    "N95": "other",
}


def test_only_these_codes_are_about_authorization_unclear_or_in_need_of_a_remark():
    rows = CARC_MEANINGS.items()
    about = {code for code, row in rows if row.category not in {"not_authorization", "unclear"}}

    assert about == set(AUTHORIZATION)
    assert {code for code, row in rows if row.category == "unclear"} == UNCLEAR
    assert {code for code, row in rows if row.strength == "needs_remark"} == NEED_A_REMARK
    assert set(RARC_MEANINGS) == set(DEFINING_REMARKS)


def test_every_reason_code_in_use_has_a_row():
    assert set(CARC_CURRENT) <= set(CARC_MEANINGS)


def test_every_category_and_every_route_is_reached():
    reasons = [refused(code, "80.00") for code in CARC_MEANINGS]
    alone = [classify(denial(one)).main for one in reasons]
    refined = [classify(denial(refused("16"), lines=[line(remarks=[code])])).main for code in RARC_MEANINGS]

    assert {one.category for one in alone + refined} == set(Category.__args__)
    assert {one.route for one in alone} - {None} == set(Route.__args__)


@pytest.mark.parametrize(("remark", "route"), ROUTING_REMARKS.items())
@pytest.mark.parametrize("code", ["16", "96", "226", "A1"])
def test_a_remark_says_whose_problem_a_code_is_that_says_nothing_alone(remark, route, code):
    found = classify(denial(refused(code), lines=[line(remarks=["MA01", remark])]))

    assert (found.main.category, found.main.route) == ("not_authorization", route)
    assert f"Remark {remark}: " in found.items[0].why
    assert not found.pattern.human


@pytest.mark.parametrize("code", ["50", "272", "29", "97"])
def test_a_code_that_speaks_for_itself_is_not_routed_by_a_remark(code):
    alone = classify(denial(refused(code))).main

    assert classify(denial(refused(code), lines=[line(remarks=["N30"])])).main.route == alone.route


def test_a_defining_remark_goes_before_a_routing_one():
    found = classify(denial(refused("16"), lines=[line(remarks=["N290", "M62"])]))

    assert found.main.category == "authorization_number_invalid"


@pytest.mark.parametrize(
    ("code", "day", "retired"),
    [
        ("62", date(2007, 3, 31), False),
        ("62", date(2007, 4, 1), True),
        ("38", date(2012, 12, 31), False),
        ("38", date(2013, 1, 1), True),
        ("15", date(2026, 3, 20), True),
    ],
)
def test_a_retired_code_is_read_and_noted_from_the_day_on_which_it_stopped(code, day, retired):
    found = classify(denial(refused(code), payer_date=day))

    assert found.pattern.auth_related
    assert any("retired" in note for note in found.pattern.notes) == retired


def test_a_retired_code_names_its_successors():
    assert (
        "38 is a retired reason code (now 242 or 243), read as payers used it"
        in classify(denial(refused("38"))).pattern.notes
    )


@pytest.mark.parametrize(
    ("code", "day", "early"),
    [
        ("197", date(2006, 10, 30), True),
        ("197", date(2006, 10, 31), False),
        ("210", date(2007, 7, 8), True),
        ("243", date(2012, 6, 2), True),
        ("243", date(2012, 6, 3), False),
    ],
)
def test_a_code_that_had_not_begun_wants_a_person(code, day, early):
    found = classify(denial(refused(code), payer_date=day))

    assert found.pattern.auth_related
    assert any("began on" in reason for reason in found.pattern.human) == early


def test_what_is_denied_for_other_reasons_is_left_out_and_told():
    lines = [line(1), line(2, charge="9.90")]
    found = classify(denial(refused("197"), refused("29", "9.90", line_number=2), lines=lines))

    assert found.amount_at_stake == Decimal("500.00")
    assert "left out: 9.90" in found.amount_basis


@pytest.mark.parametrize(("code", "expected"), AUTHORIZATION.items())
def test_an_authorization_code_defines_its_category(code, expected):
    found = classify(denial(refused(code)))

    assert found.pattern.auth_related
    assert (found.main.category, found.main.action) == expected


@pytest.mark.parametrize(
    ("code", "route"), [(code, route) for route, codes in ROUTES.items() for code in codes.split()]
)
def test_a_look_alike_goes_to_the_team_whose_problem_it_is(code, route):
    found = classify(denial(refused(code, "80.00")))

    assert not found.pattern.auth_related
    assert (found.main.category, found.main.route) == ("not_authorization", route)


@pytest.mark.parametrize("code", sorted(UNCLEAR))
def test_a_code_of_two_meanings_is_unclear_and_wants_a_person(code):
    found = classify(denial(refused(code)))

    assert found.main.category == "unclear"
    assert found.pattern.human


@pytest.mark.parametrize("code", sorted(NEED_A_REMARK))
def test_a_code_that_needs_a_remark_is_never_read_alone(code):
    found = classify(denial(refused(code)))

    assert found.main.category == "unclear"
    assert found.items[0].strength == "needs_remark"
    assert found.pattern.human


@pytest.mark.parametrize("code", sorted(NEED_A_REMARK))
def test_an_alert_does_not_explain(code):
    found = classify(denial(refused(code), lines=[line(remarks=["N864", "MA01"])], remarks=["MA02", "N1"]))

    assert found.main.category == "unclear"


@pytest.mark.parametrize(("remark", "category"), DEFINING_REMARKS.items())
@pytest.mark.parametrize("code", ["16", "96", "197", "252", "272"])
def test_a_defining_remark_decides_beside_a_general_code(remark, category, code):
    found = classify(denial(refused(code), lines=[line(remarks=[remark])]))

    assert found.main.category == category
    assert found.items[0].strength == "defining"


@pytest.mark.parametrize("code", ["39", "198", "284", "296", "50", "288"])
def test_a_remark_does_not_overrule_a_code_that_is_precise(code):
    alone = classify(denial(refused(code))).main.category

    assert classify(denial(refused(code), lines=[line(remarks=["M62"])])).main.category == alone


def test_a_late_code_with_the_late_notice_remark_is_a_late_notice():
    found = classify(denial(refused("210"), lines=[line(remarks=["N385"])]))

    assert found.main.category == "notification_untimely"


def test_a_claim_level_remark_explains_a_line():
    assert classify(denial(refused("16"), remarks=["M62"])).main.category == "authorization_number_invalid"


def test_an_ordinary_remark_routes_the_code_that_needed_one():
    found = classify(denial(refused("16"), lines=[line(remarks=["M44"])]))

    assert (found.main.category, found.main.route) == ("not_authorization", "missing_information")
    assert found.items[0].strength == "supporting"


@pytest.mark.parametrize("remark", ["N640", "N362", "N386", "N517", "N706", "M44", "N669", "N335"])
def test_supporting_remarks_decide_nothing(remark):
    assert not classify(denial(refused("96"), lines=[line(remarks=[remark])])).pattern.auth_related


def test_a_remark_of_the_pharmacy_list_is_not_read():
    pharmacy = (Remark(code="M62", source="LQ", code_list="RX"),)

    assert (
        classify(denial(refused("16"), lines=[replace(line(), remarks=pharmacy)])).main.category == "unclear"
    )


def test_302_alone_wants_a_person():
    found = classify(denial(refused("302")))

    assert found.main.category == "authorization_expired"
    assert found.pattern.human


def test_302_confirmed_by_a_remark_wants_none():
    assert not classify(denial(refused("302"), lines=[line(remarks=["N351"])])).pattern.human


def test_an_unknown_code_is_unclear_and_in_the_open():
    found = classify(denial(refused("ZZ9")))

    assert found.main.category == "unclear"
    assert "ZZ9" in found.pattern.human[0]


def test_a_published_code_without_a_rule_is_unclear():
    found = classify(denial(refused("B2")))

    assert found.main.category == "unclear"
    assert "no rule" in found.pattern.human[0]


def test_an_unknown_code_with_a_defining_remark_is_read_and_still_wants_a_person():
    found = classify(denial(refused("ZZ9"), lines=[line(remarks=["N175"])]))

    assert found.main.category == "authorization_absent"
    assert found.pattern.human


def test_an_unknown_remark_is_named():
    found = classify(denial(refused("197"), lines=[line(remarks=["XX1"])]))

    assert "XX1 is no published remark code" in found.pattern.notes


def test_45_for_the_whole_charge_is_an_anomaly():
    assert classify(denial(refused("45", "500.00"))).main.category == "unclear"
    assert classify(denial(refused("45", "80.00"))).main.category == "not_authorization"


def test_no_reason_at_all_is_unclear():
    found = classify(denial(refused("", "500.00", group="")))

    assert found.main.category == "unclear"
    assert "nothing on the remittance explains" in found.pattern.human[0]


def test_two_remarks_of_different_sense_want_a_person():
    found = classify(denial(refused("16"), lines=[line(remarks=["M62", "N54"])]))

    assert found.main.category == "authorization_number_invalid"
    assert "different authorization problems" in found.pattern.human[0]


def test_lines_that_fell_with_a_refused_line_are_dependent():
    lines = [line(1), line(2, charge="300.00"), line(3, charge="40.10"), line(4, charge="9.90")]
    found = classify(
        denial(
            refused("197", "500.00", line_number=1),
            refused("97", "300.00", line_number=2),
            refused("B15", "40.10", line_number=3),
            refused("29", "9.90", line_number=4),
            lines=lines,
        )
    )

    assert [item.dependent for item in found.items] == [False, True, True, False]
    assert found.amount_at_stake == Decimal("840.10")
    assert "340.10" in found.amount_basis
    assert found.main.category == "authorization_absent"


def test_a_bundled_line_without_an_authorization_line_depends_on_nothing():
    found = classify(denial(refused("97")))

    assert not found.items[0].dependent
    assert found.main.route == "bundling"


def test_only_the_refused_units_are_at_stake():
    found = classify(denial(refused("198", "120.55", quantity=Decimal(3)), lines=[line(charge="500.00")]))

    assert found.amount_at_stake == Decimal("120.55")
    assert found.items[0].quantity == 3


def test_the_authorization_with_the_most_money_leads():
    lines = [line(1, charge="100.00"), line(2, charge="400.00")]
    found = classify(denial(refused("197", "100.00"), refused("198", "400.00", line_number=2), lines=lines))

    assert found.main.category == "authorization_exceeded"
    assert any("different authorization reasons" in reason for reason in found.pattern.human)


def test_authorization_leads_even_with_the_smaller_amount():
    lines = [line(1, charge="100.00"), line(2, charge="9000.00")]
    found = classify(denial(refused("197", "100.00"), refused("29", "9000.00", line_number=2), lines=lines))

    assert found.main.category == "authorization_absent"
    assert found.amount_at_stake == Decimal("100.00")


@pytest.mark.parametrize(
    ("group", "party"),
    [("CO", "provider"), ("PR", "patient"), ("OA", "unknown"), ("PI", "provider"), ("CR", "unknown")],
)
def test_the_group_says_who_bears_it(group, party):
    assert classify(denial(refused("197", group=group))).pattern.party == party


def test_mixed_groups_leave_the_party_unknown():
    lines = [line(1), line(2)]

    assert (
        classify(denial(refused("197"), refused("197", line_number=2, group="PR"), lines=lines)).pattern.party
        == "unknown"
    )


def test_a_group_that_the_list_forbids_is_noted():
    assert any("18" in note for note in classify(denial(refused("18"))).pattern.notes)


def test_a_penalty_that_took_the_whole_charge_is_read_by_its_remark_only():
    alone = classify(denial(refused("237")))
    explained = classify(denial(refused("237"), remarks=["N706"]))

    assert (alone.main.category, alone.main.strength) == ("unclear", "needs_remark")
    assert (explained.main.category, explained.main.route) == ("not_authorization", "contractual")
