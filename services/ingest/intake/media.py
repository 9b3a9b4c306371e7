"""What kinds of body the door takes: the file itself, as it is or compressed. No forms, no JSON."""

from typing import Literal

from shared.errors import MediaTypeError

Encoding = Literal["identity", "gzip", "zstd"]

ACCEPTED_ENCODINGS = "gzip, zstd"
"""For the header Accept-Encoding of an answer (RFC 7694)."""

_MEDIA_TYPES = frozenset(
    {
        "application/edi-x12",
        "application/edi-consent",
        "application/x12",
        "application/x-x12",
        "application/octet-stream",
        "text/plain",
        "text/x12",
    }
)
_ENCODINGS: dict[str, Encoding] = {
    "": "identity",
    "identity": "identity",
    "gzip": "gzip",
    "x-gzip": "gzip",
    "zstd": "zstd",
}
_REMEDY = "Send the bytes of the file as the body, with Content-Type: application/edi-x12."
_REMEDIES = {
    # What curl says unless told otherwise. A form's body is the file with every + and % rewritten, mostly.
    "form": _REMEDY
    + " No form around it: with curl that is --data-binary @FILE -H 'Content-Type: application/edi-x12'.",
    "json": _REMEDY + " No JSON around it, and no base64.",
    "packed": _REMEDY + " Compressed bytes need Content-Encoding: gzip or zstd; archives, unpacking.",
}


_BEGINNINGS: dict[bytes, Encoding] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


def encoding_by_look(beginning: bytes) -> Encoding:
    """Tell from its first four bytes how a file was compressed; nothing that is an 835 begins like that."""
    found = (encoding for magic, encoding in _BEGINNINGS.items() if beginning.startswith(magic))
    return next(found, "identity")


def check_media_type(content_type: str | None) -> None:
    """Raise MediaTypeError for a body that says to be something else than a plain file; no type is fine."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type and media_type not in _MEDIA_TYPES:
        raise MediaTypeError(
            "This door takes remittances as they are, and no other kind of body.",
            remedy=_REMEDIES.get(_family(media_type), _REMEDY),
        )


def check_transfer_encoding(content_transfer_encoding: str | None) -> None:
    """
    Raise MediaTypeError for a body that mail would have rewritten (RFC 2045 6), as base64.

    HTTP has no such header (RFC 9110 B.1); senders that write it mean it all the same.
    """
    if (content_transfer_encoding or "").strip().lower() not in {"", "7bit", "8bit", "binary"}:
        raise MediaTypeError(
            "The body's Content-Transfer-Encoding rewrites the file.",
            remedy="Send its bytes as they are, without base64 and without that header.",
        )


def _family(media_type: str) -> str:
    if media_type.startswith("multipart/") or media_type == "application/x-www-form-urlencoded":
        return "form"
    if media_type.endswith(("json", "+json")):
        return "json"
    return "packed" if any(word in media_type for word in ("zip", "zstd", "compress", "tar")) else ""


def encoding_of(content_encoding: str | None) -> Encoding:
    """Give the one encoding of a body. Raises MediaTypeError for another one, and for several."""
    found = _ENCODINGS.get((content_encoding or "").strip().lower())
    if found is None:
        raise MediaTypeError(
            "The body's Content-Encoding is none that this door knows.",
            remedy="Send it with Content-Encoding: gzip or zstd, once, or as it is.",
        )
    return found
