"""Readings of one claim by an older and a newer reader: what makes the later one a new revision."""

from uuid import UUID

from msgspec.structs import asdict, replace

from services.ingest.domain.events import ClaimEvent
from shared.contracts.claim import SealedPerson

_PEOPLE = ("patient", "subscriber", "corrected_patient")


def revised(
    stored: ClaimEvent | None, fresh: ClaimEvent, *, event_id: UUID, revision: int
) -> ClaimEvent | None:
    """
    Give the event as the next revision of a claim, None where it says what the stored one says.

    The claim keeps the id under which it is known, even if the newer reader would derive another one. What
    the arrival tells (feed, dates, duplicates) is not read from the file, and stays as it was told.
    """
    if stored is None:
        return replace(fresh, event_id=event_id, revision=revision)
    told = replace(
        fresh,
        event_id=event_id,
        revision=revision,
        submitter_id=stored.submitter_id,
        feed=stored.feed,
        receipt_id=stored.receipt_id,
        received_at=stored.received_at,
        received_on=stored.received_on,
        possible_duplicate_of=stored.possible_duplicate_of,
        # Staged events learn at their set's end that it was truncated; while it is read nobody knows.
        truncated=stored.truncated or fresh.truncated,
    )
    return None if _content(told) == _content(stored) else told


def _content(event: ClaimEvent) -> dict[str, object]:
    """Give what an event says, whatever its revision; people by their indexes: no sealing equals another."""
    facts = asdict(event)
    del facts["revision"]
    for role in _PEOPLE:
        person = facts[role]
        if isinstance(person, SealedPerson):
            facts[role] = (person.name_index, person.member_id_index)
    return {"type": type(event).__name__, **facts}
