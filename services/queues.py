"""`reprieve worklist`, `events` and `cases export`: the tracker over HTTP, for people at a terminal."""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from shared.errors import InvalidInputError
from shared.http.client import Stack, raise_for_problem
from shared.terminal import escape, print_table

DataDir = Annotated[Path | None, typer.Option(help="Where `reprieve up` keeps its data (.reprieve).")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="Any filter of docs/api.md, such as tag=urgent or assignee=none; may be repeated.",
    ),
]
_LOOK_SECONDS = 1.0
_PAGE = 200


def read_where(where: list[str] | None) -> dict[str, list[str]]:
    """Read filters as they are typed. The tracker knows their names."""
    found: dict[str, list[str]] = {}
    for one in where or ():
        name, sign, value = one.partition("=")
        if not (name and sign):
            raise InvalidInputError("--where takes NAME=VALUE.", remedy="Such as --where tag=urgent.")
        found.setdefault(name, []).append(value)
    return found


def worklist(
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One object a line.")] = False,  # noqa: FBT002
    data_dir: DataDir = None,
) -> None:
    """Show what to do next, in order, and why: your own cases and those that nobody has."""
    with Stack.find(data_dir).client("tracker", "biller") as tracker:
        found = raise_for_problem(tracker.get("/v1/worklist", params={"limit": limit})).json()["data"]
    if as_json:
        for one in found:
            typer.echo(json.dumps(one))
        return
    print_table(_table(found))


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 1, 0))
    table.add_column("Within", no_wrap=True)
    table.add_column("Payer, claim, case", min_width=36)
    table.add_column("Next, and why here")
    table.add_column("At stake", justify="right", no_wrap=True)
    for one in found:
        case = one["case"]
        why = ", ".join(reason["words"] for reason in one["reasons"] if reason["code"] != "amount")
        table.add_row(
            one["within"].replace("_", " "),
            escape(f"{case['payer_name'] or 'unknown payer'}\n{case['claim_number']}\n{case['case_id']}"),
            escape(f"{case['recommended_action'].replace('_', ' ')}\n{why}"),
            f"${Decimal(case['amount_at_stake']):,.2f}",
        )
    return table


def events(
    since: Annotated[
        datetime | None, typer.Option(help="Begin here; without it with the oldest, of the last 90 days.")
    ] = None,
    follow: Annotated[  # noqa: FBT002
        bool, typer.Option("--follow", help="Go on until Ctrl-C.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Print what happened to cases, oldest first, one JSON object a line."""
    for one in _events(Stack.find(data_dir), since=since, follow=follow):
        typer.echo(json.dumps(one))


def _events(stack: Stack, *, since: datetime | None, follow: bool) -> Iterator[dict[str, Any]]:
    asked: dict[str, Any] = {"limit": _PAGE}
    if since is not None:
        asked["since"] = since.astimezone().isoformat()
    with stack.client("tracker", "viewer") as tracker:
        while True:
            page = raise_for_problem(tracker.get("/v1/events", params=asked)).json()
            yield from page["data"]
            asked = {"limit": _PAGE, "cursor": page["next_cursor"]}
            if not page["has_more"]:
                if not follow:
                    return
                time.sleep(_LOOK_SECONDS)


def export_cases(
    file: Annotated[Path, typer.Argument(help="Where to write; .csv or .xlsx tells the form.")],
    where: Where = None,
    sort: Annotated[str, typer.Option(help="As of `cases list`.")] = "-priority",
    reveal: Annotated[  # noqa: FBT002
        bool, typer.Option("--reveal", help="With names and member ids; each opening is audited.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Write a whole list to a file. Names are masked unless asked for."""
    form = file.suffix.lower()
    if form not in (".csv", ".xlsx"):
        raise InvalidInputError("The file's name tells no form.", remedy="End it in .csv or .xlsx.")
    asked: dict[str, Any] = {**read_where(where), "sort": sort, "reveal": reveal}
    part = file.with_name(f"{file.name}.part")  # a cut list must never pass for a whole one
    with (
        Stack.find(data_dir).client("tracker", "biller") as tracker,
        tracker.stream("GET", f"/v1/cases{form}", params=asked) as answer,
    ):
        raise_for_problem(answer)
        with part.open("wb") as written:
            for chunk in answer.iter_bytes():
                written.write(chunk)
    part.replace(file)
    typer.echo(f"Wrote {file}.")
