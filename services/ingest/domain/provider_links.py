"""
Which claims the reference of a provider adjustment (PLB03-2) may mean.

It is free text, in which payers mix claim numbers, account numbers and dates: a link is a guess, and says so.
"""

import re
from typing import Literal, NamedTuple
from uuid import UUID
from zlib import crc32

from shared.identity import claim_key_of

Confidence = Literal["medium", "low"]

NUMBERS_MAX = 8  # of one reference
_SHORTEST = 5  # what is shorter stands in too many references
_PART = re.compile(r"[A-Z0-9]+(?:-[A-Z0-9]+)*")
_PAYER_NUMBER_CHARACTERS = 17  # Medicare writes its claim number first, then what identifies the patient


class Candidate(NamedTuple):
    """A number that a reference holds. `whole`: it is all that the reference says."""

    number: str
    whole: bool

    @property
    def confidence(self) -> Confidence:
        return "medium" if self.whole else "low"

    def claim_key(self, organization_id: UUID) -> UUID | None:
        """Give the key of the claims that have it as the provider's number."""
        return claim_key_of(organization_id, self.number)


def candidates_in(reference: str) -> list[Candidate]:
    """Find the numbers in a reference: the whole, then its parts that are long enough and hold a digit."""
    whole = _normal(reference)
    parts = [part for found in _PART.findall(whole) for part in (found, *found.split("-"))]
    if len(whole) > _PAYER_NUMBER_CHARACTERS:
        parts.append(whole[:_PAYER_NUMBER_CHARACTERS].strip())
    telling = [part for part in parts if len(part) >= _SHORTEST and any(map(str.isdigit, part))]
    found = dict.fromkeys(one for one in telling if one != whole)
    return [Candidate(whole, whole=True), *(Candidate(one, whole=False) for one in found)][:NUMBERS_MAX]


def payer_number_hash(number: str | None) -> int | None:
    """
    Give 32 bits by which claims of a payer's number are found, None where there is none.

    Others may share them: whoever finds a claim by it compares the number itself.
    """
    normal = _normal(number or "")
    return crc32(normal.encode("utf-8", "surrogateescape")) - (1 << 31) if normal.strip("0") else None


def same_number(one: str | None, other: str) -> bool:
    """Compare numbers as people do: without blanks around, capital or not."""
    return _normal(one or "") == _normal(other)


def _normal(number: str) -> str:
    return number.strip().upper()
