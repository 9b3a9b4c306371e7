"""
What a person may state about a case, and in which form. The kinds are shared.contracts.decision.FactKind.

Triage reads the values; they are checked here as well, so that a mistake is told to whoever makes it.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import TypeVar

from shared.contracts.decision import FactKind
from shared.errors import InvalidInputError

EARLIEST_YEAR, LATEST_YEAR = 1990, 2100
"""Dates outside are typing mistakes: a clock that starts there would be worse than none."""

_YES_NO = ("yes", "no")
WORDS: Mapping[FactKind, tuple[str, ...]] = {
    "urgency": ("emergency", "urgent", "elective"),
    "network_status": ("in", "out"),
    "line_of_business": ("commercial", "medicare_advantage", "medicaid", "exchange", "tricare", "medicare"),
    "clinical_decision_made": _YES_NO,
    "coverage_unverifiable": _YES_NO,
    "other_coverage_primary": _YES_NO,
    "retro_eligibility": _YES_NO,
    "intraoperative_change": _YES_NO,
    "after_hours": _YES_NO,
    "short_stay": _YES_NO,
    "extenuating_circumstances": _YES_NO,
    "provider_newly_enrolled": _YES_NO,
}
FREE_WORDS: frozenset[FactKind] = frozenset(("service_category", "delegate"))
HOURS: frozenset[FactKind] = frozenset(
    ("admission_date", "discharge_date", "service_date", "coverage_known_at")
)
"""Kinds whose hour may be stated, since payers' windows may be in hours. The other kinds are dates."""

Day = TypeVar("Day", date, datetime)
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NUMBER = re.compile(r"[!-~](?:[ -~]{0,48}[!-~])?")


def check_fact(kind: FactKind, value: str) -> str:
    """Give the value in the form in which it is sent on. Raises InvalidInputError, which never repeats it."""
    text = value.strip()
    if kind in WORDS:
        return _one_of(kind, text.lower())
    if kind in FREE_WORDS:
        return _matched(
            kind, re.sub(r"[ -]+", "_", text.lower()), _WORD, "a word of letters, digits and underscores"
        )
    if kind == "authorization_found":
        return _matched(kind, text, _NUMBER, "the authorization's number, at most 50 characters")
    if kind == "enrolment_month":
        return _day(kind, f"{text}-01", "a month as YYYY-MM").isoformat()[: len("2026-01")]
    if kind in HOURS and len(text) > len("2026-01-31"):
        return _instant(kind, text, "a date, or an instant with its offset from UTC").isoformat()
    return _day(kind, text, "a date as YYYY-MM-DD").isoformat()


def _one_of(kind: FactKind, word: str) -> str:
    if word not in WORDS[kind]:
        raise _refusal(kind, f"one of {', '.join(WORDS[kind])}")
    return word


def _matched(kind: FactKind, text: str, form: re.Pattern[str], expected: str) -> str:
    if not form.fullmatch(text):
        raise _refusal(kind, expected)
    return text


def _day(kind: FactKind, text: str, expected: str) -> date:
    try:
        return _in_years(kind, date.fromisoformat(text) if len(text) == len("2026-01-31") else None, expected)
    except ValueError:
        raise _refusal(kind, expected) from None


def _instant(kind: FactKind, text: str, expected: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise _refusal(kind, expected) from None
    return _in_years(kind, instant if instant.tzinfo else None, expected)


def _in_years(kind: FactKind, day: Day | None, expected: str) -> Day:
    if day is None or not EARLIEST_YEAR <= day.year <= LATEST_YEAR:
        raise _refusal(kind, expected)
    return day


def _refusal(kind: FactKind, expected: str) -> InvalidInputError:
    return InvalidInputError(f"The value of {kind} is not as expected.", remedy=f"Send {expected}.")
