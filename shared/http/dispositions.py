"""The name of a file that travels as a body (Content-Disposition, RFC 6266), read and written."""

from email.message import Message
from email.utils import collapse_rfc2231_value
from urllib.parse import quote


def attachment(name: str) -> str:
    """Write the header in both of its forms. `name` holds neither quotes nor backslashes."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def file_name_in(header: str | None) -> str | None:
    """Read the name; None where there is none. `filename*` goes before `filename`."""
    if not header:
        return None
    message = Message()
    try:
        # Many clients write UTF-8 as it is; a header's bytes are told as if they were Latin-1.
        message["Content-Disposition"] = header.encode("latin-1").decode()
    except ValueError:
        message["Content-Disposition"] = header
    try:
        told = message.get_params(failobj=[], header="Content-Disposition")
        names = [value for key, value in told if key.lower() == "filename"]
        # One with its character set is a tuple of set, language and text.
        names.sort(key=lambda value: not isinstance(value, tuple))
        return collapse_rfc2231_value(names[0]) if names else None
    except (LookupError, ValueError):  # a character set that nobody knows
        return None
