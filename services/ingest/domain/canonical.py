"""The digest of a canonical loop: the same for any delimiters, padding and way of writing an amount."""

import re
from hashlib import sha256

_DIGEST_BYTES = 16
_BLANK = ord(" ")  # `bytes in bytes` costs three times as much: it tries the first as a number


def digest_of(text: bytes, *, padded: bool) -> bytes:
    r"""
    Hash the loop, in which \x1d, \x1e, \x1f stand between elements, segments and components.

    `padded`: a segment may end in empty elements or components.
    """
    if padded or _BLANK in text:
        text = _without_padding(text)
    return sha256(text, usedforsecurity=False).digest()[:_DIGEST_BYTES]


def _without_padding(text: bytes) -> bytes:
    """Leave out what says nothing: blanks around elements, and empty components and elements at an end."""
    if _BLANK in text:
        text = _AROUND.sub(b"", text)
    return _LAST_ELEMENTS.sub(b"", _LAST_COMPONENTS.sub(b"", text))


# Each begins only where a run begins: from every byte of a long one, the search would take quadratic time.
_AROUND = re.compile(rb"(?<! ) ++(?=[\x1d\x1e\x1f])|(?<=[\x1d\x1e\x1f]) ++")
_LAST_COMPONENTS = re.compile(rb"(?<!\x1f)\x1f++(?=[\x1d\x1e]|\Z)")
_LAST_ELEMENTS = re.compile(rb"(?<!\x1d)\x1d++(?=\x1e|\Z)")
