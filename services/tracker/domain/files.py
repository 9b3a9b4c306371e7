"""
The files of a case, by its steps: one is there from `file_attached` until `file_removed`.

Their bytes and their names lie sealed elsewhere (store/files.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from uuid import UUID

from services.tracker.domain.steps import FileAttached, FileRemoved, InformationSent, Made, Step, Submit

FILES_MAX = 100
"""Files of one case."""


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file that is there, and the papers of the checklist that it is."""

    file_id: UUID
    sha256: str
    media_type: str
    size_bytes: int
    documents: tuple[str, ...]


def files_there(steps: Iterable[Made]) -> dict[UUID, AttachedFile]:
    """Give the files that are there after these steps, in the order in which they came."""
    found: dict[UUID, AttachedFile] = {}
    for made in steps:
        match made.step:
            case FileAttached() as step if step.file_id in found:
                before = found[step.file_id]
                both = tuple(dict.fromkeys((*before.documents, *step.documents)))
                found[step.file_id] = replace(before, documents=both)
            case FileAttached() as step:
                found[step.file_id] = AttachedFile(
                    step.file_id, step.sha256, step.media_type, step.size_bytes, step.documents
                )
            case FileRemoved(file_id=file_id):
                found.pop(file_id, None)
    return found


def sent_files(step: Step) -> set[UUID]:
    """Name the files that went to the payer with a step."""
    return set(step.files or ()) if isinstance(step, Submit | InformationSent) else set()
