"""`reprieve policies`: the payers' rules, printed and checked."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.triage.domain.examples import failures
from services.triage.domain.policies import index_policies, read_policies
from services.triage.policies import over_shipped, shipped_policies, texts_at
from services.triage.policy_commands import (
    DataDir,
    diff,
    export,
    load,
    publish_policy,
    retire_policy,
    show_in_force,
    show_policy,
)
from services.triage.what_if_commands import coverage, simulate
from shared.calendars import Calendar

FINDINGS = 1

policies = typer.Typer(
    help="The payers' rules: check and compare files, put them in force, ask what they would change.",
    no_args_is_help=True,
)
policies.command("load")(load)
policies.command("publish")(publish_policy)
policies.command("retire")(retire_policy)
policies.command("show")(show_policy)
policies.command("diff")(diff)
policies.command("export")(export)
policies.command("coverage")(coverage)
policies.command("simulate")(simulate)


@policies.command("list")
def list_policies(
    folder: Annotated[
        Path | None, typer.Option("--policies", help="A folder of policy files beside the shipped ones.")
    ] = None,
    running: Annotated[  # noqa: FBT002  an option
        bool, typer.Option("--running", help="What is in force in a running stack, instead of files.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """List the payer programs whose rules are known."""
    if running:
        show_in_force(data_dir)
        return
    table = Table("Policy", "Payer program", "Status", "In force", "Clocks", expand=True)
    for policy in shipped_policies(folder).policies:
        file = policy.file
        since, until = file.effective_from or "", file.effective_to or ""
        clocks = "\n".join(entry.label for entry in file.clocks)
        table.add_row(file.id, file.name, file.status, f"{since} - {until}".strip(" -"), clocks)
    Console().print(table)


@policies.command("check")
def check_policies(
    places: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[DIR|FILE…]", help="Policy files or folders; the shipped ones by default."),
    ] = None,
) -> None:
    """Check policy files: their form, and that each worked example comes out as its author computed."""
    found, mistakes = read_policies(over_shipped(texts_at(places or ())))
    if not mistakes:
        every = index_policies(found)
        mistakes = [text for policy in found for text in failures(policy, every, Calendar())]
    for mistake in mistakes:
        typer.echo(mistake, err=True)
    if mistakes:
        raise typer.Exit(FINDINGS)
    examples = sum(len(policy.file.examples) for policy in found)
    print(f"{len(found)} policies and {examples} worked examples are sound.")
