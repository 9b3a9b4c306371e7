"""
A claim that could not be read, made readable by what a person supplied for its CLP segment.

Only what cannot be read may be supplied: what the payer sent and we can read is never replaced.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from services.ingest.domain.claim import Claim
from services.ingest.domain.loop import REVERSAL
from services.ingest.domain.remittance import SetHeader
from services.ingest.domain.reread import reread_claim
from services.ingest.x12.delimiters import Delimiters
from services.ingest.x12.elements import read_number
from shared.errors import InvalidInputError

Element = Literal["claim_number", "claim_status", "charge_amount", "paid_amount", "payer_claim_number"]

_PLACES: dict[Element, int] = {
    "claim_number": 1,
    "claim_status": 2,
    "charge_amount": 3,
    "paid_amount": 4,
    "payer_claim_number": 7,
}
_NEEDED: tuple[Element, ...] = ("claim_number", "claim_status", "charge_amount", "paid_amount")
_AMOUNTS: tuple[Element, ...] = ("charge_amount", "paid_amount")
_NUMBERS: tuple[Element, ...] = ("claim_number", "payer_claim_number")


class Supplied(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What a person knows of a claim: CLP01, CLP02, CLP03 and CLP04 in US dollars, CLP07.

    Its repr prints nothing: numbers of claims name patients.
    """

    claim_number: str | None = None
    claim_status: str | None = None
    charge_amount: Decimal | None = None
    paid_amount: Decimal | None = None
    payer_claim_number: str | None = None

    @property
    def names(self) -> tuple[Element, ...]:
        """Name the elements that are supplied, in the order of the segment."""
        return tuple(name for name in _PLACES if getattr(self, name) is not None)

    def __repr__(self) -> str:
        return "<Supplied>"


class Wanted(msgspec.Struct, frozen=True):
    """What a person must supply for a claim, and what they may."""

    needed: tuple[Element, ...]
    allowed: tuple[Element, ...]


def wanted_of(loop: bytes, delimiters: Delimiters) -> Wanted:
    """Say what cannot be read of the CLP segment with which the loop begins."""
    head = _head(loop, delimiters)
    if head[0] != b"CLP":
        return Wanted(_NEEDED, tuple(_PLACES))
    needed = tuple(name for name in _AMOUNTS if read_number(_at(head, _PLACES[name])) is None)
    blank = tuple(name for name in _NUMBERS if not _at(head, _PLACES[name]).strip())
    return Wanted(needed, tuple(name for name in _PLACES if name in needed + blank))


def check_supplied(supplied: Supplied, loop: bytes, delimiters: Delimiters) -> None:
    """Raise InvalidInputError where something is missing, may be read in the file, or breaks the segment."""
    wanted = wanted_of(loop, delimiters)
    if not wanted.allowed:
        raise InvalidInputError(
            "What is unreadable in this claim cannot be supplied.",
            remedy="Have it read again after the next update (`reprieve replay --quarantined`).",
        )
    missing = [name for name in wanted.needed if name not in supplied.names]
    if missing:
        raise InvalidInputError(
            f"The claim stays unreadable without {_listed(missing)}.",
            remedy="Supply what the payer tells you.",
        )
    known = [name for name in supplied.names if name not in wanted.allowed]
    if known:
        raise InvalidInputError(
            f"The file says {_listed(known)} itself, which nobody may replace.", remedy="Leave it out."
        )
    _check_signs(supplied, _head(loop, delimiters))
    reserved = [mark for mark in msgspec.structs.astuple(delimiters) if mark]
    for name in (*_NUMBERS, "claim_status"):
        value = (getattr(supplied, name) or "").encode()
        if any(mark in value for mark in reserved):
            raise InvalidInputError(
                f"The {name.replace('_', ' ')} holds a delimiter of the file.",
                remedy="Leave that character out.",
            )


def _check_signs(supplied: Supplied, head: list[bytes]) -> None:
    """Only a reversal takes money back: of any other claim a minus would make one that nobody works."""
    status = (supplied.claim_status or "").encode() or _at(head, _PLACES["claim_status"]).strip()
    if status == REVERSAL:
        return
    for name in _AMOUNTS:
        amount = getattr(supplied, name)
        if amount is not None and amount < 0:
            raise InvalidInputError(
                f"The {name.replace('_', ' ')} (CLP0{_PLACES[name]}) is negative,"
                " and the claim is no reversal: its CLP02 is not 22.",
                remedy="Supply the amount without its minus, as the payer tells you.",
            )


def corrected_claim(
    header: SetHeader,
    loop: bytes,
    supplied: Supplied,
    *,
    position: int,
    ordinal: int = 1,
    byte_offset: int = 0,
    truncated: bool = False,
) -> Claim:
    """
    Read a claim with what was supplied for it; place and length are those of the file's bytes.

    Raises UnreadableError where it still cannot be read.
    """
    delimiters = header.delimiters
    claim = reread_claim(
        header,
        corrected_loop(loop, delimiters, supplied),
        position=position,
        ordinal=ordinal,
        byte_offset=byte_offset,
        truncated=truncated,
    )
    return msgspec.structs.replace(claim, byte_length=len(loop))


def corrected_loop(loop: bytes, delimiters: Delimiters, supplied: Supplied) -> bytes:
    """Write what was supplied into the loop's CLP segment. An unreadable segment is written anew."""
    head = _head(loop, delimiters)
    first, found, rest = loop.partition(delimiters.terminator)
    if head[0] != b"CLP":
        head = [b"CLP"]
    head += [b""] * (1 + max(_PLACES[name] for name in supplied.names) - len(head))
    for name in supplied.names:
        value = getattr(supplied, name)
        head[_PLACES[name]] = (format(value, "f") if isinstance(value, Decimal) else value).encode()
    blank = first[: len(first) - len(first.lstrip())]
    return blank + delimiters.element.join(head) + found + rest


def _head(loop: bytes, delimiters: Delimiters) -> list[bytes]:
    return loop.partition(delimiters.terminator)[0].strip().split(delimiters.element)


def _at(parts: list[bytes], index: int) -> bytes:
    return parts[index] if index < len(parts) else b""


def _listed(names: list[Element]) -> str:
    return " and ".join(f"the {name.replace('_', ' ')}" for name in names)
