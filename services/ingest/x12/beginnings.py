"""What a file is that is no X12, by its first bytes."""

from typing import Literal

Kind = Literal[
    "zip_archive",
    "compressed_file",
    "pdf_document",
    "web_page",
    "xml_document",
    "json_document",
    "utf16_text",
]

BEGINNING_BYTES = 16
"""So much of a file is enough to tell."""

_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (b"pk\x03\x04", "zip_archive"),
    (b"pk\x05\x06", "zip_archive"),  # an empty one
    (b"\x1f\x8b", "compressed_file"),
    (b"\x28\xb5\x2f\xfd", "compressed_file"),
    (b"%pdf-", "pdf_document"),
    (b"<!doctype html", "web_page"),
    (b"<html", "web_page"),
    (b"<", "xml_document"),
    (b"{", "json_document"),
    (b"[", "json_document"),
    (b"\xff\xfe", "utf16_text"),
    (b"\xfe\xff", "utf16_text"),
)


def kind_of(beginning: bytes) -> Kind | None:
    """Tell it from BEGINNING_BYTES bytes, after blanks and a byte order mark; None for anything else."""
    lowered = beginning.lower()
    return next((kind for magic, kind in _BEGINNINGS if lowered.startswith(magic)), None)
