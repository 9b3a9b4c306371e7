"""What a person is asked to find out is asked in words."""

from typing import get_args

from services.triage.domain.fact_words import FACT_WORDS, fact_words
from shared.contracts.decision import FactKind


def test_every_kind_of_fact_has_words_of_its_own():
    assert list(FACT_WORDS) == list(get_args(FactKind))
    assert len(set(FACT_WORDS.values())) == len(FACT_WORDS)
    assert not any("_" in words for words in FACT_WORDS.values())


def test_what_is_asked_twice_is_said_once():
    assert fact_words(["urgency", "urgency", "admission_date"]) == "how urgent it was, the admission date"
