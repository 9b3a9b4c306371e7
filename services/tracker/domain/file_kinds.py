"""What kinds of file are taken, how they are known, and what they are called."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import MediaTypeError

NAME_LENGTH_MAX = 120


@dataclass(frozen=True, slots=True)
class Kind:
    """How files of a media type begin, and how their names end; the first ending is the one we write."""

    beginnings: tuple[bytes, ...]
    endings: tuple[str, ...]


KINDS: Mapping[str, Kind] = {
    "application/pdf": Kind((b"%PDF-",), (".pdf",)),
    "image/tiff": Kind((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), (".tif", ".tiff")),
    "image/jpeg": Kind((b"\xff\xd8\xff",), (".jpg", ".jpeg")),
    "image/png": Kind((b"\x89PNG\r\n\x1a\n",), (".png",)),
    "text/plain": Kind((b"",), (".txt",)),
}
"""What people send to payers. Nothing that a viewer would run: no archives, office files or HTML."""
BEGINNING_BYTES = max(len(one) for kind in KINDS.values() for one in kind.beginnings)
_TAKEN = f"Send one of {', '.join(KINDS)} as it is, with that Content-Type."


def kind_of(content_type: str | None) -> str:
    """Give the media type of a body. Raises MediaTypeError for one that is not taken, and for none."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type not in KINDS:
        raise MediaTypeError("Files of this kind are not taken.", remedy=_TAKEN)
    return media_type


def check_beginning(media_type: str, beginning: bytes) -> None:
    """Raise MediaTypeError for a file that is not what it says it is. `beginning`: BEGINNING_BYTES of it."""
    if not beginning.startswith(KINDS[media_type].beginnings):
        raise MediaTypeError(f"The file does not begin as {media_type} does.", remedy=_TAKEN)


def check_block(media_type: str, block: bytes) -> None:
    """Raise MediaTypeError for a part of a text that no text has."""
    if media_type == "text/plain" and b"\0" in block:
        raise MediaTypeError("The file is no plain text: it holds a NUL.", remedy=_TAKEN)


def clean_name(name: str | None, media_type: str) -> str:
    """
    Make a file's name harmless: no folders, nothing invisible, nothing that a file system or a header minds,
    the ending of its media type, NAME_LENGTH_MAX characters at most.
    """
    endings = KINDS[media_type].endings
    text = unicodedata.normalize("NFC", name or "").replace("\\", "/").rpartition("/")[2]
    shown = "".join(" " if one in _UNFIT or not _is_visible(one) else one for one in text)
    stem = " ".join(shown.split()).rstrip(". ")
    ending = next((one for one in endings if stem.lower().endswith(one)), None)
    stem = stem[: -len(ending)] if ending else stem
    stem = stem[: NAME_LENGTH_MAX - len(endings[0]) - 1].strip(". ") or "document"
    return stem + (ending or endings[0])


_UNFIT = frozenset('<>:"|?*;%')


def _is_visible(character: str) -> bool:
    """Tell whether a character is no control, format, surrogate, separator of lines, nor unassigned."""
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
