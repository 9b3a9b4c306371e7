"""How long a delivery waits: doubled, spread, bounded, and never shorter than it was asked to."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.alerts.domain.patience import Patience

chances = st.floats(0, 1)


@given(st.integers(1, 10_000), chances, st.none() | st.floats(0, 1e9))
def test_a_wait_is_within_its_bounds(failures, chance, asked):
    patience = Patience()
    seconds = patience.wait(failures, chance=chance, asked_seconds=asked).total_seconds()

    assert 5 <= seconds <= 6 * 3600
    assert seconds >= min(asked or 0, 6 * 3600) - 1e-3


def test_waits_double_up_to_hours_and_add_up_to_days():
    patience = Patience()
    waits = [patience.wait(n, chance=1).total_seconds() for n in range(1, 25)]

    assert waits[:4] == [10, 20, 40, 80]
    assert waits[-1] == 6 * 3600
    assert sum(waits) > timedelta(days=3).total_seconds()


@pytest.mark.parametrize(
    ("failures", "asked", "open_"), [(1, None, False), (2, None, False), (3, None, True), (1, 5.0, True)]
)
def test_the_circuit_opens_at_the_third_failure_or_when_asked(failures, asked, open_):
    assert (Patience().pause(failures, chance=1, asked_seconds=asked) is not None) is open_


def test_it_is_over_after_its_days():
    at = datetime(2026, 1, 4, tzinfo=UTC)

    assert Patience(days=3).is_over(datetime(2026, 1, 1, tzinfo=UTC), at)
    assert not Patience(days=3).is_over(datetime(2026, 1, 1, 0, 1, tzinfo=UTC), at)
