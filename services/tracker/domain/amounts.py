"""How amounts are written for people and programs: US dollars with cents."""

from decimal import Decimal
from functools import lru_cache


@lru_cache(maxsize=4096)  # most of a page's amounts are zero, or the same as another
def in_cents(amount: Decimal) -> str:
    """Write an amount with two decimals; one that has more keeps them all. Equal amounts read the same."""
    cents = f"{amount:.2f}"
    if Decimal(cents) != amount:
        return f"{amount:f}".rstrip("0")
    return cents if amount else "0.00"
