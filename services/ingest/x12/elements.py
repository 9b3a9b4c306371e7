"""
Elements to amounts, dates and text.

Amounts and dates repeat millions of times in remittances, so their readings are remembered, within bounds.
"""

import re
from datetime import date
from decimal import Decimal

Cents = int | Decimal
"""An exact number of cents: an int, or a Decimal where somebody sent fractions of a cent."""

_NUMBER = re.compile(rb"[+-]?(?=\.?\d)(\d*)(?:\.(\d*))?")
_DIGITS_MAX = 18  # X12: R 1/18
_PLAIN_BYTES_MAX = 16
_REMEMBERED_BYTES_MAX = 32  # what is longer is no amount and no date, and would fill the memory
_ZERO = ord("0")

_YEARS = range(1980, 2100)


def parse_amount(element: bytes) -> tuple[Cents, bytes] | None:
    """
    Read an amount in dollars: exact cents, and one form in which 100, 100.0 and 100.00 are equal.

    None where it is no X12 decimal number: empty, with thousands separators, of more than 18 digits.
    """
    # Nearly all amounts are read right here, by hand: Decimal and a pattern cost ten times as much.
    whole, _, fraction = element.partition(b".")
    digits = whole + fraction
    places = len(fraction)
    if places > 2 or not digits.isdigit() or len(element) >= _PLAIN_BYTES_MAX:
        return _read_odd_amount(element)
    if not whole or (whole[0] == _ZERO and len(whole) > 1):
        return _read_odd_amount(element)
    if places == 2:
        form = element if fraction[1] != _ZERO else element[:-1] if fraction[0] != _ZERO else whole
        return int(digits), form
    if places:
        return int(digits) * 10, element if fraction[0] != _ZERO else whole
    return int(digits) * 100, whole


def _read_odd_amount(element: bytes) -> tuple[Cents, bytes] | None:
    """Signs, padding, leading zeros, fractions of a cent, and what is no amount."""
    number = read_number(element)
    if number is None:
        return None
    cents = number * 100
    form = format(number.normalize(), "f") if number else "0"
    return (int(cents) if cents == int(cents) else cents), form.encode()


class _Amounts(dict[bytes, tuple[Cents, bytes] | None]):
    """Amounts read so far. A hit costs a tenth of a reading, and half of what an lru_cache would."""

    def __missing__(self, element: bytes) -> tuple[Cents, bytes] | None:
        if len(self) >= _AMOUNTS_MAX:
            self.clear()
        amount = parse_amount(element)
        if len(element) <= _REMEMBERED_BYTES_MAX:
            self[element] = amount
        return amount


_AMOUNTS_MAX = 1 << 14

read_amount = _Amounts().__getitem__
"""Read an amount as parse_amount does, and remember it: for those that repeat, as prices do."""


def read_number(element: bytes) -> Decimal | None:
    """Read an X12 decimal number as sent ("100.0" stays 100.0); None where it is none."""
    if len(element) < _PLAIN_BYTES_MAX and element.replace(b".", b"", 1).isdigit():
        return Decimal(element.decode())
    element = element.strip()
    found = _NUMBER.fullmatch(element)
    if found is None or len(found[1]) + len(found[2] or b"") > _DIGITS_MAX:
        return None
    return Decimal(element.decode("ascii"))


def read_count(elements: list[bytes], index: int) -> int | None:
    """Read a count (SE01, GE01, IEA01), with or without leading zeros; None where it is none."""
    text = elements[index].strip() if index < len(elements) else b""
    return int(text) if text.isdigit() and len(text) <= _DIGITS_MAX else None


class _Dates(dict[bytes, date | None]):
    """Dates read so far: a file has a few hundred."""

    def __missing__(self, element: bytes) -> date | None:
        if len(self) >= _DATES_MAX:
            self.clear()
        day = _read_date(element)
        if len(element) <= _REMEMBERED_BYTES_MAX:
            self[element] = day
        return day


_DATES_MAX = 1 << 13

read_date = _Dates().__getitem__
"""Read CCYYMMDD. None where it is no date, or of a year that no remittance of ours can mean."""


def _read_date(element: bytes) -> date | None:
    element = element.strip()
    if len(element) != 8 or not element.isdigit() or int(element[:4]) not in _YEARS:
        return None
    try:
        return date(int(element[:4]), int(element[4:6]), int(element[6:]))
    except ValueError:
        return None


def is_absurd_date(element: bytes) -> bool:
    """Tell a date of an impossible year from what is no date at all."""
    element = element.strip()
    return len(element) == 8 and element.isdigit() and int(element[:4]) not in _YEARS


def decode(text: bytes) -> str:
    """Decode bytes: UTF-8, or Latin-1 where they are not UTF-8."""
    if 0 in text:
        text = text.replace(b"\0", b"")  # PostgreSQL keeps every character in a text but this one
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def read_text(element: bytes) -> str:
    """Decode an element. Blanks at its edges are padding."""
    return decode(element).strip()


def read_text_or_none(elements: list[bytes], index: int) -> str | None:
    """Give the text of an element, None where it is empty or the segment is shorter."""
    return (read_text(elements[index]) or None) if index < len(elements) else None
