"""Whatever the order, the batches and the repetitions: the same observations make the same cases."""

from datetime import date

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.tracker.domain.cases import Case, case_id_of
from services.tracker.domain.fold import fold
from services.tracker.domain.grouping import group
from services.tracker.domain.observations import in_order, observe
from shared.contracts.claim import Party
from tests.tracker.support import KEY, ORGANIZATION, PAYER, denial, line, outcome, person

DAYS = [None, date(2026, 1, 2), date(2026, 1, 3), date(2026, 5, 1)]
PERSONS = [
    None,
    person("ada", "m1"),
    person("ben", "m1"),
    person("ben", "m2"),
    person(None, "m2"),
    person("eve", None),
]
LINES = [(), (line(1, "70551"),), (line(1, "70551"), line(2, "70552"))]


@st.composite
def observations(draw):
    what = draw(st.sampled_from(["denied", "denied", "paid", "zero", "reversed"]))
    first = draw(st.sampled_from(DAYS))
    given = {
        "event": f"event {draw(st.integers(0, 7))}",
        "revision": draw(st.integers(1, 2)),
        "on": date(2026, draw(st.integers(1, 3)), 10),
        "position": draw(st.integers(1, 3)),
        "charge": draw(st.sampled_from([50, 100])),
        "patient": draw(st.sampled_from(PERSONS)),
        "corrected_patient": draw(st.sampled_from([None, None, *PERSONS])),
        "payer": draw(st.sampled_from([PAYER, PAYER, Party(name="Other Plan"), Party()])),
        "payer_claim_number": draw(st.sampled_from([None, "P-1", "P-2"])),
        "service_from": first,
        "service_to": first and draw(st.sampled_from([first, date(2026, 6, 1)])),
        "is_test": draw(st.sampled_from([False, False, False, True])),
        "lines": draw(st.sampled_from(LINES)),
        "truncated": draw(st.sampled_from([False, False, True])),
        "possible_duplicate_of": draw(st.sampled_from([None, KEY])),
    }
    if what == "denied":
        return observe(denial(**given, decision_revision=draw(st.integers(1, 2))))
    return observe(outcome(what, **given))


def consistent(found):
    """One word per event, revision and decision revision, as the ledger keeps it."""
    return list({(one.event_id, one.revision, one.decision_revision): one for one in found}.values())


SETS = st.lists(observations(), min_size=1, max_size=9).map(consistent)


def living(cases: list[Case]) -> list[tuple]:
    """Cases without what may differ by arrival when a key has several claims: their numbers and the ended ones."""
    return sorted(
        (
            case.event_ids,
            case.state,
            case.current_event_id,
            case.paid_amount,
            case.deadlines,
            case.needs_human_reasons,
        )
        for case in cases
        if case.closed_reason not in ("merged", "withdrawn")
    )


def in_batches(batches) -> list[Case]:
    seen, cases = [], []
    for batch in batches:
        seen = [*seen, *batch]
        cases = fold(seen, cases)
    return cases


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SETS, st.data())
def test_any_order_and_repetition_across_batches_gives_the_same_cases(found, data):
    arrivals = data.draw(st.permutations(found + data.draw(st.lists(st.sampled_from(found), max_size=5))))
    cut = data.draw(st.integers(1, 4))

    cases = in_batches(arrivals[start : start + cut] for start in range(0, len(arrivals), cut))

    assert living(cases) == living(fold(found))
    assert len({case.case_id for case in cases}) == len(cases)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SETS, st.data())
def test_a_key_with_one_claim_always_gets_the_same_case_id(found, data):
    arrivals = data.draw(st.permutations(found))

    cases = in_batches([one] for one in arrivals)

    if len(group(in_order(found))) == 1 and living(cases):
        [case] = [case for case in cases if case.closed_reason not in ("merged", "withdrawn")]
        assert case.case_id == case_id_of(ORGANIZATION, KEY, 0)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SETS)
def test_folding_again_over_its_own_cases_changes_nothing(found):
    cases = fold(found)

    assert fold(found, cases) == cases


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SETS)
def test_every_denial_stands_in_a_case_and_none_in_two(found):
    current = in_order(found)

    events = [event for case in fold(found) for event in case.event_ids]

    assert len(events) == len(set(events))
    assert {one.event_id for one in current if one.is_denial} <= set(events)
