"""A cursor comes back as it was, and no edited one is believed."""

from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.errors import InvalidInputError
from shared.http.cursors import cursor_key, decode_cursor, encode_cursor

KEY = cursor_key("a secret setting")
Position = tuple[date | None, Decimal, UUID]


@given(
    st.tuples(
        st.none() | st.dates(), st.decimals(allow_nan=False, allow_infinity=False, places=2), st.uuids()
    )
)
def test_a_position_comes_back_as_it_was(position: Position):
    cursor = encode_cursor(position, key=KEY)
    assert decode_cursor(cursor, Position, key=KEY) == position
    assert decode_cursor(cursor, Position, key=cursor_key("a secret setting")) == position


@given(st.data())
def test_a_changed_cursor_is_refused(data: st.DataObject):
    cursor = encode_cursor((date(2026, 11, 21), Decimal("18240.00"), UUID(int=7)), key=KEY)
    at = data.draw(st.integers(0, len(cursor) - 2))
    other = data.draw(st.characters())
    assume(other != cursor[at])
    with pytest.raises(InvalidInputError, match="Start again without a cursor"):
        decode_cursor(cursor[:at] + other + cursor[at + 1 :], Position, key=KEY)


@pytest.mark.parametrize("cursor", ["", "=", "AAAA", "ü", "x" * 5000])
def test_what_is_no_cursor_is_refused(cursor: str):
    with pytest.raises(InvalidInputError):
        decode_cursor(cursor, Position, key=KEY)


def test_a_cursor_of_another_list_or_another_installation_is_refused():
    cursor = encode_cursor(["a", 1], key=KEY)
    with pytest.raises(InvalidInputError):
        decode_cursor(cursor, Position, key=KEY)
    with pytest.raises(InvalidInputError):
        decode_cursor(cursor, list, key=cursor_key("another secret"))
