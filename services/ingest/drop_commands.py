"""`reprieve feeds marker`: what an operator, not the submitter, decides about a feed."""

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store import drop_feeds
from shared.security.commands import find_submitter, with_owner
from shared.security.settings import DEFAULT_DATA_DIR, DataDirOption


def set_marker(
    submitter: Annotated[str, typer.Argument(help="Its name or id.")],
    feed: str,
    needed: Annotated[  # noqa: FBT002  an option
        bool, typer.Option("--needed/--not-needed", help="Whether files wait for a marker.")
    ] = True,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
) -> None:
    """Say whether a dropped file is complete only when NAME.complete or NAME.done stands beside it."""

    async def work(engine: AsyncEngine) -> None:
        found = await find_submitter(engine, submitter)
        await drop_feeds.set_marker(engine, submitter_id=found.submitter_id, feed=feed, needs_marker=needed)

    with_owner(data_dir, work)
    typer.echo(f"{feed}: files {'wait for their marker' if needed else 'are taken when they stop changing'}")
