from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ingest.domain.files import one_claim, reading, transaction_set, wrapped

CENTS = st.integers(0, 10**7)


def dollars(cents):
    return format(Decimal(cents).scaleb(-2), "f")


def balances(read):
    found = [finding for claim in read.claims for finding in claim.balance_findings]
    return found + [finding for one in read.sets for finding in one.balance_findings]


@given(st.lists(st.tuples(CENTS, CENTS, CENTS), min_size=1, max_size=5), st.integers(-500, 500))
def test_what_adds_up_has_no_finding_and_what_does_not_has_its_difference(lines, off):
    paid = sum(line[0] for line in lines)
    charge = sum(sum(line) for line in lines)
    segments = [f"CLP*A1*1*{dollars(charge)}*{dollars(paid)}**12*P1"]
    for one_paid, contractual, share in lines:
        segments.append(f"SVC*HC:99213*{dollars(one_paid + contractual + share)}*{dollars(one_paid)}")
        segments.append(f"CAS*CO*45*{dollars(contractual)}**253*{dollars(0)}")
        segments.append(f"CAS*PR*2*{dollars(share)}")
    read = reading(wrapped(transaction_set(segments, paid=dollars(paid + off))))

    assert [(f.level, f.difference) for f in balances(read)] == (
        [("transaction", Decimal(off).scaleb(-2))] if off else []
    )


def test_a_line_is_balanced_alone_and_the_claim_with_all_adjustments():
    read = one_claim(
        "CLP*A1*1*100*50**12*P1",
        "CAS*CO*45*30",
        "SVC*HC:99213*100*80",
        "CAS*PR*2*20",
        paid="50",
    )

    assert balances(read) == []


def test_a_line_out_of_balance_is_named_with_its_segment():
    read = one_claim(
        "CLP*A1*1*100*70**12*P1", "SVC*HC:99213*60*60", "SVC*HC:99214*40*10", "CAS*CO*45*29", paid="70"
    )
    found = balances(read)

    assert [(f.level, f.line_number, f.difference) for f in found] == [
        ("line", 2, Decimal("-1.00")),
        ("claim", None, Decimal("-1.00")),
    ]
    assert read.claims[0].findings[0].segment_id == "SVC"
    assert [one.difference for one in read.claims[0].findings] == [Decimal("-1.00"), Decimal("-1.00")]


def test_provider_adjustments_lower_the_payment():
    content = wrapped(
        transaction_set(["CLP*A1*1*100*100**12*P1", "PLB*1234567893*20261231*WO:X*30*L6*-5"], paid="75")
    )
    read = reading(content)

    assert balances(read) == []
    assert [(p.reason, p.reference, p.amount) for p in read.sets[0].provider_adjustments] == [
        ("WO", "X", Decimal(30)),
        ("L6", None, Decimal(-5)),
    ]


def test_a_remittance_of_provider_adjustments_alone_is_valid():
    read = reading(wrapped(transaction_set(["PLB*1234567893*20261231*FB*-10"], paid="10")))

    assert read.codes == []
    assert read.sets[0].claims_read == 0


def test_fractions_of_a_cent_stay_exact():
    read = one_claim(
        "CLP*A1*1*0.015*0.005**12*P1", "SVC*HC:99213*0.015*0.005", "CAS*CO*45*0.01", paid="0.005"
    )

    assert balances(read) == []


@pytest.mark.parametrize("line", ["SVC*HC:1*x*40", "SVC*HC:1*60*y", "SVC*HC:1*60", "SVC"])
def test_a_line_whose_amounts_cannot_be_read_is_not_said_to_be_out_of_balance(line):
    read = one_claim("CLP*A*1*100*40**12*P", line, "CAS*CO*45*20", "SVC*HC:2*40*0", "CAS*PR*1*40", paid="40")

    assert read.codes == ["amount_unreadable"]
    assert read.claims[0].balance_findings == ()


def test_the_next_line_is_balanced_all_the_same():
    read = one_claim("CLP*A*1*100*40**12*P", "SVC*HC:1*x*40", "SVC*HC:2*40*0", "CAS*PR*1*60", paid="40")

    assert read.codes == ["amount_unreadable", "line_out_of_balance"]
    assert read.claims[0].balance_findings[0].line_number == 2
