"""
`reprieve alerts`: what is open, what rules there are, what is kept quiet, what would go out. It reaches the
tracker over HTTP only.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from services.alert_channels import add_to
from shared import clock
from shared.errors import InvalidInputError
from shared.http.client import Stack, raise_for_problem
from shared.terminal import counted, escape, print_table, printable

alerts = typer.Typer(no_args_is_help=True, help="Who is told of what, and what is open.")
add_to(alerts)

_DataDir = Annotated[Path | None, typer.Option(help="Where `reprieve up` keeps its data (.reprieve).")]
_Json = Annotated[bool, typer.Option("--json", help="One object a line, for programs.")]
_Operator = Annotated[
    bool, typer.Option("--installation", help="Those of the pipeline, with the operator's key.")
]


@alerts.command("list")
def list_alerts(
    kind: Annotated[list[str] | None, typer.Option(help="Such as clock; may be repeated.")] = None,
    severity: Annotated[list[str] | None, typer.Option(help="critical, error, warning, info.")] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Those that are gone.")] = False,  # noqa: FBT002  typer declares flags like this
    installation: _Operator = False,  # noqa: FBT002
    as_json: _Json = False,  # noqa: FBT002
    data_dir: _DataDir = None,
) -> None:
    """List alerts, the newest first."""
    asked: dict[str, Any] = {"state": "resolved" if resolved else "open", "limit": 200}
    asked |= {name: value for name, value in (("kind", kind), ("severity", severity)) if value}
    found = _get(data_dir, "/v1/alerts", installation=installation, params=asked)["data"]
    if as_json:
        _lines(found)
        return
    table = _columns("Severity", "Alert")
    table.add_column("About", min_width=36)  # an id stays whole, for `reprieve cases show`
    table.add_column("Since", no_wrap=True)
    for one in found:
        about = one["label"] or f"{one['payer'] or 'unknown payer'}\n{one['case_id']}"
        table.add_row(
            one["severity"] + ("\nsomebody has it" if one["acknowledged_at"] else ""),
            escape(f"{one['rule_name']} ({one['tier']})"),
            escape(about),
            one["opened_at"][:16].replace("T", " "),
        )
    print_table(table)
    for kind_name, page in sorted({(one["kind"], one["runbook_url"]) for one in found}):
        typer.echo(f"What to do about {kind_name}: {page}")  # whole lines: a link that is cut leads nowhere


@alerts.command()
def rules(
    installation: _Operator = False,  # noqa: FBT002
    as_json: _Json = False,  # noqa: FBT002
    data_dir: _DataDir = None,
) -> None:
    """List the rules; `--json` gives them as `preview --file` and the API take them."""
    found = _get(data_dir, "/v1/alerts/rules", installation=installation)["data"]
    if as_json:
        _lines(found)
        return
    table = _columns("Rule and id", "Kind", "State")
    for one in found:
        state = "on" if one["enabled"] else "off"
        table.add_row(
            escape(f"{one['name']}\n{one['rule_id']}"),
            one["settings"]["kind"],
            f"{state}, v{one['version']}",
        )
    print_table(table)


@alerts.command()
def silence(
    reason: Annotated[str, typer.Option(help="Why; everybody can read it.")],
    hours: Annotated[float, typer.Option(min=0.1, max=24 * 90, help="How long.")],
    kind: Annotated[list[str] | None, typer.Option(help="Such as clock; may be repeated.")] = None,
    payer: Annotated[list[str] | None, typer.Option(help="A payer's id or name, whole.")] = None,
    case: Annotated[list[UUID] | None, typer.Option(help="Alerts of this case.")] = None,
    everything: Annotated[  # noqa: FBT002  typer declares flags like this
        bool, typer.Option("--everything", help="Maintenance: all is kept quiet.")
    ] = False,
    installation: _Operator = False,  # noqa: FBT002
    data_dir: _DataDir = None,
) -> None:
    """Keep alerts quiet for some hours. What still stands then is told at once."""
    given = {"kinds": kind, "payers": payer, "cases": [str(one) for one in case or ()]}
    match = {name: value for name, value in given.items() if value}
    if everything == bool(match):
        raise InvalidInputError(
            "A silence is about some alerts, or about everything.",
            remedy="Name kinds, payers or cases, or give --everything.",
        )
    body = {"reason": reason, "ends_at": (clock.now() + timedelta(hours=hours)).isoformat()}
    path = "/v1/alerts/maintenance" if everything else "/v1/alerts/silences"
    with Stack.find(data_dir).client("tracker", "operator" if installation else "supervisor") as tracker:
        sent = tracker.post(path, json=body if everything else {**body, "match": match})
        made = raise_for_problem(sent).json()
    typer.echo(f"quiet until {made['ends_at']}: {made['silence_id']}")


@alerts.command()
def preview(
    file: Annotated[
        Path | None, typer.Option(help="A rule as JSON: what it would have sent last month.", exists=True)
    ] = None,
    installation: _Operator = False,  # noqa: FBT002
    data_dir: _DataDir = None,
) -> None:
    """Show what would go out now if nothing had been told yet; with --file what a rule would have sent."""
    if file is None:
        channels = _get(data_dir, "/v1/alerts/channels", installation=installation)["data"]
        names = {one["channel_id"]: one["name"] for one in channels}
        told: dict[str, list[str]] = {}
        for one in _get(data_dir, "/v1/alerts/preview", installation=installation)["data"]:
            channel = one.pop("channel_id")
            told.setdefault(json.dumps(one), []).append(names.get(channel, channel))
        for message, to in told.items():
            _message(json.loads(message), to=to)
        if not told:
            why = "no alert is open, or routes and silences keep it back" if channels else _NO_CHANNEL
            typer.echo(f"Nothing would go out: {why}.")
        return
    try:
        rule = json.loads(file.read_text())
    except ValueError:
        raise InvalidInputError(f"{file} is no JSON.", remedy="See `reprieve alerts rules --json`.") from None
    new = {name: value for name, value in rule.items() if name not in ("rule_id", "version")}
    with Stack.find(data_dir).client("tracker", "operator" if installation else "viewer") as tracker:
        found = raise_for_problem(tracker.post("/v1/alerts/rules/preview", json=new)).json()
    more = ", the newest; there are more" if found["truncated"] else ""
    over = f"{counted(found['alerts'], 'alert')} over {counted(found['cases'], 'case')}"
    gone_through = f" {over}{more}." if found["cases"] else ""
    typer.echo(" ".join(filter(None, (f"{found['said']}{gone_through}", found["left_out"]))))
    for day, count in found["by_day"].items():
        typer.echo(f"{day}  {count}")
    for sample in found["samples"]:
        typer.echo(f"  {printable(sample)}")


_NO_CHANNEL = "there is no channel yet (`reprieve alerts channels add`)"


@alerts.command()
def digest(data_dir: _DataDir = None) -> None:
    """Write the morning summaries as they are now. Nothing goes out."""
    found = _get(data_dir, "/v1/alerts/rules", installation=False)["data"]
    for one in found:
        if one["settings"]["kind"] == "morning_digest":
            _message(_get(data_dir, f"/v1/alerts/rules/{one['rule_id']}/digest", installation=False))


def _get(
    data_dir: Path | None, path: str, *, installation: bool, params: dict[str, Any] | None = None
) -> dict[str, Any]:
    with Stack.find(data_dir).client("tracker", "operator" if installation else "viewer") as tracker:
        found: dict[str, Any] = raise_for_problem(tracker.get(path, params=params)).json()
    return found


def _message(one: dict[str, Any], *, to: list[str] | None = None) -> None:
    """Write a message as every channel in `to` would tell it."""
    where = f"\n  to {', '.join(map(printable, sorted(to)))}" if to else ""
    typer.echo(f"[{one['severity']}] {printable(one['title'])}{where}\n  {one['rule']}, {one['runbook_url']}")
    for line in one["lines"]:
        typer.echo(f"  - {printable(line)}")


def _columns(*names: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name)
    return table


def _lines(found: list[dict[str, Any]]) -> None:
    for one in found:
        typer.echo(json.dumps(one))
