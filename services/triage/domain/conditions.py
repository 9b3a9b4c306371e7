"""
What a policy may ask of a claim: `fact=word`, `fact=word|word`, `fact!=word`, `no_claim_submitted`.

Each condition is true, false, or unknown with the fact that would settle it. People's facts come first, then
what the remittance itself proves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

from services.triage.domain.care import has_category
from services.triage.domain.facts import WORDS, Facts
from services.triage.domain.urgency import emergency_evidence
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Category, FactKind

NO_CLAIM_SUBMITTED = "no_claim_submitted"

_CATEGORIES = frozenset(get_args(Category))
_ASKABLE: frozenset[FactKind] = frozenset((*WORDS, "service_category", "delegate"))

LINES_OF_BUSINESS = {
    "12": "commercial",
    "13": "commercial",
    "14": "commercial",
    "15": "commercial",
    "HM": "commercial",
    "16": "medicare_advantage",
    "MA": "medicare",
    "MB": "medicare",
    "MC": "medicaid",
    "CH": "tricare",
}
"""What a claim filing indicator (CLP06) usually means. Payers misuse it: a person's fact overrides it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One question to a claim. `negated` turns it round. `text` is as the policy's author wrote it."""

    text: str
    subject: str
    words: tuple[str, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known about one claim: the denial, its category, and people's facts."""

    event: ClaimDenied
    facts: Facts
    category: Category


@dataclass(frozen=True, slots=True)
class Answer:
    """`holds` None: unknown, and `missing` names the fact that settles it."""

    holds: bool | None
    missing: FactKind | None = None


def parse_condition(text: str) -> Condition:
    """Read one condition. Raises ValueError with what is wrong."""
    if text == NO_CLAIM_SUBMITTED:
        return Condition(text=text, subject=text)
    subject, operator, rest = _split(text)
    words = tuple(word.strip() for word in rest.split("|"))
    if subject == "category":
        allowed: frozenset[str] | None = _CATEGORIES
    elif subject in _ASKABLE:
        allowed = WORDS.get(subject)
    else:
        raise ValueError(f"{subject!r} cannot be asked; ask one of {', '.join(sorted(_ASKABLE))}, category")
    for word in words:
        if not word or (allowed is not None and word not in allowed):
            choices = f"one of {', '.join(sorted(allowed))}" if allowed else "a word"
            raise ValueError(f"{word!r} is no value of {subject}; it takes {choices}")
    return Condition(text=text, subject=subject, words=words, negated=operator == "!=")


def _split(text: str) -> tuple[str, str, str]:
    for operator in ("!=", "="):
        subject, found, rest = text.partition(operator)
        if found:
            return subject.strip(), operator, rest
    raise ValueError(f"{text!r} is no condition; write fact=word, fact!=word or {NO_CLAIM_SUBMITTED}")


def ask(condition: Condition, known: Known) -> Answer:
    """Answer one condition for one claim."""
    if condition.subject == NO_CLAIM_SUBMITTED:
        # A remittance about a claim proves that the claim was submitted.
        return Answer(holds=False)
    if condition.subject == "category":
        return Answer(holds=(known.category in condition.words) != condition.negated)
    kind: FactKind = condition.subject  # type: ignore[assignment]
    told = known.facts.words.get(kind)
    if told is not None:
        return Answer(holds=(told in condition.words) != condition.negated)
    evidence = _EVIDENCE.get(kind)
    proven = None if evidence is None else evidence(known.event, condition.words)
    return Answer(holds=None, missing=kind) if proven is None else Answer(holds=proven != condition.negated)


def all_of(conditions: Sequence[Condition], known: Known) -> tuple[bool | None, list[str], list[FactKind]]:
    """Say whether every condition holds; the texts of those that do not, and the facts that are missing."""
    failed, missing = [], []
    for condition in conditions:
        answer = ask(condition, known)
        if answer.holds is False:
            failed.append(condition.text)
        elif answer.missing is not None:
            missing.append(answer.missing)
    return (False if failed else None if missing else True), failed, missing


def any_of(conditions: Sequence[Condition], known: Known) -> tuple[bool | None, list[FactKind]]:
    """Say whether one of the conditions holds, and the facts that could still make one hold."""
    missing: list[FactKind] = []
    for condition in conditions:
        answer = ask(condition, known)
        if answer.holds:
            return True, []
        if answer.missing is not None:
            missing.append(answer.missing)
    return (None if missing else not conditions), missing


def line_of_business(event: ClaimDenied) -> str | None:
    """Give the line of business that CLP06 names, or None where it names none."""
    return LINES_OF_BUSINESS.get(event.filing_indicator or "")


def _urgency(event: ClaimDenied, words: Sequence[str]) -> bool | None:
    return "emergency" in words if emergency_evidence(event) else None


def _line_of_business(event: ClaimDenied, words: Sequence[str]) -> bool | None:
    known = line_of_business(event)
    return None if known is None else known in words


def _service_category(event: ClaimDenied, words: Sequence[str]) -> bool | None:
    answers = [has_category(event, word) for word in words]
    if any(answers):
        return True
    return None if None in answers else False


def _other_coverage(event: ClaimDenied, words: Sequence[str]) -> bool | None:
    if event.claim_status in {"2", "3", "20", "21"}:
        return "yes" in words
    return "no" in words if event.claim_status in {"1", "19"} else None


_EVIDENCE: dict[FactKind, Callable[[ClaimDenied, Sequence[str]], bool | None]] = {
    "urgency": _urgency,
    "line_of_business": _line_of_business,
    "service_category": _service_category,
    "other_coverage_primary": _other_coverage,
}
