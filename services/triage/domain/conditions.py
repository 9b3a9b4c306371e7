"""
What a policy may ask of a claim: `fact=word`, `fact=word|word`, `fact!=word`, `no_claim_submitted`, and
several of these joined by ` and `.

Each condition is true, false, or unknown with the fact that would settle it. People's facts come first, then
what the remittance itself proves.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args

from msgspec import Struct

from services.triage.domain.care import SETTINGS, Care, has_category
from services.triage.domain.facts import WORDS
from shared.contracts.decision import Category, FactKind

NO_CLAIM_SUBMITTED = "no_claim_submitted"

_CATEGORIES = frozenset(get_args(Category))
ASKABLE: frozenset[FactKind] = frozenset((*WORDS, "service_category", "delegate"))

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

OF_AN_HMO: Mapping[str, frozenset[str]] = {
    "HM": frozenset(("commercial", "exchange", "medicaid", "medicare_advantage"))
}
"""HM says health maintenance organization, no more: plans of Medicaid and Medicare Advantage send it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One question to a claim. `negated` turns it round."""

    subject: str
    words: tuple[str, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Questions that must all be answered with yes. `text` is as the policy's author wrote it."""

    text: str
    terms: tuple[Term, ...]


class Questions(Struct, frozen=True, kw_only=True):
    """What some conditions ask for: their subjects, and the words for service categories among them."""

    subjects: frozenset[str]
    care: frozenset[str]

    @classmethod
    def of(cls, conditions: Iterable[Condition]) -> "Questions":
        """Gather the questions of conditions."""
        asked = [term for condition in conditions for term in condition.terms]
        care = [word for one in asked if one.subject == "service_category" for word in one.words]
        return cls(subjects=frozenset(one.subject for one in asked), care=frozenset(care))


class Known(Struct, frozen=True, kw_only=True):
    """
    What is known about one claim, as far as it is asked: claims that are alike in it get the same answers.

    `words` are people's facts. `emergency`: the remittance shows one. `lines_of_business`: those that CLP06
    may mean, None where it says none.
    """

    category: Category
    words: tuple[tuple[FactKind, str], ...]
    emergency: bool
    lines_of_business: frozenset[str] | None
    claim_status: str | None
    care: Care


@dataclass(frozen=True, slots=True)
class Answer:
    """`holds` None: unknown, and `missing` names the facts that settle it."""

    holds: bool | None
    missing: tuple[FactKind, ...] = ()


def known_of(
    questions: Questions,
    *,
    category: Category,
    words: Iterable[tuple[FactKind, str]],
    emergency: bool,
    filing_indicator: str | None,
    claim_status: str,
    care: Care,
) -> Known:
    """Keep what is asked for, and leave out the rest. `care` is what was asked for already."""
    asked = questions.subjects
    return Known(
        category=category,
        words=tuple((kind, word) for kind, word in words if kind in asked),
        emergency=emergency and "urgency" in asked,
        lines_of_business=_possible_lines(filing_indicator) if "line_of_business" in asked else None,
        claim_status=claim_status if "other_coverage_primary" in asked else None,
        care=care,
    )


def parse_condition(text: str) -> Condition:
    """Read one condition. Raises ValueError with what is wrong."""
    return Condition(text=text, terms=tuple(_term(part.strip()) for part in text.split(" and ")))


def _term(text: str) -> Term:
    if text == NO_CLAIM_SUBMITTED:
        return Term(subject=text)
    subject, operator, rest = _split(text)
    words = tuple(word.strip() for word in rest.split("|"))
    if subject == "category":
        allowed: frozenset[str] | None = _CATEGORIES
    elif subject in ASKABLE:
        allowed = WORDS.get(subject)
    else:
        raise ValueError(f"{subject!r} cannot be asked; ask one of {', '.join(sorted(ASKABLE))}, category")
    for word in words:
        if not word or (allowed is not None and word not in allowed):
            choices = f"one of {', '.join(sorted(allowed))}" if allowed else "a word"
            raise ValueError(f"{word!r} is no value of {subject}; it takes {choices}")
    return Term(subject=subject, words=words, negated=operator == "!=")


def _split(text: str) -> tuple[str, str, str]:
    for operator in ("!=", "="):
        subject, found, rest = text.partition(operator)
        if found:
            return subject.strip(), operator, rest
    raise ValueError(f"{text!r} is no condition; write fact=word, fact!=word or {NO_CLAIM_SUBMITTED}")


def ask(condition: Condition, known: Known) -> Answer:
    """Answer one condition for one claim."""
    if len(condition.terms) == 1:
        return _answer(condition.terms[0], known)
    answers = [_answer(term, known) for term in condition.terms]
    if any(answer.holds is False for answer in answers):
        return Answer(holds=False)
    missing = tuple(kind for answer in answers for kind in answer.missing)
    return Answer(holds=None if missing else True, missing=missing)


def _answer(term: Term, known: Known) -> Answer:
    if term.subject == NO_CLAIM_SUBMITTED:
        # A remittance about a claim proves that the claim was submitted.
        return Answer(holds=False)
    if term.subject == "category":
        return Answer(holds=(known.category in term.words) != term.negated)
    kind: FactKind = term.subject  # type: ignore[assignment]
    told = dict(known.words).get(kind)
    # A program (maternity, imaging) does not say whether the patient stayed: the codes may.
    if told is not None and (
        kind != "service_category" or told in SETTINGS or SETTINGS.isdisjoint(term.words)
    ):
        return Answer(holds=(told in term.words) != term.negated)
    evidence = _EVIDENCE.get(kind)
    proven = None if evidence is None else evidence(known, term.words)
    return Answer(holds=None, missing=(kind,)) if proven is None else Answer(holds=proven != term.negated)


def all_of(conditions: Sequence[Condition], known: Known) -> tuple[bool | None, list[str], list[FactKind]]:
    """Say whether every condition holds; the texts of those that do not, and the facts that are missing."""
    failed: list[str] = []
    missing: list[FactKind] = []
    for condition in conditions:
        answer = ask(condition, known)
        if answer.holds is False:
            failed.append(condition.text)
        missing += answer.missing
    return (False if failed else None if missing else True), failed, missing


def any_of(conditions: Sequence[Condition], known: Known) -> tuple[bool | None, list[FactKind]]:
    """Say whether one of the conditions holds, and the facts that could still make one hold."""
    missing: list[FactKind] = []
    for condition in conditions:
        answer = ask(condition, known)
        if answer.holds:
            return True, []
        missing += answer.missing
    return (None if missing else not conditions), missing


def line_of_business(filing_indicator: str | None) -> str | None:
    """Give the line of business that CLP06 names, or None where it names none."""
    return LINES_OF_BUSINESS.get(filing_indicator or "")


@lru_cache(maxsize=64)
def _possible_lines(filing_indicator: str | None) -> frozenset[str] | None:
    of_an_hmo = OF_AN_HMO.get(filing_indicator or "")
    if of_an_hmo is not None:
        return of_an_hmo
    usual = line_of_business(filing_indicator)
    return None if usual is None else frozenset((usual,))


def _urgency(known: Known, words: Sequence[str]) -> bool | None:
    return "emergency" in words if known.emergency else None


def _line_of_business(known: Known, words: Sequence[str]) -> bool | None:
    possible = known.lines_of_business
    if possible is None or possible.isdisjoint(words):
        return None if possible is None else False
    return True if possible.issubset(words) else None


def _service_category(known: Known, words: Sequence[str]) -> bool | None:
    answers = [has_category(known.care, word) for word in words]
    if any(answers):
        return True
    return None if None in answers else False


def _other_coverage(known: Known, words: Sequence[str]) -> bool | None:
    if known.claim_status in {"2", "3", "20", "21"}:
        return "yes" in words
    return "no" in words if known.claim_status in {"1", "19"} else None


_EVIDENCE: dict[FactKind, Callable[[Known, Sequence[str]], bool | None]] = {
    "urgency": _urgency,
    "line_of_business": _line_of_business,
    "service_category": _service_category,
    "other_coverage_primary": _other_coverage,
}
