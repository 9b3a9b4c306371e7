"""The samples' day is the payer's, whatever the machine's."""

from datetime import UTC, date, datetime

import pytest

from services import demo
from shared import clock


@pytest.mark.parametrize(
    ("now", "today"),
    [
        (datetime(2026, 11, 22, 0, 30, tzinfo=UTC), date(2026, 11, 21)),
        (datetime(2026, 11, 22, 5, 0, tzinfo=UTC), date(2026, 11, 22)),
    ],
)
def test_just_after_midnight_in_utc_it_is_still_yesterday_at_the_payer(
    monkeypatch: pytest.MonkeyPatch, now: datetime, today: date
) -> None:
    monkeypatch.setattr(clock, "now", lambda: now)

    assert demo.today() == today
