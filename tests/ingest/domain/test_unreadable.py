"""What is wrong with an amount is told by its kind and its place, and never by its value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.findings import finding
from services.ingest.domain.reader import read
from services.ingest.domain.remittance import ClaimQuarantined
from services.ingest.domain.unreadable import amount_fault, unreadable_amount
from services.ingest.x12.elements import parse_amount
from tests.ingest.remittances import TestSet, denied, remittance


@pytest.mark.parametrize(
    ("element", "kind"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b"5OO", "letters"),
        (b"500 USD", "letters"),
        (b"1e3", "exponent"),
        (b"-5.0E+2", "exponent"),
        (b"1234567890123456789", "more than 18 digits"),
        (b"1,250.00", "commas"),
        (b"1.2.3", "more than one point"),
        (b"500-", "sign"),
        (b"$500", "other characters"),
        (b"N/A", "no digit"),
        (b"-", "no digit"),
        (b".", "no digit"),
    ],
)
def test_the_kind_of_what_is_wrong_is_named(element: bytes, kind: str):
    assert parse_amount(element) is None
    assert kind in amount_fault(element)


@given(st.binary(max_size=40).filter(lambda element: parse_amount(element) is None))
def test_any_bytes_have_one_of_the_kinds_and_stand_in_no_message(element: bytes):
    kinds = {amount_fault(known) for known in (b"", b"x1", b"1e3", b"1" * 19, b"1,0", b"1-", b"$1", b"-")}
    assert amount_fault(element) in kinds
    found = unreadable_amount(finding("claim_unreadable", element=3), element)
    assert found.code == "claim_unreadable"
    kind = amount_fault(element)
    assert found.message == f"The claim's charge (CLP03) cannot be read: {kind}; the claim is quarantined."


def test_a_quarantined_claim_names_each_of_its_amounts():
    content = remittance(TestSet([denied("A1")])).replace(b"CLP*A1*1*500*0*", b"CLP*A1*1*5OO*1e3*")
    (one,) = [item for item in read([content]) if isinstance(item, ClaimQuarantined)]

    charge, payment = [(found.element, found.message) for found in one.findings]
    assert charge == (
        3,
        "The claim's charge (CLP03) cannot be read: letters stand in it; the claim is quarantined.",
    )
    assert payment[0] == 4
    assert "payment (CLP04) cannot be read: it is written with an exponent;" in payment[1]
