"""The test for jumps: exact tails, no alarm from lumps or from many series, an alarm for a jump."""

import random
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.alerts.domain.jumps import Counts, Series, binomial_tail, chance_of, find_jumps

ACME = Series("acme", "authorization_absent", "70553")


def found(counts, **given):
    return find_jumps(counts, **{"recent_days": 7, "false_share": 0.01, **given})


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 20))
def test_the_tail_is_that_of_the_binomial(at_least, trials, share):
    p = Fraction(share, 21)
    exact = sum(comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(at_least, trials + 1))

    assert binomial_tail(at_least, trials, share / 21) == pytest.approx(float(exact), rel=1e-9, abs=1e-300)


def test_a_jump_against_a_steady_history_is_told_with_what_was_expected():
    (jump,) = found({ACME: Counts(14, (3, 2, 4, 3, 3, 2, 3, 4))})

    assert jump.series == ACME
    assert jump.expected == 3
    assert jump.chance < 0.0001


@pytest.mark.parametrize(
    "count",
    [
        Counts(6, (3, 2, 4, 3, 3, 2, 3, 4)),  # more, as happens
        Counts(30, (300, 290, 310, 305, 295, 300, 310, 290)),  # fewer
        Counts(40, (0, 40, 0, 0, 0, 38, 0, 0)),  # a payer that pays in lumps
        Counts(40, (0,) * 8),  # a new payer has nothing to jump from
    ],
)
def test_no_jump_where_the_history_has_the_like(count):
    assert found({ACME: count}) == []


def test_a_new_service_of_a_known_payer_may_jump():
    quiet = ACME._replace(service="99213")

    assert [jump.series for jump in found({ACME: Counts(9, (0,) * 8), quiet: Counts(5, (5,) * 8)})] == [ACME]


def test_many_series_in_which_nothing_changed_seldom_tell_anything():
    """With 200 looks over 100 series each, a plain test at 0.01 would tell about 200 jumps."""
    chance = random.Random(6)  # noqa: S311  a simulation

    def poisson(mean: float) -> int:
        count, left = 0, chance.expovariate(1)
        while left < mean:
            count, left = count + 1, left + chance.expovariate(1)
        return count

    told = 0
    for _ in range(200):
        counts = {
            ACME._replace(service=str(n)): Counts(
                poisson(1 + n % 5), tuple(poisson(1 + n % 5) for _ in range(8))
            )
            for n in range(100)
        }
        told += bool(found(counts))

    assert told <= 8  # expected at most 2; P(more than 8) < 0.001 at that bound


@given(st.integers(0, 50), st.integers(0, 50), st.lists(st.integers(0, 20), min_size=4, max_size=12))
def test_more_denials_are_never_more_probable(recent, more, weeks):
    history = tuple(weeks)

    assert chance_of(Counts(recent + more, history), recent_days=7) <= chance_of(
        Counts(recent, history), recent_days=7
    )


@given(st.floats(0.001, 0.2), st.floats(0.001, 0.2), st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_a_stricter_share_never_tells_more(one, other, recents):
    counts = {ACME._replace(service=str(n)): Counts(count, (2,) * 8) for n, count in enumerate(recents)}
    strict, loose = sorted((one, other))

    assert set(found(counts, false_share=strict)) <= set(found(counts, false_share=loose))
