from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.x12.elements import is_absurd_date, read_amount, read_date, read_number, read_text

AMOUNTS = st.decimals(min_value=-(10**7), max_value=10**7, allow_nan=False, places=4)


@given(AMOUNTS, st.integers(0, 3), st.integers(0, 3))
def test_equal_amounts_have_one_form_however_they_are_written(amount, zeros_before, zeros_behind):
    plain = format(amount, "f")
    padded = plain.replace("-", "-" + "0" * zeros_before) if amount < 0 else "0" * zeros_before + plain
    first, second = read_amount(plain.encode()), read_amount((padded + "0" * zeros_behind).encode())

    assert first == second
    assert first[0] == amount * 100
    assert Decimal(first[1].decode()) == amount


@pytest.mark.parametrize(
    ("text", "cents", "form"),
    [
        (b"0", 0, b"0"),
        (b"0.00", 0, b"0"),
        (b"-0", 0, b"0"),
        (b"100", 10000, b"100"),
        (b"100.00", 10000, b"100"),
        (b"100.50", 10050, b"100.5"),
        (b".5", 50, b"0.5"),
        (b"5.", 500, b"5"),
        (b"+7", 700, b"7"),
        (b"007", 700, b"7"),
        (b" 12.30 ", 1230, b"12.3"),
        (b"-12.34", -1234, b"-12.34"),
        (b"0.005", Decimal("0.5"), b"0.005"),
        (b"123456789012345678", 12345678901234567800, b"123456789012345678"),
    ],
)
def test_amounts_are_exact(text, cents, form):
    assert read_amount(text) == (cents, form)
    assert read_number(text) * 100 == cents


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"1,000.00",
        b"$5",
        b"5-",
        b"1e5",
        b"NaN",
        b"1.2.3",
        b".",
        b"-",
        b"\xb2",
        b"1" * 19,
        b"Infinity",
    ],
)
def test_what_is_no_amount_is_none(text):
    assert read_amount(text) is None
    assert read_number(text) is None


@given(st.binary(max_size=20))
def test_no_bytes_upset_the_readings(element):
    amount = read_amount(element)
    read_date(element)

    assert (amount is None) == (read_number(element) is None)
    assert isinstance(read_text(element), str)


def test_dates_have_eight_digits_and_a_possible_year():
    assert read_date(b"20240229") == date(2024, 2, 29)
    assert [
        read_date(text) for text in (b"20230229", b"240229", b"99991231", b"00010101", b"", b"2024 229")
    ] == [None] * 6
    assert is_absurd_date(b"99991231")
    assert not is_absurd_date(b"20231301")


def test_text_is_utf_8_or_else_latin_1():
    assert [read_text(text) for text in ("MÜLLER".encode(), "MÜLLER".encode("latin-1"))] == ["MÜLLER"] * 2


def test_what_is_too_long_to_be_an_amount_or_a_date_is_not_remembered():
    for number in range(50):
        long = b"%d" % number + b"x" * 60_000
        assert (read_amount(long), read_date(long)) == (None, None)
    for remembered in (read_amount.__self__, read_date.__self__):
        assert max(map(len, remembered)) < 100
