"""`reprieve policies`: the payers' rules, printed and checked."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.triage.domain.calendars import Calendar
from services.triage.domain.examples import failures
from services.triage.domain.policies import index_policies, read_policies
from services.triage.policies import policy_texts, shipped_policies

FINDINGS = 1

policies = typer.Typer(help="The payers' rules: list and check them.", no_args_is_help=True)


@policies.command("list")
def list_policies(
    folder: Annotated[
        Path | None, typer.Option("--policies", help="A folder of policy files beside the shipped ones.")
    ] = None,
) -> None:
    """List the payer programs whose rules are known."""
    table = Table("Policy", "Payer program", "Status", "In force", "Clocks", expand=True)
    for policy in shipped_policies(folder).policies:
        file = policy.file
        since, until = file.effective_from or "", file.effective_to or ""
        clocks = "\n".join(entry.label for entry in file.clocks)
        table.add_row(file.id, file.name, file.status, f"{since} - {until}".strip(" -"), clocks)
    Console().print(table)


@policies.command("check")
def check_policies(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="A folder of policy files; the shipped ones by default."),
    ] = None,
) -> None:
    """Check policy files: their form, and that each worked example comes out as its author computed."""
    found, mistakes = read_policies(policy_texts(folder))
    if not mistakes:
        every = index_policies(found)
        mistakes = [text for policy in found for text in failures(policy, every, Calendar())]
    for mistake in mistakes:
        typer.echo(mistake, err=True)
    if mistakes:
        raise typer.Exit(FINDINGS)
    examples = sum(len(policy.file.examples) for policy in found)
    print(f"{len(found)} policies and {examples} worked examples are sound.")
