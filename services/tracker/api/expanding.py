"""What `expand` gives along with a case, read in the transaction that reads the case."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.api.facts import FactView, read_facts
from services.tracker.api.files import FileView, read_files
from services.tracker.api.steps import StepView, read_steps
from services.tracker.api.timeline import TimelineEntry, read_timeline
from services.tracker.api.views import CaseDetail

Expandable = Literal["timeline", "steps", "facts", "files"]


class CaseExpanded(CaseDetail):
    """
    A case, with what `expand` asked for as the routes of those names give it; the rest is null.

    Names of files stay masked here: their own route opens them.
    """

    timeline: list[TimelineEntry] | None = None
    steps: list[StepView] | None = None
    facts: list[FactView] | None = None
    files: list[FileView] | None = None


async def expanded(
    connection: AsyncConnection, row: Mapping[str, Any], wanted: Collection[Expandable]
) -> dict[str, Any]:
    """Read what is wanted of a case, a row of tracker.cases."""
    found: dict[str, Any] = {}
    if "timeline" in wanted:
        found["timeline"] = await read_timeline(connection, row["organization_id"], row)
    if "steps" in wanted:
        found["steps"] = await read_steps(connection, row)
    if "facts" in wanted:
        found["facts"] = await read_facts(connection, row["organization_id"], row["case_id"])
    if "files" in wanted:
        found["files"] = await read_files(connection, row)
    return found
