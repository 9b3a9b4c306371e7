"""What denies and what does not: docs/x12-835.md, by example."""

from decimal import Decimal
from pathlib import Path

import pytest

from services.ingest.domain.ordinary import ORDINARY
from tests.ingest.domain.files import one_claim

DOCUMENT = Path(__file__).parents[3] / "docs" / "x12-835.md"


def claim_with(*adjustments, charge="100", paid="0", status="1"):
    """One line that holds the adjustments."""
    read = one_claim(
        f"CLP*A1*{status}*{charge}*{paid}**12*P1*11*1",
        f"SVC*HC:99213*{charge}*{paid}**1",
        "DTM*472*20261001",
        *adjustments,
        paid=paid,
    )
    return read.claims[0]


def denials(claim):
    return [(item.line_number, item.group, item.reason, str(item.amount)) for item in claim.denied]


def test_an_adjustment_that_is_not_ordinary_denies():
    claim = claim_with("CAS*CO*197*100")

    assert claim.kind == "denied"
    assert denials(claim) == [(1, "CO", "197", "100")]


@pytest.mark.parametrize("row", ORDINARY, ids=lambda row: row.reason)
def test_ordinary_adjustments_do_not_deny_while_something_else_is_paid(row):
    assert claim_with(f"CAS*CO*{row.reason}*60", paid="40").kind == "adjudicated"


@pytest.mark.parametrize("group", ["CO", "PR", "OA", "PI", "CR"])
def test_a_reason_with_blanks_around_is_the_same_reason(group):
    assert claim_with(f"CAS*{group} * 45*60", paid="40").kind == "adjudicated"
    assert denials(claim_with(f"CAS*{group}* 45 *100")) == [(1, group, "45", "100")]
    assert denials(claim_with(f"CAS*{group} * 197 *100")) == [(1, group, "197", "100")]
    assert claim_with(f"CAS*{group}*197*60", f"CAS*{group}*197 *-60", paid="100").kind == "adjudicated"


@pytest.mark.parametrize("group", ["CO", "PR", "OA", "PI", "CR"])
def test_the_group_code_does_not_matter(group):
    assert claim_with(f"CAS*{group}*45*60", paid="40").kind == "adjudicated"
    assert claim_with(f"CAS*{group}*197*60", paid="40").kind == "denied"


def test_a_code_that_nobody_knows_denies():
    assert claim_with("CAS*CO*ZZ9*100").kind == "denied"


def test_nothing_paid_is_no_denial_where_the_deductible_takes_all():
    assert claim_with("CAS*CO*45*40", "CAS*PR*1*60").kind == "adjudicated"


def test_capitation_is_no_denial():
    assert claim_with("CAS*CO*24*100").kind == "adjudicated"


def test_status_4_is_no_detector():
    assert claim_with("CAS*PR*1*100", status="4").kind == "adjudicated"
    assert claim_with("CAS*CO*197*100", status="1").kind == "denied"


def test_a_partial_denial_carries_only_its_own_amount():
    claim = claim_with("CAS*CO*45*20*1*198*30*2", paid="50")

    assert denials(claim) == [(1, "CO", "198", "30")]
    assert claim.denied[0].quantity == Decimal(2)
    assert claim.denied_amount == Decimal(30)


def test_all_six_triplets_are_read_and_empty_ones_passed_over():
    claim = claim_with("CAS*CO*45*10**197*20**50*10*****29*30**18*30")

    assert [item.reason for item in claim.denied] == ["197", "50", "29", "18"]
    assert claim.balance_findings == ()


def test_a_price_that_takes_the_whole_charge_is_an_anomaly_and_denies():
    claim = claim_with("CAS*CO*45*100")

    assert denials(claim) == [(1, "CO", "45", "100")]
    assert [found.code for found in claim.findings] == ["contractual_equals_charge"]


def test_a_claim_of_the_secondary_payer_is_judged_by_its_own_adjustments():
    assert claim_with("CAS*OA*23*100", status="2").kind == "adjudicated"
    assert denials(claim_with("CAS*OA*23*60", "CAS*CO*197*40", status="2")) == [(1, "CO", "197", "40")]


def test_an_unpaid_claim_that_nothing_explains_is_denied_without_a_reason():
    claim = one_claim("CLP*A1*1*100*0**12*P1").claims[0]

    assert denials(claim) == [(None, "", "", "100")]
    assert "unpaid_unexplained" in [found.code for found in claim.findings]


def test_a_claim_without_charge_is_not_denied():
    assert one_claim("CLP*A1*1*0*0**12*P1").claims[0].kind == "adjudicated"


def test_claim_level_adjustments_deny_without_a_line():
    claim = one_claim("CLP*A1*1*100*0**MA*P1", "CAS*CO*197*100", "NM1*QC*1*DOE*JANE").claims[0]

    assert denials(claim) == [(None, "CO", "197", "100")]


@pytest.mark.parametrize(("status", "sign"), [("22", "-"), ("1", "-"), ("22", "")])
def test_a_reversal_denies_nothing(status, sign):
    claim = claim_with(f"CAS*CO*197*{sign}100", charge=f"{sign}100", status=status)

    assert claim.kind == "reversed"
    assert claim.denied == ()


def test_a_predetermination_denies_nothing():
    assert claim_with("CAS*CO*197*100", status="25").kind == "predetermination"
    assert claim_with("CAS*CO*197*-100", charge="-100", status="25").kind == "predetermination"


def test_what_a_negative_triplet_takes_back_is_not_denied():
    assert claim_with("CAS*CO*197*40", "CAS*CO*197*-40", paid="100").kind == "adjudicated"
    assert denials(claim_with("CAS*CO*197*40", "CAS*CO*197*-15", paid="75")) == [(1, "CO", "197", "25.00")]


def test_a_denial_whose_amount_is_torn_denies_what_is_unexplained():
    claim = claim_with("CAS*CO*45*30", "CAS*CO*197*7o")

    assert denials(claim) == [(1, "CO", "197", "70.00")]
    assert "amount_unreadable" in [found.code for found in claim.findings]


def lines_with(*adjustments, header=(), charges=(100, 200)):
    """A line for each charge, unpaid, with the adjustment of the same place."""
    lines = [
        segment
        for charge, adjustment in zip(charges, adjustments, strict=True)
        for segment in (f"SVC*HC:99213*{charge}*0**1", adjustment)
    ]
    return one_claim(f"CLP*A1*1*{sum(charges)}*0**12*P1", *header, *lines).claims[0]


def test_every_line_with_a_torn_amount_denies_what_it_leaves_unexplained():
    claim = lines_with("CAS*CO*197*abc", "CAS*CO*50*xyz")

    assert denials(claim) == [(1, "CO", "197", "100.00"), (2, "CO", "50", "200.00")]


def test_a_line_with_two_torn_amounts_denies_once():
    assert denials(claim_with("CAS*CO*197*abc**50*xyz")) == [(1, "CO", "197", "100.00")]


def test_what_a_line_denies_the_claim_does_not_deny_again():
    assert denials(lines_with("CAS*CO*197*abc", "CAS*CO*45*50", header=["CAS*CO*50*xyz"])) == [
        (1, "CO", "197", "100.00"),
        (None, "CO", "50", "150.00"),
    ]
    assert denials(claim_with("CAS*CO*197*abc", "CAS*CO*50*xyz")) == [(1, "CO", "197", "100.00")]


@pytest.mark.parametrize("zero", ["0", "0.00", "00"])
def test_a_reason_with_an_amount_of_zero_denies_what_nothing_explains(zero):
    assert denials(claim_with(f"CAS*CO*197*{zero}")) == [(1, "CO", "197", "100.00")]
    assert denials(claim_with("CAS*CO*45*40", f"CAS*OA*197*{zero}")) == [(1, "OA", "197", "60.00")]
    claim = one_claim("CLP*A1*1*100*0**12*P1", f"CAS*CO*197*{zero}").claims[0]
    assert denials(claim) == [(None, "CO", "197", "100.00")]


@pytest.mark.parametrize(
    "adjustments", [["CAS*CO*197*0**45*100"], ["CAS*CO*45*100**197*0"], ["CAS*CO*45*100", "CAS*CO*197*0"]]
)
def test_a_reason_of_zero_is_the_reason_of_the_price_that_takes_the_whole_charge(adjustments):
    claim = claim_with(*adjustments)

    assert denials(claim) == [(1, "CO", "197", "100")]
    assert [found.code for found in claim.findings] == ["contractual_equals_charge"]


def test_a_reason_of_zero_says_nothing_where_all_is_paid_or_explained():
    assert claim_with("CAS*CO*197*0", paid="100").kind == "adjudicated"
    assert claim_with("CAS*CO*197*0", paid="40").kind == "adjudicated"
    assert claim_with("CAS*PR*1*100**197*0").kind == "adjudicated"
    assert denials(claim_with("CAS*CO*45*0")) == [(None, "", "", "100")]


def test_a_line_that_only_its_neighbour_explains_is_denied_without_a_reason():
    assert denials(lines_with("CAS*CO*197*0", "REF*6R*2")) == [
        (1, "CO", "197", "100.00"),
        (None, "", "", "200.00"),
    ]


def test_an_adjustment_without_a_reason_denies_and_is_noted():
    claim = claim_with("CAS*CO**100")

    assert denials(claim) == [(1, "CO", "", "100")]
    assert "reason_missing" in [found.code for found in claim.findings]


def test_the_document_prints_the_table_that_the_code_uses():
    denials = DOCUMENT.read_text().split("## What denies")[1].split("## ")[0]
    printed = [line.split("|")[1:4] for line in denials.splitlines() if line.startswith("| `")]

    assert [(code.strip(" `"), why.strip(), whole.strip()) for code, why, whole in printed] == [
        (row.reason, row.why, "yes" if row.unless_whole_charge else "") for row in ORDINARY
    ]


def test_every_code_of_the_table_stands_once():
    assert len({row.reason for row in ORDINARY}) == len(ORDINARY)
