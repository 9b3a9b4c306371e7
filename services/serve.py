"""`reprieve serve PROCESS`: one process of the installation, as containers and the supervisor start it."""

import importlib
from typing import Annotated

import typer

PROCESSES = (
    "ingest-api",
    "ingest-worker",
    "triage-api",
    "triage-worker",
    "tracker-api",
    "tracker-worker",
    "tracker-alerts",
)


def serve(
    process: Annotated[str, typer.Argument(metavar="PROCESS", help=f"One of: {', '.join(PROCESSES)}.")],
) -> None:
    """
    Run one process until SIGTERM; its settings come from REPRIEVE_* variables (docs/operations.md).

    Every process answers /livez, /readyz and /metrics on its port.
    """
    if process not in PROCESSES:
        raise typer.BadParameter(f"There is no process {process}. There are: {', '.join(PROCESSES)}.")
    from shared.observability.process import run  # noqa: PLC0415  kept out of --help

    service = process.partition("-")[0]
    run(importlib.import_module(f"services.{service}.app").PROCESSES[process], process=process)
