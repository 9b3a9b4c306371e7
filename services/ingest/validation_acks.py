"""`reprieve validate --ack DIR`: conformance findings, and TA1 and 999 as the service writes them."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from services.ingest.acknowledgments import codes
from services.ingest.acknowledgments.rendering import Acknowledgment, draft, render
from services.ingest.acknowledgments.validators import Validators
from services.ingest.acknowledgments.verdicts import ElementError, FileVerdict, SegmentError
from services.ingest.domain.findings import Finding
from shared.clock import now
from shared.errors import InvalidInputError

_BLOCK_BYTES = 1 << 16
_NUMBERS = 999_999_999
_REMEDY = "Compare with the implementation guide; the rest is read all the same."

Opener = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class Judged:
    """`cut_short` says why conformance was not looked at to the end."""

    findings: tuple[Finding, ...]
    cut_short: str | None
    written: tuple[tuple[Path, Acknowledgment], ...]


async def judge_and_acknowledge(files: Iterable[tuple[str, Opener]], folder: Path) -> list[Judged]:
    """
    Judge files, each given by name, and write what their senders are owed into `folder`.

    Raises InvalidInputError for a file that is there already, and writes nothing then; OSError.
    """
    files = list(files)
    _check_names([name for name, _ in files])
    validators = Validators()
    try:
        judged = [(name, await validators.inspect(_blocks(opener))) for name, opener in files]
    finally:
        await validators.close()
    answers = [_answers(name, verdict, folder) for name, verdict in judged]
    _write([one for answer in answers for one in answer])
    return [
        Judged(tuple(_findings(verdict)), verdict.cut_short, tuple(answer))
        for (_, verdict), answer in zip(judged, answers, strict=True)
    ]


def _blocks(opener: Opener) -> Callable[[], Iterator[bytes]]:
    def blocks() -> Iterator[bytes]:
        with opener() as file:
            file.seek(0)
            yield from iter(lambda: file.read(_BLOCK_BYTES), b"")

    return blocks


def _check_names(names: list[str]) -> None:
    """Answers are named after files: two of one name would overwrite each other's."""
    shared = sorted(name for name, count in Counter(Path(one).name for one in names).items() if count > 1)
    if shared:
        raise InvalidInputError(
            f"Several files have the name {shared[0]}, so their answers would have one as well.",
            remedy="Validate them one after the other, each with its own folder.",
        )


def _answers(name: str, verdict: FileVerdict, folder: Path) -> list[tuple[Path, Acknowledgment]]:
    answers = []
    for ordinal, drafted in enumerate(draft(verdict), 1):
        made = render(drafted, control_number=_number(name, ordinal), made_at=now())
        answers.append((folder / f"{Path(name).name}.{ordinal:03d}.{made.kind.lower()}", made))
    return answers


def _number(name: str, ordinal: int) -> int:
    """
    Give a control number, the same for the same file: only the service, which has a sequence, counts up.

    It keeps the answers to different files apart, in most cases.
    """
    digest = hashlib.sha256(f"{name}\n{ordinal}".encode()).digest()
    return int.from_bytes(digest[:8]) % _NUMBERS + 1


def _write(answers: list[tuple[Path, Acknowledgment]]) -> None:
    for path, _ in answers:
        if path.exists():
            raise InvalidInputError(
                f"{path} is there already, and nothing was written.", remedy="Name another folder."
            )
    try:
        for path, made in answers:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(made.content)
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be written: {error.strerror}.", remedy="Name another folder."
        ) from error


def _findings(verdict: FileVerdict) -> Iterator[Finding]:
    for interchange in verdict.interchanges:
        for group in interchange.groups:
            for one in group.sets:
                for error in one.errors:
                    yield from _segment_findings(error)


def _segment_findings(error: SegmentError) -> Iterator[Finding]:
    for element in error.elements:
        yield _finding(error, f"IK4-{element.code}", _element_text(element), element.position)
    if not error.elements:
        yield _finding(error, f"IK3-{error.code}", codes.SEGMENT_ERRORS[error.code])


def _element_text(element: ElementError) -> str:
    text = codes.ELEMENT_ERRORS[element.code]
    return text if element.component is None else f"{text} (component {element.component})"


def _finding(error: SegmentError, code: str, message: str, element: int | None = None) -> Finding:
    return Finding(
        code=code,
        message=message,
        remedy=_REMEDY,
        severity="warning",
        segment_number=error.segment_number,
        segment_id=error.segment_id,
        element=element,
    )
