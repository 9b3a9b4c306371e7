"""Days left are counted where the payer is, whether the zone is at hand or not."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from services.tracker.domain.clocks import days_between

DETROIT = "America/Detroit"
END_OF_TUESDAY = datetime(2026, 11, 24, 23, 59, 59, tzinfo=ZoneInfo(DETROIT))


@pytest.mark.parametrize(("hour", "left"), [(0, 3), (14, 3), (23, 3)])
def test_the_end_of_the_third_day_from_now_is_three_days_away_all_day_long(hour: int, left: int) -> None:
    at = datetime(2026, 11, 21, hour, 0, tzinfo=ZoneInfo(DETROIT))

    assert days_between(at, END_OF_TUESDAY, zone=DETROIT) == left
    # The column has no zone: the instant comes back in UTC, on the next calendar day there.
    assert days_between(at.astimezone(UTC), END_OF_TUESDAY.astimezone(UTC)) == left


def test_a_deadline_that_has_passed_has_no_days_left() -> None:
    assert days_between(datetime(2026, 11, 26, tzinfo=UTC), END_OF_TUESDAY) == 0
