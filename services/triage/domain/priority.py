"""How urgent a denial is among others, and how sure we are of what we say about it."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from math import log10

from services.triage.domain.advice import Advice
from services.triage.domain.classification import Classification
from services.triage.domain.clocks import RunningClock
from services.triage.domain.next_clock import end_ahead, next_clock
from services.triage.domain.policies import PayerMatch

_MONEY_FULL = Decimal(50_000)
_TIME_FULL_DAYS = 60


def confidence_of(classification: Classification, match: PayerMatch, *, balanced: bool) -> float:
    """
    Say how sure the decision is, 0 to 1: the product of three factors.

    The codes' own confidence (meanings.py); for authorization denials the policy: confirmed 1, unconfirmed
    0.9, default 0.75, ambiguous 0.6; and 0.9 where the claim's amounts do not add up.
    """
    policy = 1.0
    if classification.auth_related:
        confirmed = all(policy.file.status == "confirmed" for policy in match.policies)
        policy = 0.6 if match.ambiguous else 0.75 if match.by_default else 1.0 if confirmed else 0.9
    return round(classification.main.confidence * policy * (1.0 if balanced else 0.9), 2)


def priority_of(
    classification: Classification,
    advice: Advice,
    *,
    running: Sequence[RunningClock],
    as_of: date,
    confidence: float,
) -> tuple[int, str]:
    """
    Rank a denial from 0 to 100, higher first, and say how: money + time + chance.

    Money, up to 40: logarithmic, 0 at nothing and 40 from $50,000; $500 weighs about 12, $5,000 about 25.
    Time, up to 40: 40 when the clock of the recommended action ends today, falling evenly to 5 at 60 days
    and more (where it has no end, the next clock counts); 15 where no end is known; 0 where nothing is open.
    Chance, up to 20: 20 times the confidence.
    What is not about authorization keeps a quarter of its sum: it is another team's work.
    """
    amount = max(classification.amount_at_stake, Decimal(0))
    money = 40 * min(log10(1 + float(amount) / 100) / log10(1 + float(_MONEY_FULL) / 100), 1.0)
    days = _days_left(advice, running, as_of)
    if advice.action == "review_by_hand" and advice.human:
        time = 0.0
    elif days is None:
        time = 15.0
    else:
        time = 40 - 35 * min(max(days, 0), _TIME_FULL_DAYS) / _TIME_FULL_DAYS
    total = money + time + 20 * confidence
    if not classification.auth_related:
        total /= 4
    left = "no end known" if days is None else "1 day left" if days == 1 else f"{days} days left"
    chance = 20 * confidence
    how = (
        f"Priority {round(total)}: money {money:.0f}/40, time {time:.0f}/40 ({left}), chance {chance:.0f}/20"
    )
    return round(total), how if classification.auth_related else f"{how}; a quarter, for another team"


def _days_left(advice: Advice, running: Sequence[RunningClock], as_of: date) -> int | None:
    """Count the days to the end of the action's own clock, else to that of the clock to watch."""
    soonest = next_clock((one.clock for one in running), as_of)
    clocks = [advice.governing.clock] if advice.governing else []
    clocks += [soonest] if soonest else []
    end = next((end for clock in clocks if (end := end_ahead(clock, as_of)) is not None), None)
    return None if end is None else (end.date() - as_of).days
