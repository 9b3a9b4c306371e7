"""
A claim loop in which nothing is unusual, read as one text instead of segment by segment.

Nearly all claims are plain: their segments have the usual shape, lines and claim add up, no denial is taken
back, no price takes a whole charge. Three runs of the pattern engine read such a claim for a third of what a
loop over its segments costs. Whatever is not plain, right or wrong, is left to loop.py, which alone knows the
rules for it: plain is only what both read the same.
"""

import re
from decimal import Decimal

from msgspec import Struct

from services.ingest.domain.canonical import digest_of
from services.ingest.domain.claim import ClaimKind
from services.ingest.domain.findings import Finding
from services.ingest.domain.ordinary import DENIES_WHOLE_CHARGE, ORDINARY_REASONS
from services.ingest.x12.delimiters import Delimiters, to_neutral
from services.ingest.x12.elements import read_amount, read_number
from shared.contracts.claim import BalanceFinding, DeniedAdjustment

# Possessive only where no body can fail in its middle: until Python 3.11.5, what it consumed by then is kept.
# \x1d stands between elements, \x1f between components, \x1e between segments.
_NEUTRAL = (b"\x1d", b"\x1e", b"\x1f")
_ANY = rb"[^\x1d\x1e]*+"
_REST = rb"[^\x1e]*+"
_TEXT = rb"[ -~]*+"  # which needs no second look to be decoded, and holds no component
_NUMBER = rb"[0-9]{1,13}+(?:\.[0-9]{0,2}+)?+"
_DATE = (
    rb"(?:19[89]|20[0-9])[0-9](?:"
    rb"(?:0[1-9]|1[0-2])(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])(?:29|30)|(?:0[13578]|1[02])31)"
)
_FULL = rb"(?<![\x1d\x1f])"  # what ends here does not end in an empty element or component


def _plain(amount: bytes, minus: bytes) -> re.Pattern[bytes]:
    """Build the shape of a plain claim with amounts of this form, after such a sign in a CAS."""
    claim = (  # captures CLP01, 3, 4, 5 and 7; the status neither reverses nor predetermines
        rb"CLP\x1d([!-~]" + _TEXT + rb")\x1d(?!22\x1d|25\x1d)[0-9A-Z]{1,3}+"
        rb"\x1d(" + amount + rb")\x1d(" + amount + rb")(?:\x1d(" + amount + rb"|)"
        rb"(?:\x1d" + _TEXT + rb"(?:\x1d(" + _TEXT + rb")(?:\x1d" + _ANY + rb")*+)?)?(?<!\x1d))?"
    )
    quantity = rb"(?:\x1d(?:" + _NUMBER + rb"|(?=\x1d))|(?=\x1e|\Z))"
    adjustment = rb"\x1d[0-9A-Z]{1,5}+\x1d" + minus + amount + quantity
    behind = rb"(?:\x1d" + _ANY + rb"(?<!\x1f))*" + _FULL
    segments = (
        rb"DTM\x1d[0-9A-Z]{3}\x1d" + _DATE,
        rb"CAS\x1d[A-Z]{2}(?:" + adjustment + rb")+",
        rb"REF\x1d" + _REST + _FULL,
        rb"SVC\x1d" + _ANY + rb"(?<!\x1f)\x1d" + amount + rb"\x1d" + amount + behind,
        rb"AMT\x1d[^\x1d\x1e]{1,3}+\x1d-?+" + _NUMBER,
        rb"QTY\x1d[^\x1d\x1e]{1,3}+\x1d-?+" + _NUMBER,
        rb"NM1\x1d" + _REST,
        rb"PER\x1d" + _REST,
        rb"LQ\x1d" + _REST + _FULL,
        rb"M[IO]A\x1d" + _REST + _FULL,
    )
    return re.compile(claim + rb"(?:\x1e(?:" + rb"|".join(segments) + rb"))*")


# Amounts as parse_amount gives them.
_NORMAL = _plain(rb"(?:0|[1-9][0-9]{0,7}+)(?:\.[0-9]?[1-9])?", rb"(?:-(?!0[\x1d\x1e]|0\Z))?")
_PLAIN = _plain(rb"(?:0|[1-9][0-9]{0,7}+)(?:\.[0-9]{0,2}+)?+", rb"-?+")  # 100 and 100.00 alike
_BESIDE_CANONICAL = re.compile(rb"\x1e(?:NM1|PER|AMT|QTY|REF\x1d(?!6R|G1|BB))[^\x1e]*+")
_MONEY = re.compile(
    rb"\x1e(?:SVC\x1d[^\x1d]*+\x1d([^\x1d]++)\x1d([^\x1d\x1e]++)"
    rb"|CAS\x1d(..)\x1d([^\x1d]++)\x1d([^\x1d\x1e]++)([^\x1e]*+)"
    # MIA, or MOA with another amount than none
    rb"|M[IO]A\x1d(?!\x1d\x1d" + _ANY + rb"(?:\x1d" + _ANY + rb"){0,4}+(?:\x1e|\Z)))"
)
AMOUNT_ELEMENTS = {
    b"MIA": (1, 2, 3, 4, *range(6, 20), 24),
    b"MOA": (1, 2, 8, 9),
}
_AMOUNTS_AT = AMOUNT_ELEMENTS | {b"CLP": (3, 4, 5), b"SVC": (2, 3), b"CAS": range(3, 1 << 16, 3)}


class LoopRead(Struct, frozen=True):
    """What a claim's loop comes to."""

    claim_number: str
    payer_claim_number: str | None
    charge_amount: Decimal
    paid_amount: Decimal
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

    def read(self, loop: bytes) -> LoopRead | None:
        """Read the loop of a claim; None where it is not plain."""
        for stray in self._strays:
            if stray in loop:
                return None
        if not self._able:
            return None
        text = self._neutral(loop)
        normal = True
        shape = _NORMAL.fullmatch(text)
        if shape is None:
            normal = False
            shape = _PLAIN.fullmatch(text)
            if shape is None:
                return None
        number, charge, paid, payer_number = shape.group(1, 2, 3, 5)
        denied: list[DeniedAdjustment] = []
        with_part = _add_up(text, (charge, paid), denied)
        canonical = None if with_part is None else _canonical(text, shape, normal=normal and not with_part)
        if canonical is None:
            return None
        return LoopRead(
            number.decode().strip(),
            payer_number.decode().strip() or None if payer_number else None,
            Decimal(charge.decode()),
            Decimal(paid.decode()),
            "denied" if denied else "adjudicated",
            tuple(denied),
            digest_of(canonical, padded=False),
        )


def _add_up(text: bytes, head: tuple[bytes, bytes], denied: list[DeniedAdjustment]) -> bool | None:
    """
    Add to `denied` what the adjustments of a claim of this charge and payment deny.

    Gives whether a MIA or MOA may hold amounts; None where something does not add up, or needs a closer look.
    """
    # Whole cents, by float: an amount of the pattern has ten digits, so that none is off by a millionth
    # before it is rounded, and sums of whole numbers are exact. Calling round() would cost as much again.
    charge = float(head[0]) * 100 + _ROUNDED - _ROUNDED
    paid = float(head[1]) * 100 + _ROUNDED - _ROUNDED
    left = charge - paid  # of the claim, for adjustments to explain
    line = 0
    line_left = 0.0
    with_part = False
    for line_charge, line_paid, group, reason, amount, more in _MONEY.findall(text):
        if line_charge:
            if line_left and line:
                return None
            line += 1
            charge = float(line_charge) * 100 + _ROUNDED - _ROUNDED
            paid = float(line_paid) * 100 + _ROUNDED - _ROUNDED
            line_left = charge - paid
            continue
        if not amount:  # MIA or MOA
            with_part = True
        while amount:
            cents = float(amount) * 100 + _ROUNDED - _ROUNDED
            left -= cents
            line_left -= cents
            if reason not in ORDINARY_REASONS:
                if cents <= 0:
                    return None
                denied.append(_refused(line, group, reason, amount, more))
            elif cents >= charge > 0 == paid and reason in DENIES_WHOLE_CHARGE:
                return None
            if not more:
                break
            reason, amount, more = _next_triplet(more)  # noqa: PLW2901
    return None if left or (line and line_left) else with_part


_ROUNDED = 1.5 * 2.0**52  # next to it, floats are the whole numbers: added and taken away, it rounds


def _next_triplet(more: bytes) -> tuple[bytes, bytes, bytes]:
    """Give reason and amount of the next triplet and what follows; `more` follows the amount before."""
    _, _, reason, amount, more = (*more.split(b"\x1d", 4), b"", b"", b"")[:5]
    return reason, amount, b"\x1d" + more if more else b""


def _refused(line: int, group: bytes, reason: bytes, amount: bytes, more: bytes) -> DeniedAdjustment:
    return DeniedAdjustment(
        line_number=line or None,
        group=group.decode(),
        reason=reason.decode(),
        amount=Decimal(amount.decode()),
        quantity=read_number(more.split(b"\x1d", 2)[1]) if more else None,
    )


def _canonical(text: bytes, shape: re.Match[bytes], *, normal: bool) -> bytes | None:
    """Give what the digest takes in; None where it needs a closer look."""
    if (share := shape[4]) and not float(share):  # nothing to pay is often left out
        begin, end = shape.span(4)
        if text[end : end + 1] != b"\x1d":  # with nothing behind it, it is padding
            return None
        text = text[:begin] + text[end:]
    text = _BESIDE_CANONICAL.sub(b"", text)
    return text if normal else _normalised(text)


def _normalised(text: bytes) -> bytes | None:
    """Write the amounts of a canonical loop in normal form; None where one cannot be read."""
    segments = text.split(b"\x1e")
    for at, segment in enumerate(segments):
        parts = segment.split(b"\x1d")
        for place in _AMOUNTS_AT.get(parts[0], ()):
            if place >= len(parts):
                break
            if parts[place]:
                amount = read_amount(parts[place])
                if amount is None:
                    return None
                parts[place] = amount[1]
        segments[at] = b"\x1d".join(parts)
    return b"\x1e".join(segments)
