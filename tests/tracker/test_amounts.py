"""Amounts as the API writes them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.api.summary import Summary
from services.tracker.api.views import ItemView
from services.tracker.domain.amounts import in_cents
from services.tracker.domain.history import changes
from tests.tracker.support import denial

AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15)


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        ("11260", "11260.00"),
        ("11260.5", "11260.50"),
        ("11260.500", "11260.50"),
        ("1E+3", "1000.00"),
        ("-0.00", "0.00"),
        ("-7.1", "-7.10"),
        ("0.005", "0.005"),
        ("1.2340", "1.234"),
        ("12345678901234567890123456789012.5", "12345678901234567890123456789012.50"),
    ],
)
def test_an_amount_has_cents_and_loses_nothing(amount, written):
    assert in_cents(Decimal(amount)) == written


@given(AMOUNTS)
def test_a_written_amount_is_the_amount(amount):
    assert Decimal(in_cents(amount)) == amount


@given(st.decimals(places=4, min_value=-(10**12), max_value=10**12))
def test_equal_amounts_read_the_same_however_they_came(amount):
    assert in_cents(amount) == in_cents(amount.normalize()) == in_cents(amount.quantize(Decimal("1E-9")))


def test_every_dollar_of_an_answer_has_cents_and_quantities_are_left_alone():
    item = ItemView.model_construct(amount=Decimal(100), quantity=Decimal(4))
    summary = Summary.model_construct(denied_amount=Decimal(9), paid_amount=Decimal(0))

    assert item.model_dump(mode="json", warnings=False)["amount"] == "100.00"
    assert item.model_dump(mode="json", warnings=False)["quantity"] == "4"
    assert summary.model_dump(mode="json")["denied_amount"] == "9.00"
    assert summary.model_dump(mode="json")["paid_amount"] == "0.00"


def test_an_amount_written_otherwise_is_no_change():
    before = denial(event="e", amount_at_stake=Decimal(200))

    assert changes(before, denial(event="e", amount_at_stake=Decimal("200.00"))) == []
    [change] = changes(before, denial(event="e", amount_at_stake=Decimal("150.1")))
    assert (change.before, change.after) == ("200.00", "150.10")
