"""
A claim loop in which nothing is unusual, read as one text instead of segment by segment.

Nearly all claims are plain: their segments have the usual shape, amounts are in normal form, lines and claim
add up, no adjustment is negative or takes a whole charge. Three runs of the pattern engine read such a claim
for a third of what a loop over its segments costs. Whatever is not plain, right or wrong, is left to loop.py,
which alone knows the rules for it: plain is only what both read the same.
"""

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import NamedTuple

from services.ingest.domain.canonical import digest_of
from services.ingest.domain.claim import ClaimKind
from services.ingest.domain.findings import Finding
from services.ingest.domain.ordinary import DENIES_WHOLE_CHARGE, ORDINARY_REASONS
from services.ingest.x12.delimiters import Delimiters, to_neutral
from services.ingest.x12.elements import Cents, read_amount, read_number
from shared.contracts.claim import BalanceFinding, DeniedAdjustment

# \x1d stands between elements, \x1f between components, \x1e between segments.
_NEUTRAL = (b"\x1d", b"\x1e", b"\x1f")
_ANY = rb"[^\x1d\x1e]*+"
_AMOUNT = rb"(?:0|[1-9][0-9]{0,7}+)(?:\.[0-9]?[1-9])?+"  # in normal form, and without a sign
_NUMBER = rb"[0-9]{1,13}+(?:\.[0-9]{0,2}+)?+"
_DATE = (
    rb"(?:19[89]|20[0-9])[0-9](?:"
    rb"(?:0[1-9]|1[0-2])(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])(?:29|30)|(?:0[13578]|1[02])31)"
)
_FULL = rb"(?<![\x1d\x1f])"  # what ends here does not end in an empty element or component
_CLAIM = (
    rb"CLP\x1d" + _ANY + rb"\x1d" + _ANY + (rb"\x1d" + _AMOUNT) * 2 + rb"(?:"
    # A share of 0, which counts as none, has a group of its own. Without an element behind it, it is padding.
    rb"\x1d(?:(0)(?=\x1d)|(?!0(?:\x1e|\Z))(?:" + _AMOUNT + rb")?+)"
    rb"(?:\x1d" + _ANY + rb")*+(?<!\x1d))?+"
)
_SEGMENTS = (  # by frequency
    rb"DTM\x1d[0-9A-Z]{3}\x1d" + _DATE,
    rb"CAS\x1d[A-Z]{2}(?:\x1d[0-9A-Z]{1,5}\x1d" + _AMOUNT + rb"(?:\x1d(?:" + _NUMBER + rb"|(?=\x1d)))?+)++",
    rb"REF\x1d[^\x1e]++" + _FULL,
    rb"SVC\x1d"
    + _ANY
    + rb"(?<!\x1f)"
    + (rb"\x1d" + _AMOUNT) * 2
    + rb"(?:\x1d"
    + _ANY
    + rb"(?<!\x1f))*+"
    + _FULL,
    rb"(?:AMT|QTY)\x1d[^\x1d\x1e]{1,3}+\x1d" + _NUMBER,
    rb"(?:NM1|PER)\x1d[^\x1e]*+",
    rb"LQ\x1d[^\x1e]++" + _FULL,
    rb"MOA(?:\x1d(?:" + _AMOUNT + rb")?+(?=\x1d)){2}(?:\x1d" + _ANY + rb"){1,5}+" + _FULL,
)
_PLAIN = re.compile(_CLAIM + rb"(?:\x1e(?:" + rb"|".join(_SEGMENTS) + rb")(?=\x1e|\Z))*+")
_BESIDE_CANONICAL = re.compile(rb"\x1e(?:NM1|PER|AMT|QTY|REF\x1d(?!6R|G1|BB))[^\x1e]*+")
_MONEY = re.compile(
    rb"\x1e(?:SVC\x1d[^\x1d]*+\x1d([^\x1d]++)\x1d([^\x1d\x1e]++)"
    rb"|CAS\x1d(..)\x1d([^\x1d]++)\x1d([^\x1d\x1e]++)([^\x1e]*+))"
)


class LoopRead(NamedTuple):
    """What a claim's loop comes to, beside what its CLP says."""

    kind: ClaimKind
    denied: tuple[DeniedAdjustment, ...]
    digest: bytes
    balance_findings: tuple[BalanceFinding, ...] = ()
    findings: tuple[Finding, ...] = ()


class PlainReader:
    """Reads the plain ones among the claim loops of sets that share their delimiters."""

    def __init__(self, delimiters: Delimiters) -> None:
        own = (delimiters.element, delimiters.component, delimiters.terminator)
        self._able = max(map(len, own)) == 1
        self._neutral = to_neutral(delimiters, delimiters.terminator)
        # What would pass for a delimiter once delimiters are neutral.
        self._strays = b"".join(one for one in _NEUTRAL if one not in own)

    def read(self, loop: bytes, charge: Cents, paid: Cents) -> LoopRead | None:
        """Read a loop that begins with a CLP of this charge and payment; None where it is not plain."""
        for stray in self._strays:
            if stray in loop:
                return None
        if not self._able:
            return None
        text = self._neutral(loop)
        shape = _PLAIN.fullmatch(text)
        if shape is None:
            return None
        denied = _denied(text, charge, paid)
        if denied is None:
            return None
        if shape[1]:
            text = text[: shape.start(1)] + text[shape.end(1) :]
        digest = digest_of(_BESIDE_CANONICAL.sub(b"", text), padded=False)
        return LoopRead("denied" if denied else "adjudicated", tuple(denied), digest)


def _denied(text: bytes, charge: Cents, paid: Cents) -> list[DeniedAdjustment] | None:
    """Give what the adjustments deny; None where something does not add up, or needs a closer look."""
    denied: list[DeniedAdjustment] = []
    left = charge - paid  # of the claim, for adjustments to explain
    line = 0
    line_left: Cents = 0
    for line_charge, line_paid, group, first_reason, first_amount, more in _MONEY.findall(text):
        if line_charge:
            if line and line_left:
                return None
            line += 1
            charge, paid = _read(line_charge)[0], _read(line_paid)[0]
            line_left = charge - paid
            continue
        first = (first_reason, first_amount, b"")
        for reason, amount, quantity in (first,) if not more else _triplets(*first[:2], more):
            cents = _read(amount)[0]
            left -= cents
            line_left -= cents
            if reason not in ORDINARY_REASONS:
                if cents == 0:
                    return None
                denied.append(_refused(line, group, reason, amount, quantity))
            elif cents >= charge > 0 == paid and reason in DENIES_WHOLE_CHARGE:
                return None
    return None if left or (line and line_left) else denied


# Never None: the pattern has seen that it is an amount.
_read: Callable[[bytes], tuple[Cents, bytes]] = read_amount  # type: ignore[assignment]


def _triplets(reason: bytes, amount: bytes, more: bytes) -> Iterable[tuple[bytes, bytes, bytes]]:
    """Give reason, amount and quantity of each triplet; `more` follows the first amount."""
    parts = [reason, amount, *more[1:].split(b"\x1d"), b""]
    return zip(parts[0::3], parts[1::3], parts[2::3], strict=False)


def _refused(line: int, group: bytes, reason: bytes, amount: bytes, quantity: bytes) -> DeniedAdjustment:
    return DeniedAdjustment(
        line_number=line or None,
        group=group.decode(),
        reason=reason.decode(),
        amount=Decimal(amount.decode()),
        quantity=read_number(quantity),
    )
