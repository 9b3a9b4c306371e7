"""How urgent a denial is among others, and how sure we are of what we say about it."""

from decimal import Decimal
from math import log10

from services.triage.domain.outlook import Outlook

_NOTHING = Decimal(0)
_MONEY_FULL = Decimal(50_000)
_MONEY_FULL_LOG = log10(1 + float(_MONEY_FULL) / 100)


def confidence_of(outlook: Outlook, *, balanced: bool) -> float:
    """
    Say how sure the decision is, 0 to 1: the product of three factors.

    The codes' own confidence (meanings.py); for authorization denials the policy: confirmed 1, unconfirmed
    0.9, default 0.75, ambiguous 0.6; and 0.9 where the claim's amounts do not add up.
    """
    return round(outlook.certainty * (1.0 if balanced else 0.9), 2)


def priority_of(
    amount_at_stake: Decimal, outlook: Outlook, *, confidence: float, auth_related: bool
) -> tuple[int, str]:
    """
    Rank a denial from 0 to 100, higher first, and say how: money + time + chance (docs/classification.md).

    Money, up to 40: logarithmic, 0 at nothing and 40 from $50,000; $500 weighs about 12, $5,000 about 25.
    Time, up to 40: 40 on the day to act by, falling evenly to 5 at 60 days before it and more, and after it
    to 15 on the last day of a range (time_weight.py); 15 where no end is known; 0 where all has closed.
    Chance, up to 20: 20 times the weight of the way (advice.py) times the confidence.
    What is not about authorization keeps a quarter of its sum: it is another team's work.
    """
    amount = max(amount_at_stake, _NOTHING)
    advice = outlook.advice
    money = 40 * min(log10(1 + float(amount) / 100) / _MONEY_FULL_LOG, 1.0)
    chance = 20 * advice.chance * confidence
    total = money + outlook.time + chance
    if not auth_related:
        total /= 4
    rank = round(total)
    how = (
        f"Priority {rank}: money {money:.0f}/40 (${amount:,.2f}), "
        f"time {outlook.time:.0f}/40 ({outlook.time_why}), "
        f"chance {chance:.0f}/20 ({advice.chance_why}, {advice.chance:g}; confidence {confidence:g})"
    )
    return rank, how if auth_related else f"{how}; a quarter, for another team"
