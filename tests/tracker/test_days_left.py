"""Days left are counted where the payer is, and to the end that is still ahead."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.tracker.api.views import case_summary
from services.tracker.domain.clocks import days_between, read_clock
from tests.tracker.support import clock

DETROIT = "America/Detroit"
END_OF_TUESDAY = datetime(2026, 11, 24, 23, 59, 59, tzinfo=ZoneInfo(DETROIT))


@pytest.mark.parametrize("hour", [0, 14, 23])
def test_the_end_of_the_third_day_from_now_is_three_days_away_all_day_long(hour: int) -> None:
    at = datetime(2026, 11, 21, hour, 0, tzinfo=ZoneInfo(DETROIT))

    assert days_between(at, END_OF_TUESDAY, zone=DETROIT) == 3
    # The database gives instants in UTC, on the next calendar day there.
    assert days_between(at.astimezone(UTC), END_OF_TUESDAY.astimezone(UTC), zone=DETROIT) == 3


def test_a_deadline_that_has_passed_has_no_days_left() -> None:
    assert days_between(datetime(2026, 11, 26, tzinfo=UTC), END_OF_TUESDAY, zone=DETROIT) == 0


def test_an_uncertain_clock_is_read_by_its_latest_end_once_its_earliest_has_passed() -> None:
    uncertain = clock(
        None,
        permitted=None,
        earliest=END_OF_TUESDAY - timedelta(days=30),
        latest=END_OF_TUESDAY,
        zone=DETROIT,
    )

    assert read_clock(uncertain, END_OF_TUESDAY - timedelta(days=5)) == ("undetermined", 5)
    assert read_clock(uncertain, END_OF_TUESDAY - timedelta(days=40)) == ("undetermined", 10)
    assert read_clock(uncertain, END_OF_TUESDAY + timedelta(days=1)) == ("expired", 0)


@pytest.mark.parametrize("hour", [17, 23])
def test_a_case_names_the_payers_own_day_of_its_next_deadline(hour: int) -> None:
    ends = END_OF_TUESDAY.replace(hour=hour, minute=0, second=0).astimezone(UTC)
    row = {
        "deadlines": [ends],
        "deadline_zones": [DETROIT],
        "next_deadline_at": ends,
        "unsure_from": None,
        "unsure_until": None,
        "patient_name_index": None,
        "member_id_index": None,
    }

    shown = case_summary(row, at=datetime(2026, 11, 21, 23, 30, tzinfo=UTC))

    assert (shown["next_deadline_on"], shown["next_deadline_zone"]) == (date(2026, 11, 24), DETROIT)
    assert shown["days_left"] == 3
