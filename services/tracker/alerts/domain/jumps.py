"""
Whether denials of a payer × category × service jumped against their own history.

The exact conditional test of two Poisson rates (Przyborowski and Wilenski 1940, Biometrika 31:313): where
nothing changed, of x + y denials in recent and earlier days together, the recent ones are binomial with
probability t / (t + u), the share of the recent days. So p = P(Binomial(x + y, t / (t + u)) ≥ x), without any
approximation for small counts and without a threshold that fits one payer only.

Denials come in lumps, as remittances do, and then vary more than Poisson counts. So both counts are divided
by the dispersion of the history's own weeks (Pearson's χ² over its degrees of freedom, at least 1), x
rounded down and y up: a payer that always pays in lumps must jump further before anybody is told.

Many series are looked at, so the smallest p would be small by chance. Benjamini and Hochberg's step-up rule
(1995, JRSS B 57:289) bounds the share of chance among the jumps told by `false_share`; where nothing changed
anywhere it bounds the probability of telling anything. The series share no denial, as the rule asks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Series(NamedTuple):
    """What denials are counted by."""

    payer: str
    category: str
    service: str


@dataclass(frozen=True, slots=True)
class Counts:
    """`recent` denials in `recent_days`; before that one count for each week of the history."""

    recent: int
    weeks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """`expected` is what the history lets expect in the recent days; `chance` the p value."""

    series: Series
    recent: int
    expected: float
    chance: float


def find_jumps(counts: Mapping[Series, Counts], *, recent_days: int, false_share: float) -> list[Jump]:
    """
    Give the series that jumped, the least probable by chance first.

    A payer of whom the history knows no denial has nothing to jump from: that is a new payer.
    """
    known = {series.payer for series, count in counts.items() if any(count.weeks)}
    tested = sorted(
        (
            Jump(
                series,
                count.recent,
                sum(count.weeks) * recent_days / (7 * len(count.weeks)),
                chance_of(count, recent_days=recent_days),
            )
            for series, count in counts.items()
            if series.payer in known
        ),
        key=lambda jump: (jump.chance, jump.series),
    )
    told = max(
        (place for place, jump in enumerate(tested, 1) if jump.chance <= false_share * place / len(tested)),
        default=0,
    )
    return tested[:told]


def chance_of(count: Counts, *, recent_days: int) -> float:
    """Give the probability of so many recent denials or more where nothing changed."""
    phi = dispersion(count.weeks)
    recent = math.floor(count.recent / phi)
    before = math.ceil(sum(count.weeks) / phi)
    return binomial_tail(recent, recent + before, recent_days / (recent_days + 7 * len(count.weeks)))


def dispersion(weeks: Sequence[int]) -> float:
    """Give how much more than Poisson counts these vary, at least 1: Pearson's χ² by its freedom."""
    mean = sum(weeks) / len(weeks)
    if mean == 0 or len(weeks) < 2:
        return 1.0
    return max(1.0, sum((week - mean) ** 2 for week in weeks) / mean / (len(weeks) - 1))


def binomial_tail(at_least: int, trials: int, probability: float) -> float:
    """Give P(Binomial(trials, probability) ≥ at_least), summed from its terms."""
    if at_least <= 0:
        return 1.0
    if at_least > trials:
        return 0.0
    term = math.exp(
        math.lgamma(trials + 1)
        - math.lgamma(at_least + 1)
        - math.lgamma(trials - at_least + 1)
        + at_least * math.log(probability)
        + (trials - at_least) * math.log1p(-probability)
    )
    odds = probability / (1 - probability)
    total = 0.0
    for number in range(at_least, trials + 1):
        total += term
        term *= (trials - number) / (number + 1) * odds
        if term < total * 1e-17 and number > trials * probability:
            break
    return min(1.0, total)
