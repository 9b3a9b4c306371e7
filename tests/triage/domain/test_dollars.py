"""Amounts are written as Python's own format writes them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.triage.domain.dollars import in_words


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_any_amount_is_written_with_its_cents_and_commas(amount):
    assert in_words(amount) == f"{amount:,.2f}"


@given(st.decimals(min_value=-2_000_000, max_value=2_000_000, places=2))
def test_an_amount_with_cents_is_written_as_it_stands(amount):
    assert in_words(amount) == f"{amount:,.2f}"


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("0.00", "0.00"),
        ("-0.00", "-0.00"),
        ("999.99", "999.99"),
        ("-999.99", "-999.99"),
        ("1000.00", "1,000.00"),
        ("-1000.00", "-1,000.00"),
        ("999999.99", "999,999.99"),
        ("1000000.00", "1,000,000.00"),
        ("80", "80.00"),
        ("12.5", "12.50"),
        ("1E+3", "1,000.00"),
    ],
)
def test_amounts_around_the_commas(amount, words):
    assert in_words(Decimal(amount)) == words
