"""Why there is a newer decision, where other remittances of the claim are what it comes from."""

from datetime import date

import pytest

from services.tracker.domain.history import reasons
from shared.contracts.decision import ToldBefore
from tests.tracker.support import denial

JANUARY = ToldBefore(first_on=date(2026, 1, 5))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, JANUARY, ["an earlier denial of 2026-01-05 governs the clocks"]),
        (
            ToldBefore(first_on=date(2026, 2, 5)),
            JANUARY,
            ["an earlier denial of 2026-01-05 governs the clocks"],
        ),
        (
            None,
            ToldBefore(first_on=date(2026, 1, 5), sure=False),
            ["an earlier denial of 2026-01-05, perhaps of the same claim, bounds the clocks"],
        ),
        (
            JANUARY,
            ToldBefore(paid_on=date(2026, 2, 5)),
            ["it takes back what the remittance of 2026-02-05 paid: clocks start anew"],
        ),
        (JANUARY, None, ["no earlier remittance tells this denial any more"]),
        (JANUARY, ToldBefore(first_on=date(2026, 1, 5)), []),
        (None, None, []),
    ],
)
def test_the_timeline_says_which_other_remittance_moved_the_clocks(before, after, said):
    first = denial(event="e", told_before=before)
    found = reasons(first, denial(event="e", decision_revision=2, told_before=after), {})

    assert [one.said for one in found] == said
    assert {one.kind for one in found} <= {"remittance"}
