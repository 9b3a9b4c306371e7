"""How urgent a denial is among others."""

from decimal import Decimal
from functools import lru_cache
from math import log10
from typing import NamedTuple

from msgspec import Struct

from services.triage.domain.advice import Advice
from services.triage.domain.dollars import in_words

_MONEY_FULL = Decimal(50_000)
_MONEY_FULL_LOG = log10(1 + float(_MONEY_FULL) / 100)


class Chance(NamedTuple):
    """How much the chance weighs, why, and by what the sum of all weights is divided."""

    weight: float
    words: str
    divisor: int


class Weights(Struct, frozen=True, kw_only=True):
    """
    What ranks a denial beside its money: `time` up to 40, `chance` up to 20, and both in `words`.

    `divisor`: the sum is divided by it.
    """

    time: float
    chance: float
    words: str
    divisor: int


def priority_of(amount_at_stake: Decimal, weights: Weights) -> tuple[int, str]:
    """
    Rank a denial from 0 to 100, higher first, and say how: money + time + chance (docs/classification.md).

    Money, up to 40: logarithmic, 0 at nothing and 40 from $50,000; $500 weighs about 12, $5,000 about 25.
    """
    money, words = _money(amount_at_stake)
    rank = round((money + weights.time + weights.chance) / weights.divisor)
    return rank, f"Priority {rank}: {words}, {weights.words}"


# Prices come from a fee schedule: the same sums are at stake again and again.
@lru_cache(maxsize=8192)
def _money(amount_at_stake: Decimal) -> tuple[float, str]:
    dollars = float(amount_at_stake)
    if dollars < 0:
        return 0.0, "money 0/40 ($0.00)"
    money = 40 * min(log10(1 + dollars / 100) / _MONEY_FULL_LOG, 1.0)
    return money, f"money {money:.0f}/40 (${in_words(amount_at_stake)})"


def chance_of(advice: Advice, *, confidence: float, auth_related: bool) -> Chance:
    """
    Weigh the chance, up to 20: 20 times the weight of the way (advice.py) times the confidence.

    What is not about authorization keeps a quarter of its sum: it is another team's work.
    """
    chance = 20 * advice.chance * confidence
    words = f"chance {chance:.0f}/20 ({advice.chance_why}, {advice.chance:g}; confidence {confidence:g})"
    if not auth_related:
        words += "; a quarter, for another team"
    return Chance(chance, words, 1 if auth_related else 4)


def weights_of(time_weight: tuple[float, str], chance: Chance) -> Weights:
    """
    Weigh what is the same for all denials of an outlook.

    Time, up to 40: 40 on the day to act by, falling evenly to 5 at 60 days before it and more, and after it
    to 15 on the last day of a range (time_weight.py); 15 where no end is known; 0 where all has closed.
    """
    time, left = time_weight
    return Weights(
        time=time,
        chance=chance.weight,
        words=f"time {time:.0f}/40 ({left}), {chance.words}",
        divisor=chance.divisor,
    )
