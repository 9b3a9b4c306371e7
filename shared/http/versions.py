"""The version of the API: a day, told in every answer, and asked for by callers who want no other."""

from shared.errors import InvalidInputError

API_VERSION = "2026-11-22"
"""Changes with what would break a caller, never with what is added (docs/api.md says what that is)."""

HEADER = "Api-Version"


def check_version(asked: str | None) -> None:
    """Raise InvalidInputError for a version that is not served; who asks for none gets the present one."""
    if asked is not None and asked.strip() != API_VERSION:
        raise InvalidInputError(
            f"The {HEADER} that was asked for is not served here.",
            remedy=f"Ask for {API_VERSION}, or leave the header out; docs/api.md tells what changed.",
        )
