"""`reprieve codes` and `reprieve policies`: what triage knows, printed and checked."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from services.triage.domain.calendars import Calendar
from services.triage.domain.codes import carc_status, rarc_status, requires_remark
from services.triage.domain.examples import failures
from services.triage.domain.meanings import CARC_MEANINGS, RARC_MEANINGS, RARC_SUPPORTING, Meaning
from services.triage.domain.policies import index_policies, read_policies
from services.triage.policies import policy_texts, shipped_policies

FINDINGS = 1

policies = typer.Typer(help="The payers' rules: list and check them.", no_args_is_help=True)


def codes(
    format: Annotated[  # noqa: A002  the option's name
        Literal["table", "markdown"], typer.Option(help="table for people; markdown as in the docs.")
    ] = "table",
) -> None:
    """Print the table that says what each reason and remark code means to a biller."""
    if format == "markdown":
        print(classification_page(), end="")
        return
    console = Console()
    for title, header, rows in _sections():
        table = Table(*header, title=title, title_justify="left", expand=True)
        for row in rows:
            table.add_row(*row)
        console.print(table)


def classification_page() -> str:
    """Write docs/classification.md; a test keeps the page and the table the same."""
    parts = [_PREFACE]
    for title, header, rows in _sections():
        parts.append(f"\n## {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}\n")
        parts += [f"| {' | '.join(row)} |\n" for row in rows]
    return "".join(parts)


_PREFACE = """# What the codes mean

Printed by `reprieve codes --format markdown` from `services/triage/domain/meanings.py`: change that table,
not this page. The words are ours; the official wording belongs to X12.

- A code that requires a remark is never read alone, and an Alert never explains: without an explaining remark
  the denial is `unclear` and a person must look.
- A code that is not in these tables is `unclear`, in the open.
- A remark that defines an authorization problem is more precise than a code marked "remark refines".
- 45 for the whole charge, and no code at all, are `unclear`.
- 97 and B15 beside a line that failed for authorization are its dependents: their money is at stake too.
- A number echoed in REF G1 or BB beside an absent authorization changes the action to
  `check_authorization_on_file`.
- Retired codes are read as payers used them.
"""


def _sections() -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    header = ("Code", "Status", "Category", "Route", "Strength", "Action", "Why")
    return [
        (
            "Reason codes (CARC)",
            header,
            [_row(code, carc_status(code), meaning) for code, meaning in CARC_MEANINGS.items()],
        ),
        (
            "Remarks that define an authorization problem (RARC)",
            header,
            [_row(code, rarc_status(code), meaning) for code, meaning in RARC_MEANINGS.items()],
        ),
        (
            "Remarks that only support (RARC)",
            ("Code", "Status", "Says"),
            [(code, rarc_status(code), words) for code, words in RARC_SUPPORTING.items()],
        ),
    ]


def _row(code: str, status: str, meaning: Meaning) -> tuple[str, ...]:
    strength = str(meaning.strength).replace("_", " ")
    if meaning.refinable and not requires_remark(code):
        strength += "; remark refines"
    if meaning.refined_by:
        strength += f"; {' '.join(meaning.refined_by)} refines"
    why = meaning.why if meaning.human is None else f"{meaning.why} A person must look."
    return code, status, meaning.category, meaning.route or "", strength, meaning.action, why


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
