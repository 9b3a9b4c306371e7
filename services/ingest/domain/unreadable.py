"""Why the charge or the payment of a claim cannot be read: its kind, never what stands there."""

import re

from msgspec.structs import replace

from services.ingest.domain.findings import Finding

_AMOUNTS = {3: "charge (CLP03)", 4: "payment (CLP04)"}
_KINDS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb""), "it is empty"),
    (re.compile(rb"[+-]?\d*\.?\d*[eE][+-]?\d+"), "it is written with an exponent"),
    (re.compile(rb"[+-]?\d*\.?\d*"), "it has more than 18 digits"),
    (re.compile(rb".*[A-Za-z].*", re.DOTALL), "letters stand in it"),
    (re.compile(rb"[+-]?[\d., ]+"), "it has commas, blanks, or more than one point"),
    (re.compile(rb"[\d.+-]+"), "its sign does not stand once at its beginning"),
)


def unreadable_amount(found: Finding, element: bytes) -> Finding:
    """Say in a finding at CLP03 or CLP04 which of both cannot be read, and what is wrong with it."""
    assert found.element is not None  # noqa: S101  for mypy: the caller names it
    kind = amount_fault(element)
    message = f"The claim's {_AMOUNTS[found.element]} cannot be read: {kind}; the claim is quarantined."
    return replace(found, message=message)


def amount_fault(element: bytes) -> str:
    """Name the kind of what is wrong with an amount that is none."""
    element = element.strip()
    if element and not any(one in b"0123456789" for one in element):
        return "no digit stands in it"
    return next((kind for form, kind in _KINDS if form.fullmatch(element)), "other characters stand in it")
