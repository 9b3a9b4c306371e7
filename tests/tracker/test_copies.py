"""Copies of one remittance that differ: one counts, whichever arrived first. Parts of a split claim all do."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.domain.copies import COPIES
from services.tracker.domain.fold import fold
from services.tracker.domain.observations import observe
from tests.tracker.support import denial, line, name_id, outcome

JAN, FEB = date(2026, 1, 10), date(2026, 2, 10)
TWO_LINES = (line(1, "70551"), line(2, "70552", charge=200))


def only(*events):
    [case] = fold([observe(event) for event in events])
    return case


def marked(build, name: str, other: str, **given):
    return build(event=name, possible_duplicate_of=name_id(other), **given)


def test_a_copy_with_one_more_remark_does_not_double_the_dollars_whichever_arrived_first():
    lines = (line(1, "70551"),)
    stories = [
        (denial(event="a", lines=lines), marked(denial, "b", "a", lines=lines)),
        (marked(denial, "a", "b", lines=lines), denial(event="b", lines=lines)),
    ]

    for story in stories:
        case = only(*story)
        assert (case.charge_amount, case.denied_amount, case.amount_at_stake) == (100, 100, 100)
        assert case.needs_human
        assert case.needs_human_reasons == (COPIES,)
        assert len(case.event_ids) == 2
    assert len({only(*story).current_event_id for story in stories}) == 1


@pytest.mark.parametrize("cut_first", [True, False])
def test_the_whole_set_stands_before_its_truncated_copy(cut_first):
    cut_short = {"charge": 300, "amount": 100, "lines": TWO_LINES[:1], "truncated": True}
    whole = {"charge": 300, "amount": 300, "lines": TWO_LINES}
    story = (
        (denial(event="cut", **cut_short), marked(denial, "whole", "cut", **whole))
        if cut_first
        else (denial(event="whole", **whole), marked(denial, "cut", "whole", **cut_short))
    )

    case = only(*story)

    assert (case.charge_amount, case.denied_amount, case.current_event_id) == (300, 300, name_id("whole"))
    assert case.needs_human_reasons == (COPIES,)


def test_a_truncated_copy_without_any_line_is_a_copy_by_its_charge():
    cut_short = denial(event="cut", charge=300, truncated=True)

    assert only(cut_short, marked(denial, "b", "cut", charge=300, lines=TWO_LINES)).denied_amount == 300
    assert only(cut_short, marked(denial, "b", "cut", charge=50)).denied_amount == 350


def test_a_last_line_that_lost_its_date_still_is_the_same_line():
    cut_short = denial(event="cut", truncated=True, lines=(line(1, "70551"),))
    whole = marked(denial, "whole", "cut", lines=(line(1, "70551", service_from=date(2026, 1, 2)),))

    assert only(cut_short, whole).denied_amount == 100


@pytest.mark.parametrize(
    "other_line",
    [
        line(1, "70552"),
        line(1, "70551", charge=50),
        line(1, "70551", control_number="B", service_from=date(2026, 1, 2)),
        line(1, "70551", control_number="A", service_from=date(2026, 1, 3)),
    ],
)
def test_parts_of_a_split_claim_that_were_marked_still_add_up(other_line):
    first = line(1, "70551", control_number="A", service_from=date(2026, 1, 2))

    case = only(
        denial(event="a", lines=(first,)),
        marked(denial, "b", "a", position=2, charge=60, amount=50, lines=(other_line,)),
    )

    assert (case.charge_amount, case.denied_amount) == (160, 150)


def test_equal_lines_count_as_often_as_they_stand():
    twice = (line(1, "97110"), line(2, "97110"))

    case = only(
        denial(event="a", charge=100, lines=(line(1, "97110"), line(2, "97112"))),
        marked(denial, "b", "a", charge=200, lines=twice),
    )

    assert case.denied_amount == 300


def test_equal_claims_that_nobody_marked_all_count():
    assert only(denial(lines=TWO_LINES), denial(lines=TWO_LINES, position=2)).denied_amount == 200


def test_a_marked_denial_of_another_payment_is_a_later_word_and_no_copy():
    case = only(denial(event="a", on=JAN), marked(denial, "b", "a", on=FEB))

    assert (case.current_event_id, case.needs_human_reasons) == (name_id("b"), ())


def test_copies_of_the_payment_do_not_double_what_was_paid():
    paid = {"on": FEB, "paid": 40, "lines": (line(1, "70551"),)}

    case = only(denial(on=JAN), outcome(event="a", **paid), marked(outcome, "b", "a", **paid))

    assert (case.state, case.paid_amount, case.needs_human_reasons) == ("partly_paid", 40, (COPIES,))


def test_one_reversal_takes_a_denial_back_with_its_copy():
    case = only(denial(event="a", on=JAN), marked(denial, "b", "a", on=JAN), outcome("reversed", on=FEB))

    assert case.state == "reversed"


def test_of_full_copies_the_one_about_authorization_stands_so_that_no_case_closes_by_chance():
    other = {"auth_related": False, "category": "not_authorization"}

    for one, two in ((denial(event="a"), "b"), (denial(event="b"), "a")):
        assert only(one, marked(denial, two, "a" if two == "b" else "b", **other)).state == "open"


def test_a_denial_after_its_reversal_in_the_same_remittance_is_no_copy_of_the_first():
    first = denial(event="a", lines=TWO_LINES, position=1)
    reversal = outcome("reversed", on=JAN, lines=TWO_LINES, position=2)
    again = marked(denial, "b", "a", lines=TWO_LINES, position=3, amount=30)

    case = only(first, reversal, again)

    assert (case.state, case.current_event_id, case.denied_amount) == ("open", again.event_id, 30)


@given(st.permutations(["a", "b", "c"]), st.data())
def test_of_three_copies_one_counts_wherever_the_marks_fell(arrived, data):
    amounts = {"a": 100, "b": 90, "c": 80}
    events = [
        denial(
            event=name,
            amount=amounts[name],
            lines=TWO_LINES,
            possible_duplicate_of=name_id(data.draw(st.sampled_from(arrived[:place]))) if place else None,
        )
        for place, name in enumerate(arrived)
    ]

    case = only(*events)

    assert (case.charge_amount, case.denied_amount) == (100, 100)
