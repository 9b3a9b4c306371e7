"""What people told about a claim, checked and ready to be asked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from uuid import UUID

from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Category, FactKind
from shared.contracts.fact_recorded import FactRecorded

EARLIEST_YEAR, LATEST_YEAR = 1990, 2100
"""Dates outside are typing mistakes: a clock that starts there would be worse than none."""

WORDS: Mapping[FactKind, frozenset[str]] = {
    "urgency": frozenset(("emergency", "urgent", "elective")),
    "network_status": frozenset(("in", "out")),
    "line_of_business": frozenset(
        ("commercial", "medicare_advantage", "medicaid", "exchange", "tricare", "medicare")
    ),
    "clinical_decision_made": frozenset(("yes", "no")),
    "coverage_unverifiable": frozenset(("yes", "no")),
    "other_coverage_primary": frozenset(("yes", "no")),
    "retro_eligibility": frozenset(("yes", "no")),
    "intraoperative_change": frozenset(("yes", "no")),
    "after_hours": frozenset(("yes", "no")),
    "short_stay": frozenset(("yes", "no")),
    "extenuating_circumstances": frozenset(("yes", "no")),
    "provider_newly_enrolled": frozenset(("yes", "no")),
}
FREE_WORDS: frozenset[FactKind] = frozenset(("service_category", "delegate", "authorization_found"))
_BEFORE_THE_ANSWER: frozenset[FactKind] = frozenset(("service_date", "admission_date", "claim_received_date"))
_AFTER_THE_SERVICE: frozenset[FactKind] = frozenset(("denial_letter_date", "claim_received_date"))
_WORD = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Facts:
    """
    The facts that hold, by kind: the latest of each. `ids` are all that were weighed, replaced ones too.

    `dates` holds dates and instants, `words` the others. `unreadable` lists kinds whose value made no sense,
    `impossible` those whose date cannot be true of the claim: neither is believed.
    """

    dates: Mapping[FactKind, date | datetime] = field(default_factory=dict)
    words: Mapping[FactKind, str] = field(default_factory=dict)
    unreadable: tuple[FactKind, ...] = ()
    impossible: tuple[FactKind, ...] = ()
    ids: tuple[UUID, ...] = ()


NO_FACTS = Facts()


def weigh(facts: Sequence[FactRecorded], event_id: UUID) -> Facts:
    """Keep the facts about this denial, the latest of each kind; their order of arrival does not matter."""
    about = [fact for fact in facts if event_id in fact.event_ids] if facts else ()
    if not about:
        return NO_FACTS
    about = sorted(about, key=lambda fact: (fact.recorded_at, fact.fact_id))
    latest = {fact.kind: fact.value for fact in about}
    dates: dict[FactKind, date | datetime] = {}
    words: dict[FactKind, str] = {}
    unreadable: list[FactKind] = []
    for kind, text in latest.items():
        if (word := read_word(kind, text)) is not None:
            words[kind] = word
        elif (day := read_date(kind, text)) is not None:
            dates[kind] = day
        else:
            unreadable.append(kind)
    ids = tuple(sorted(fact.fact_id for fact in about))
    return Facts(dates=dates, words=words, unreadable=tuple(unreadable), ids=ids)


def believed(told: Facts, event: ClaimDenied, category: Category) -> Facts:
    """
    Leave out the dates that cannot be true beside the remittance.

    Nobody is served or admitted, and no claim comes, after the payer's answer; and no payer denies before the
    service, unless it refused the authorization: that letter comes first.
    """
    if not told.dates:
        return told
    since = None if category == "authorization_denied" else event.service_from or event.statement_from
    impossible = [kind for kind, day in told.dates.items() if _impossible(kind, day, event.payer_date, since)]
    if not impossible:
        return told
    dates = {kind: day for kind, day in told.dates.items() if kind not in impossible}
    return replace(told, dates=dates, impossible=tuple(impossible))


def _impossible(kind: FactKind, told: date | datetime, answered: date, since: date | None) -> bool:
    # An instant may be of another day in the payer's zone: it is given a day.
    day, spare = (told.date(), timedelta(days=1)) if isinstance(told, datetime) else (told, timedelta(0))
    sane = EARLIEST_YEAR <= answered.year <= LATEST_YEAR
    late = kind in _BEFORE_THE_ANSWER and sane and day > answered + spare
    return late or (kind in _AFTER_THE_SERVICE and since is not None and day < since - spare)


def read_word(kind: FactKind, text: str) -> str | None:
    """Give the word of a fact that is one, or None."""
    if kind == "authorization_found":
        return text.strip() or None
    if kind in FREE_WORDS:
        word = text.strip().lower().replace(" ", "_").replace("-", "_")
        return word if _WORD.fullmatch(word) else None
    word = text.strip().lower()
    return word if word in WORDS.get(kind, frozenset()) else None


def read_date(kind: FactKind, text: str) -> date | datetime | None:
    """Give the date of a fact that is one: YYYY-MM-DD, an instant with offset, or YYYY-MM for a month."""
    if kind in WORDS or kind in FREE_WORDS:
        return None
    text = text.strip()
    try:
        if kind == "enrolment_month" and len(text) == len("2026-01"):
            day: date | datetime = date.fromisoformat(f"{text}-01")
        elif len(text) == len("2026-01-01"):
            day = date.fromisoformat(text)
        else:
            day = datetime.fromisoformat(text)
    except ValueError:
        return None
    return day if EARLIEST_YEAR <= day.year <= LATEST_YEAR else None
