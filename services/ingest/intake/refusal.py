"""The note beside a rejected file: what is wrong and what to do, in words that name no patient."""

from collections.abc import Sequence
from typing import Any

import msgspec

from shared.errors import ReprieveError

_SHOWN_FINDINGS = 20


def refused_at_the_door(error: ReprieveError) -> bytes:
    """Write why a file was not taken."""
    return _note(reason=error.slug, message=error.message, remedy=error.remedy)


def refused_by_the_reader(
    *, receipt_id: str, reason: str | None, findings: Sequence[dict[str, Any]], finding_count: int
) -> bytes:
    """Write why a file that was taken could not be read."""
    return _note(
        reason=reason or "refused",
        message="The file was taken and could not be read as an 835.",
        remedy="Mend what the findings name and send the file again under any name.",
        receipt_id=receipt_id,
        finding_count=finding_count,
        findings=list(findings[:_SHOWN_FINDINGS]),
    )


def _note(**words: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(words), indent=2) + b"\n"
