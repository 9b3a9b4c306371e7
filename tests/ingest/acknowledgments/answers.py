"""Judging and answering bytes, without a database."""

import io
import logging
from datetime import UTC, datetime

from pyx12.params import ParamsBase
from pyx12.x12n_document import x12n_document

from services.ingest.acknowledgments.inspecting import inspect
from services.ingest.acknowledgments.rendering import Acknowledgment, draft, render
from services.ingest.acknowledgments.verdicts import FileVerdict, Limits, SetVerdict

MADE_AT = datetime(2026, 3, 2, 8, 30, 15, tzinfo=UTC)


def judge(content: bytes, **limits: float) -> FileVerdict:
    return inspect([content], Limits(**limits))


def answers(content: bytes, **limits: float) -> list[Acknowledgment]:
    drafted = draft(judge(content, **limits))
    return [render(one, control_number=number, made_at=MADE_AT) for number, one in enumerate(drafted, 1)]


def only_set(content: bytes) -> SetVerdict:
    (interchange,) = judge(content).interchanges
    (group,) = interchange.groups
    (one,) = group.sets
    return one


def pyx12_accepts(content: bytes) -> bool:
    """Read an answer back with pyx12's own map of the 999, or of the 997."""
    logging.getLogger("pyx12").setLevel(logging.CRITICAL)
    return x12n_document(ParamsBase(), io.StringIO(content.decode("ascii")), None, None)
