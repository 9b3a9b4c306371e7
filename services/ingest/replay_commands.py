"""`reprieve replay`: raw files are read again by the reader that runs now."""

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from shared.errors import InvalidInputError
from shared.http.client import Stack, raise_for_problem
from shared.terminal import counted


def replay(
    remittance: Annotated[UUID | None, typer.Option(metavar="ID", help="This remittance.")] = None,
    receipt: Annotated[UUID | None, typer.Option(metavar="ID", help="All remittances of this file.")] = None,
    quarantined: Annotated[bool, typer.Option("--quarantined", help="Those with unreadable claims.")] = False,  # noqa: FBT002  an option
    data_dir: Annotated[Path | None, typer.Option(help="Where `reprieve up` keeps its data.")] = None,
) -> None:
    """
    Read remittances again after an update; without an option those that an older reader read.

    What reads otherwise is sent as a higher revision of the same event; what reads as before changes nothing.
    """
    wanted: dict[str, Any] = {
        name: value
        for name, value in (
            ("remittance_id", remittance and str(remittance)),
            ("receipt_id", receipt and str(receipt)),
            ("quarantined", quarantined),
        )
        if value
    }
    if len(wanted) > 1:
        raise InvalidInputError(
            "More than one thing was chosen.", remedy="Give one of --remittance, --receipt, --quarantined."
        )
    with Stack.find(data_dir).client("ingest", "operator") as client:
        answer = raise_for_problem(client.post("/v1/replays", json=wanted or {"outdated": True})).json()
    verb = "is" if answer["asked"] == 1 else "are"
    typer.echo(f"{counted(answer['asked'], 'remittance')} {verb} read again")
    if answer["unreadable"]:
        typer.echo(f"{answer['unreadable']} cannot be: their raw files were deleted")
