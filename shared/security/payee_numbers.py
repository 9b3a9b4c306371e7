"""The numbers by which payees are registered: NPI and TIN."""

import re

from shared.errors import InvalidInputError

EVERY_PAYEE = "*"
_PAYEE = re.compile(r"[0-9]{9,10}")
_NPI_DIGITS = 10
_NPI_PREFIX = "80840"  # of the United States' health industry (ISO 7812), before an NPI in its check digit


def plain_payee(identifier: str) -> str:
    """Take hyphens and blanks out. Raises InvalidInputError for what is no NPI, no TIN and not `*`."""
    plain = identifier.replace("-", "").strip()
    if plain != EVERY_PAYEE and not _PAYEE.fullmatch(plain):
        raise InvalidInputError(
            "This is no payee identifier.", remedy="Give an NPI (10 digits), a TIN (9 digits), or *."
        )
    return plain


def check_npi(plain: str) -> None:
    """Raise InvalidInputError for an NPI whose check digit is wrong: under it nothing would ever arrive."""
    if len(plain) == _NPI_DIGITS and _luhn_sum(_NPI_PREFIX + plain) % 10:
        raise InvalidInputError(
            "The check digit of this NPI is wrong: one of its digits is, or two are exchanged.",
            remedy="Compare it with the NPI registry, or with a remittance (N1*PE, element 4).",
        )


def _luhn_sum(digits: str) -> int:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return sum(map(int, digits[::-2])) + sum(doubled)
