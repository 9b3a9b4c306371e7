"""`reprieve policies simulate` and `coverage`: what stands decided, under other rules and by payer."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from services.triage.policies import texts_at
from services.triage.policy_client import PolicyClient
from services.triage.policy_commands import DataDir, Installation

_Since = Annotated[
    datetime | None,
    typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="Only what was decided on this day or later."),
]
_Format = Annotated[
    Literal["table", "json"], typer.Option("--format", help="A table for people; json: one object a line.")
]


def simulate(
    folder: Annotated[Path, typer.Option("--policies", help="A folder of policy files, or one file.")],
    since: _Since = None,
    as_of: Annotated[
        datetime | None, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="The day; today by default.")
    ] = None,
    output: _Format = "table",
    installation: Installation = False,  # noqa: FBT002  an option
    data_dir: DataDir = None,
) -> None:
    """
    Decide stored denials again with these policies over those in force, and say what would change.

    Nothing is stored. The operator (--installation) is told the sums over all organizations.
    """
    asked = {
        "policies": {name: text.decode() for name, text in texts_at([folder]).items()},
        "since": since and since.date().isoformat(),
        "as_of": as_of and as_of.date().isoformat(),
    }
    with PolicyClient.open(data_dir, installation=installation, role="supervisor") as client:
        told = _watched(client.stream("POST", "/v1/simulations", json=asked), "deciding again")
        changed: list[dict[str, Any]] = []
        summary: dict[str, Any] = {}
        for one in told:
            if output == "json":
                print(msgspec.json.encode(one).decode())  # noqa: T201  a command prints
            elif one["kind"] == "changed":
                _keep_largest(changed, one)
            else:
                summary = one
    if output == "table":
        _show(summary, changed)


def coverage(
    since: _Since = None,
    every: Annotated[bool, typer.Option("--all", help="Payers with a confirmed policy as well.")] = False,  # noqa: FBT002  an option
    output: _Format = "table",
    installation: Installation = False,  # noqa: FBT002  an option
    data_dir: DataDir = None,
) -> None:
    """List the payers without a confirmed policy, the one that denies the most dollars first."""
    query = {"since": since.date().isoformat()} if since else {}
    with PolicyClient.open(data_dir, installation=installation, role="viewer") as client:
        told = _watched(client.stream("GET", "/v1/coverage", params=query), "reading")
        payers = [one for one in told if every or one["standing"] != "confirmed"]
    if output == "json":
        for one in payers:
            print(msgspec.json.encode(one).decode())  # noqa: T201  a command prints
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("payer", "policy", "denials", "denied", "about auth."):
        table.add_column(column, overflow="fold", justify="right" if column[0] in "da" else "left")
    for one in payers:
        table.add_row(
            "\n".join([one["payer"], *one["payer_ids"]]),
            "\n".join([*(one["policies"] or [one["how"]]), f"({one['standing']})"]),
            f"{one['denials']:,}",
            _dollars(one["denied_amount"]),
            _dollars(one["authorization_amount"]),
        )
    Console().print(table)


def _watched(told: Iterable[dict[str, Any]], doing: str) -> Iterator[dict[str, Any]]:
    """Show on a terminal how far it is, and pass on what was found."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=None)
        for one in told:
            match one["kind"]:
                case "begun":
                    progress.update(task, total=one["total"])
                case "progress":
                    progress.update(task, completed=one["looked"])
                case _:
                    yield one


_SHOWN = 20


def _keep_largest(kept: list[dict[str, Any]], one: dict[str, Any]) -> None:
    """Keep the denials with the most money; a million of them must not fill the memory."""
    kept.append(one)
    if len(kept) > _SHOWN * 50:
        kept.sort(key=_amount, reverse=True)
        del kept[_SHOWN:]


def _show(summary: dict[str, Any], changed: list[dict[str, Any]]) -> None:
    console = Console()
    sums = summary["changed"]
    console.print(
        f"{summary['denials']:,} denials looked at; {sums['denials']:,} of {summary['claims']:,} claims would"
        f" change, {_dollars(sums['amount'])} at stake in them."
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("what", "from", "to", "denials", "at stake"):
        table.add_column(
            column, overflow="fold", justify="right" if column in {"denials", "at stake"} else "left"
        )
    for move, found in summary["deadlines"].items():
        table.add_row("next deadline", "", move, f"{found['denials']:,}", _dollars(found["amount"]))
    for one in summary["clocks"]:
        kind = one["kind"].replace("_", " ")
        table.add_row(kind, "", one["move"], f"{one['denials']:,}", _dollars(one["amount"]))
    for what, name in (("action", "actions"), ("category", "categories"), ("policy", "policies")):
        for one in summary[name]:
            before, after = (str(one[side] or "none").replace("_", " ") for side in ("before", "after"))
            table.add_row(what, before, after, f"{one['denials']:,}", _dollars(one["amount"]))
    if table.row_count:
        console.print(table)
    if changed:
        console.print(_denials(sorted(changed, key=_amount, reverse=True)[:_SHOWN]))


def _denials(changed: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title="The largest of them", title_justify="left")
    table.add_column("payer, event", min_width=36)
    for column in ("at stake", "deadline", "action"):
        table.add_column(column, overflow="fold", justify="right" if column == "at stake" else "left")
    for one in changed:
        days = " → ".join(
            dict.fromkeys((one[f"deadline_{side}"] or "none")[:10] for side in ("before", "after"))
        )
        actions = dict.fromkeys(one[f"action_{side}"].replace("_", " ") for side in ("before", "after"))
        who = f"{one['payer'] or 'unknown'}\n{one['event_id']}"
        table.add_row(who, _dollars(one["amount"]), days, " → ".join(actions))
    return table


def _amount(one: dict[str, Any]) -> Decimal:
    return Decimal(one["amount"])


def _dollars(amount: str) -> str:
    return f"${Decimal(amount):,.2f}"
