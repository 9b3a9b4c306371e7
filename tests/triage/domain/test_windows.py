"""Dates computed by hand, and business days against a walk from day to day."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.triage.domain.windows import Span, Window, add_months, end_of
from shared.calendars import Calendar, ClosedDays, public_holidays

CALENDAR = Calendar()
DETROIT = "America/Detroit"


def window(amount=1, unit="calendar_days", *, zone=DETROIT, kept=None, off_day=None, **more):
    span = Span(amount=amount, unit=unit, **more)
    return Window(span=span, zone=zone, kept=kept or ClosedDays(), off_day=off_day)


def ends(start, *args, **more):
    return end_of(window(*args, **more), start, CALENDAR).at.isoformat()


@pytest.mark.parametrize(
    ("start", "amount", "unit", "expected"),
    [
        (date(2026, 3, 1), 30, "calendar_days", "2026-03-31T23:59:59-04:00"),
        (date(2026, 3, 2), 90, "calendar_days", "2026-05-31T23:59:59-04:00"),
        (date(2024, 2, 1), 30, "calendar_days", "2024-03-02T23:59:59-05:00"),  # over a leap day
        (date(2025, 2, 1), 30, "calendar_days", "2025-03-03T23:59:59-05:00"),
        (date(2026, 3, 5), 5, "business_days", "2026-03-12T23:59:59-04:00"),
        (date(2026, 3, 7), 1, "business_days", "2026-03-09T23:59:59-04:00"),  # from a Saturday
        (date(2026, 7, 2), 1, "business_days", "2026-07-06T23:59:59-04:00"),  # 3 July is observed
        (date(2026, 11, 25), 2, "business_days", "2026-11-30T23:59:59-05:00"),  # Thanksgiving
        (date(2026, 12, 24), 5, "business_days", "2027-01-04T23:59:59-05:00"),  # Christmas, New Year
        (date(2026, 1, 31), 1, "months", "2026-02-28T23:59:59-05:00"),
        (date(2028, 1, 31), 1, "months", "2028-02-29T23:59:59-05:00"),
        (date(2026, 3, 20), 12, "months", "2027-03-20T23:59:59-04:00"),
        (date(2024, 2, 29), 1, "years", "2025-02-28T23:59:59-05:00"),
        (date(2026, 1, 5), 1, "end_of_next_month", "2026-02-28T23:59:59-05:00"),
        (date(2026, 12, 31), 1, "end_of_next_month", "2027-01-31T23:59:59-05:00"),
        (date(2024, 1, 31), 1, "end_of_next_month", "2024-02-29T23:59:59-05:00"),
    ],
)
def test_a_window_ends_where_a_calendar_on_the_wall_says(start, amount, unit, expected):
    assert ends(start, amount, unit) == expected


def test_the_first_day_counts_where_the_payer_counts_it():
    assert ends(date(2026, 3, 2), 30, count_from="same_day") == "2026-03-31T23:59:59-04:00"
    assert ends(date(2026, 3, 6), 2, "business_days", count_from="same_day") == "2026-03-09T23:59:59-04:00"


def test_a_last_day_off_rolls_only_if_the_payer_says_so():
    saturday = date(2026, 7, 4)
    start = saturday - timedelta(days=180)

    assert ends(start, 180)[:10] == "2026-07-04"
    assert ends(start, 180, roll="next_business_day")[:10] == "2026-07-06"
    assert ends(start, 180, roll="previous_business_day")[:10] == "2026-07-02"


def test_a_cut_off_hour_is_local():
    assert ends(date(2026, 3, 6), 3, cut_off=time(17)) == "2026-03-09T17:00:00-04:00"
    assert ends(date(2026, 3, 6), 1, cut_off=time(17)) == "2026-03-07T17:00:00-05:00"


def test_hours_really_pass_when_the_clocks_go_forward():
    admitted = datetime(2026, 3, 8, 3, 30, tzinfo=UTC) - timedelta(hours=1)  # 21:30 on Saturday in Detroit

    assert ends(admitted, 24, "hours") == "2026-03-08T22:30:00-04:00"


def test_hours_really_pass_when_the_clocks_go_back():
    admitted = datetime(2026, 11, 1, 2, tzinfo=UTC)  # 22:00 on Saturday in Detroit

    assert ends(admitted, 24, "hours") == "2026-11-01T21:00:00-05:00"


def test_an_instant_is_a_day_in_the_payers_zone():
    evening = datetime(2026, 3, 3, 3, tzinfo=UTC)  # 22:00 on 2 March in Detroit

    assert ends(evening, 30)[:10] == "2026-04-01"


def test_arizona_keeps_its_hour_and_hawaii_too():
    assert ends(date(2026, 3, 1), 30, zone="America/Phoenix") == "2026-03-31T23:59:59-07:00"
    assert ends(date(2026, 3, 1), 30, zone="Pacific/Honolulu") == "2026-03-31T23:59:59-10:00"


@pytest.mark.parametrize(
    ("admitted", "expected"),
    [
        (datetime(2026, 3, 4, 15, 30, tzinfo=UTC), "2026-03-05T10:30:00-05:00"),  # a Wednesday
        (datetime(2026, 3, 7, 15, 30, tzinfo=UTC), "2026-03-09T17:00:00-04:00"),  # a Saturday
        (datetime(2026, 3, 8, 15, 30, tzinfo=UTC), "2026-03-09T17:00:00-04:00"),  # a Sunday
        (datetime(2026, 9, 7, 15, 30, tzinfo=UTC), "2026-09-08T17:00:00-04:00"),  # Labor Day
        (datetime(2026, 9, 5, 15, 30, tzinfo=UTC), "2026-09-08T17:00:00-04:00"),  # the Saturday before it
    ],
)
def test_a_weekend_admission_has_until_five_of_the_next_business_day(admitted, expected):
    off_day = Span(amount=1, unit="business_days", cut_off=time(17))

    assert ends(admitted, 24, "hours", off_day=off_day) == expected


def test_the_steps_let_a_person_recompute():
    steps = end_of(window(180, roll="next_business_day"), date(2026, 1, 5), CALENDAR).steps

    assert steps == (
        "2026-01-05 (Mon) plus 180 calendar days (the first day is day zero) is 2026-07-04 (Sat)",
        "2026-07-04 (Sat) is no business day (weekend): the next one is 2026-07-06 (Mon)",
        "it ends at 23:59:59 America/Detroit",
    )


def test_federal_holidays_of_2026_are_days_off():
    expected = {
        date(2026, 1, 1), date(2026, 1, 19), date(2026, 2, 16), date(2026, 5, 25), date(2026, 6, 19),
        date(2026, 7, 3), date(2026, 7, 4), date(2026, 9, 7), date(2026, 10, 12), date(2026, 11, 11),
        date(2026, 11, 26), date(2026, 12, 25),
    }  # fmt: skip

    assert set(public_holidays(None, 2026)) == expected


def test_a_state_holiday_counts_where_the_policy_names_the_state():
    day_after_thanksgiving = date(2026, 11, 27)

    assert CALENDAR.is_business_day(day_after_thanksgiving, ClosedDays())
    assert not CALENDAR.is_business_day(day_after_thanksgiving, ClosedDays(states=("CA",)))


def test_a_payers_own_days_add_and_take_away():
    kept = ClosedDays(closed=frozenset([date(2026, 3, 4)]), open=frozenset([date(2026, 10, 12)]))

    assert not CALENDAR.is_business_day(date(2026, 3, 4), kept)
    assert CALENDAR.is_business_day(date(2026, 10, 12), kept)
    assert not Calendar(closed=frozenset([date(2026, 3, 5)])).is_business_day(date(2026, 3, 5), ClosedDays())


days = st.dates(date(2000, 1, 1), date(2099, 1, 1))
counts = st.integers(1, 90)


@given(start=days, count=counts, offsets=st.frozensets(st.integers(-5, 200), max_size=40))
def test_business_days_agree_with_a_walk_from_day_to_day(start, count, offsets):
    closed = frozenset(start + timedelta(days=offset) for offset in offsets)
    kept = ClosedDays(federal=False, closed=closed)

    end = CALENDAR.add_business_days(start, count, kept)

    between = [start + timedelta(days=n) for n in range(1, (end - start).days + 1)]
    worked = [day for day in between if day.isoweekday() <= 5 and day not in closed]
    assert len(worked) == count
    assert worked[-1] == end


@given(start=days, count=counts, holiday=st.integers(0, 120))
def test_adding_a_holiday_never_ends_a_window_earlier(start, count, holiday):
    more = ClosedDays(closed=frozenset([start + timedelta(days=holiday)]))

    assert CALENDAR.add_business_days(start, count, more) >= CALENDAR.add_business_days(
        start, count, ClosedDays()
    )


units = st.sampled_from(["hours", "calendar_days", "business_days", "months"])


@given(start=days, amount=counts, more=st.integers(0, 30), unit=units)
def test_widening_a_window_never_ends_it_earlier(start, amount, more, unit):
    narrow = end_of(window(amount, unit), start, CALENDAR).at

    assert end_of(window(amount + more, unit), start, CALENDAR).at >= narrow


@given(start=days, later=st.integers(0, 40), amount=counts, unit=units)
def test_starting_later_never_ends_earlier(start, later, amount, unit):
    first = end_of(window(amount, unit), start, CALENDAR).at

    assert end_of(window(amount, unit), start + timedelta(days=later), CALENDAR).at >= first


@given(
    start=days,
    amount=counts,
    zone=st.sampled_from(["America/New_York", "America/Denver", "Pacific/Honolulu"]),
)
def test_days_end_with_the_last_second_of_the_local_day(start, amount, zone):
    at = end_of(window(amount, zone=zone), start, CALENDAR).at

    assert at.time() == time(23, 59, 59)
    assert at.date() == start + timedelta(days=amount)


@given(day=days, months=st.integers(0, 60))
def test_adding_months_keeps_the_day_or_takes_the_months_last(day, months):
    later = add_months(day, months)

    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day == day.day or (later.day < day.day and (later + timedelta(days=1)).day == 1)
