"""What of an unreadable claim is shown: an amount that is one, its fault where it is short, and no number of a person."""

import pytest

from services.ingest.domain.masking import MASK, mask_loop
from services.ingest.x12.delimiters import Delimiters

DELIMITERS = Delimiters(b"*", b":", b"^", b"~")


def shown(amount: str) -> str:
    (segment,) = mask_loop(f"AMT*AU*{amount}~".encode(), DELIMITERS)
    return segment.elements[1]


@pytest.mark.parametrize("amount", ["0", "500", "-12.5", "+1234567.89", "12345678", "7."])
def test_an_amount_is_shown(amount: str):
    assert shown(amount) == amount


@pytest.mark.parametrize(("amount", "masked"), [("5OO", "5XX"), ("-1O.5", "-1X.5")])
def test_letters_in_an_amount_are_seen_as_its_fault(amount: str, masked: str):
    assert shown(amount) == masked


@pytest.mark.parametrize(
    "other",
    [
        *("123-45-6789", "123456789", "19800102", "-19800102", "19800102.00", "1980/1/2", "1980.01.02"),
        *("AB123456", "555 1234", "1(2)", "1.123", "12,5", "12_3", "\u0661\u0662"),
    ],
)
def test_what_may_be_a_number_of_a_person_is_not(other: str):
    assert shown(other) == MASK
