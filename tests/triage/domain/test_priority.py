"""The formula of docs/classification.md, worked out a second time: what is documented is what ranks."""

import re
from datetime import date, timedelta
from decimal import Decimal
from math import log10
from pathlib import Path

import pytest

from services.triage.domain.decide import decide
from services.triage.policies import shipped_policies
from shared.calendars import Calendar
from tests.triage.domain.denials import denial, line, refused

DOCS = Path(__file__).parents[3] / "docs" / "classification.md"
SERVED, REMITTED = date(2026, 3, 2), date(2026, 3, 20)
APPEAL_ENDS = date(2026, 5, 24)  # Priority Health, Level I: 65 days from the remittance
POLICIES = shipped_policies()


def ranked(amount, as_of, payer="PRIORITY HEALTH", **changes):
    event = denial(
        refused("197", amount),
        payer=payer,
        filing_indicator="12",
        facility_type="11",
        payer_date=REMITTED,
        service_from=SERVED,
        service_to=SERVED,
        lines=[line(1, code="64483", qualifier="HC", charge=amount, service_from=SERVED, service_to=SERVED)],
        **changes,
    )
    decision = decide(event, [], POLICIES, Calendar(), as_of)
    return decision.priority, decision.confidence


def money(amount):
    return min(40.0, 40 * log10(1 + float(amount) / 100) / log10(501))


@pytest.mark.parametrize(
    "amount", ["0.00", "80.00", "500.00", "5000.00", "49999.99", "50000.00", "900000.00"]
)
@pytest.mark.parametrize("days_left", [0, 1, 17, 59, 60, 64])
def test_money_time_and_chance_are_weighed_as_the_page_says(amount, days_left):
    rank, confidence = ranked(amount, APPEAL_ENDS - timedelta(days=days_left))
    time = 40 - 35 * min(days_left, 60) / 60

    assert rank == round(money(amount) + time + 20 * 0.8 * confidence)


@pytest.mark.parametrize("days_ahead", [0, 1, 38, 75])
def test_past_the_earliest_end_of_a_range_the_days_ahead_count(days_ahead):
    # An unknown payer: 14 to 90 days from the service, a range of 76.
    rank, confidence = ranked("500.00", date(2026, 5, 31) - timedelta(days=days_ahead), payer="NO SUCH PLAN")

    assert rank == round(money("500.00") + 15 + 25 * days_ahead / 76 + 20 * 0.6 * confidence)


def test_the_pages_own_numbers_come_out():
    text = re.sub(r"\s+", " ", DOCS.read_text())
    [numbers] = re.findall(r"so \$500 weighs (\d+), \$5,000 (\d+), \$50,000 and more (\d+)", text)

    assert [round(money(Decimal(dollars))) for dollars in (500, 5_000, 50_000)] == [
        int(one) for one in numbers
    ]
