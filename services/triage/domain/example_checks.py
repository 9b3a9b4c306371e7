"""What an author can mistype in a worked example, told before the example runs."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import cast, get_args

from services.triage.domain.codes import carc_status, rarc_status
from services.triage.domain.facts import read_date, read_word
from services.triage.domain.policy_file import Example, ExampleDenial, ExpectedClock
from shared.contracts.decision import FactKind

_GROUPS = ("CO", "PR", "OA", "PI", "CR")
_FACTS = frozenset(get_args(FactKind))
_FORMS: dict[str, tuple[re.Pattern[str], str]] = {
    "amount": (re.compile(r"\d{1,12}(\.\d{1,2})?"), 'dollars like "500.00"'),
    "claim_status": (re.compile(r"\d{1,2}"), 'a claim status (CLP02) like "1"'),
    "filing_indicator": (re.compile(r"[A-Z0-9]{1,2}"), 'a claim filing indicator (CLP06) like "12" or "MC"'),
    "facility_type": (re.compile(r"\d{2}"), 'two digits (CLP08) like "23"'),
    "procedure": (re.compile(r"[A-Z0-9]{5}"), 'a procedure code like "99213"'),
    "revenue_code": (re.compile(r"\d{3,4}"), 'a revenue code like "0450"'),
    "drg": (re.compile(r"\d{1,4}"), 'a DRG like "470"'),
}
CLAIM_FILING = re.compile(r"[A-Z0-9]{1,2}")


def mistyped(example: Example, *, at: str) -> Iterator[str]:
    """Give the mistakes of one worked example, each beginning with its key."""
    yield from _of_denial(example.denial, at=f"{at}.denial")
    for kind, value in example.facts.items():
        if not fact_is_readable(kind, value):
            yield f"{at}.facts.{kind}: {value!r} is no value of a fact of this kind"
    for number, clock in enumerate(example.clocks, start=1):
        yield from _of_clock(clock, at=f"{at}.clocks[{number}]")


def fact_is_readable(kind: str, value: str) -> bool:
    """Tell whether a fact's kind and value make sense."""
    if kind not in _FACTS:
        return False
    known = cast("FactKind", kind)
    return read_word(known, value) is not None or read_date(known, value) is not None


def _of_denial(told: ExampleDenial, *, at: str) -> Iterator[str]:
    for key, (form, wanted) in _FORMS.items():
        text = getattr(told, key)
        if text is not None and not form.fullmatch(text):
            yield f"{at}.{key}: {text!r} is none; write {wanted}"
    if told.group not in _GROUPS:
        yield f"{at}.group: {told.group!r} is no group code; it takes {', '.join(_GROUPS)}"
    if carc_status(told.reason) == "unknown":
        yield f"{at}.reason: {told.reason!r} is no published reason code"
    for code in told.remarks:
        if rarc_status(code) == "unknown":
            yield f"{at}.remarks: {code!r} is no published remark code"
    if told.service_from and told.service_to and told.service_to < told.service_from:
        yield f"{at}.service_to: lies before service_from"


def _of_clock(clock: ExpectedClock, *, at: str) -> Iterator[str]:
    for key in ("deadline", "earliest", "latest"):
        text = getattr(clock, key)
        if text not in {None, "none"} and not _is_instant(text):
            yield f"{at}.{key}: {text!r} is no instant; write one like 2026-03-31T23:59:59-04:00, or none"
    for kind in clock.missing or ():
        if kind not in _FACTS:
            yield f"{at}.missing: {kind!r} is no kind of fact; it takes {', '.join(sorted(_FACTS))}"


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
