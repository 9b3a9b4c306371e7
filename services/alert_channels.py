"""
`reprieve alerts channels | test | attempts | resend`: where people are told, and how that goes. It reaches
the tracker over HTTP only.
"""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from shared.errors import InvalidInputError, NotFoundError
from shared.http.client import Stack, raise_for_problem
from shared.terminal import counted, escape, print_table

channels = typer.Typer(no_args_is_help=False, help="Where people are told: list, add, switch, rotate.")

_ROUTE = "/v1/alerts/channels"
_POLL_SECONDS = 0.5

_DataDir = Annotated[Path | None, typer.Option(help="Where `reprieve up` keeps its data (.reprieve).")]
_Operator = Annotated[
    bool, typer.Option("--installation", help="Those of the pipeline, with the operator's key.")
]
_Channel = Annotated[str, typer.Argument(metavar="CHANNEL", help="Its name or id.")]
_Json = Annotated[bool, typer.Option("--json", help="One object a line, for programs.")]


@channels.callback(invoke_without_command=True)
def list_channels(
    context: typer.Context,
    installation: _Operator = False,  # noqa: FBT002  typer declares flags like this
    as_json: _Json = False,  # noqa: FBT002
    data_dir: _DataDir = None,
) -> None:
    """List the channels, and how they go."""
    if context.invoked_subcommand:
        return
    found = _Caller(data_dir, installation=installation).get(_ROUTE)["data"]
    if as_json:
        for one in found:
            typer.echo(json.dumps(one))
        return
    table = _columns("Channel", "Kind", "State")
    for one in found:
        table.add_row(escape(f"{one['name']}\n{one['channel_id']}"), one["kind"], escape(_state(one)))
    print_table(table)


@channels.command()
def add(
    name: str,
    kind: Annotated[str, typer.Argument(help="Such as slack_bot; docs/alert-channels.md has all.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting; may be repeated.")
    ] = None,
    secret_file: Annotated[
        Path | None, typer.Option(help="A file with its secret in it; - reads the standard input.")
    ] = None,
    installation: _Operator = False,  # noqa: FBT002
    data_dir: _DataDir = None,
) -> None:
    """Open a channel; docs/alert-channels.md has the settings. No secret stands on a command line."""
    body = {"name": name, "kind": kind, "settings": _settings(settings or []), "secret": _secret(secret_file)}
    made = _Caller(data_dir, installation=installation).post(_ROUTE, body)
    typer.echo(made["channel_id"])
    _show_secret(made)


@channels.command()
def rotate(
    channel: _Channel,
    secret_file: Annotated[Path | None, typer.Option(help="A file with the new one; - is the input.")] = None,
    drop_previous: Annotated[  # noqa: FBT002
        bool, typer.Option("--drop-previous", help="The old one is known to others: end it at once.")
    ] = False,
    installation: _Operator = False,  # noqa: FBT002
    data_dir: _DataDir = None,
) -> None:
    """Replace a channel's secret; the old one goes on beside it until the next rotation."""
    caller = _Caller(data_dir, installation=installation)
    body = {"secret": _secret(secret_file), "keep_previous": not drop_previous}
    _show_secret(caller.post(f"{_ROUTE}/{caller.find(channel)}/secret", body))


@channels.command()
def disable(
    channel: _Channel,
    installation: _Operator = False,  # noqa: FBT002
    data_dir: _DataDir = None,
) -> None:
    """Switch a channel off."""
    caller = _Caller(data_dir, installation=installation)
    typer.echo(_state(caller.post(f"{_ROUTE}/{caller.find(channel)}/disable")))


@channels.command()
def enable(
    channel: _Channel,
    installation: _Operator = False,  # noqa: FBT002
    data_dir: _DataDir = None,
) -> None:
    """Switch a channel on, or end the pause of one that failed."""
    caller = _Caller(data_dir, installation=installation)
    typer.echo(_state(caller.post(f"{_ROUTE}/{caller.find(channel)}/enable")))


def send_sample(
    channel: _Channel,
    wait_seconds: Annotated[float, typer.Option(min=0, help="How long to wait for the answer.")] = 30,
    installation: _Operator = False,  # noqa: FBT002
    data_dir: _DataDir = None,
) -> None:
    """Send a harmless sample, that pages nobody; exit status 1 when it did not arrive."""
    caller = _Caller(data_dir, installation=installation)
    url = f"{_ROUTE}/{caller.find(channel)}"
    told = caller.post(f"{url}/test")
    until = time.monotonic() + wait_seconds
    while not told["tries"] and told["state"] == "due" and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
        told = caller.get(f"{url}/notifications/{told['notification_id']}")
    typer.echo(f"{told['state']}: {told['last_outcome'] or 'nobody has tried yet: does tracker-alerts run?'}")
    if told["state"] != "sent":
        raise typer.Exit(1)


def attempts(
    channel: _Channel,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 50,
    installation: _Operator = False,  # noqa: FBT002
    as_json: _Json = False,  # noqa: FBT002
    data_dir: _DataDir = None,
) -> None:
    """List the last attempts to deliver something over a channel, the newest first."""
    caller = _Caller(data_dir, installation=installation)
    found = caller.get(f"{_ROUTE}/{caller.find(channel)}/attempts", limit=limit)["data"]
    if as_json:
        for one in found:
            typer.echo(json.dumps(one))
        return
    table = _columns("At", "Notification", "Try", "Outcome")
    for one in found:
        outcome = " ".join(str(said) for said in (one["outcome"], one["reason"]) if said)
        at = one["ended_at"][:19].replace("T", " ")
        table.add_row(at, one["notification_id"], str(one["attempt"]), escape(outcome))
    print_table(table)


def resend(
    channel: _Channel,
    notification_id: Annotated[UUID, typer.Argument(metavar="NOTIFICATION")],
    installation: _Operator = False,  # noqa: FBT002
    data_dir: _DataDir = None,
) -> None:
    """Send a notification again, of a group its last; under its old key: who has it already drops it."""
    caller = _Caller(data_dir, installation=installation)
    told = caller.post(f"{_ROUTE}/{caller.find(channel)}/notifications/{notification_id}/resend")
    typer.echo(f"{told['state']}, after {counted(told['attempts'], 'attempt')}")


def add_to(alerts: typer.Typer) -> None:
    """Give `reprieve alerts` these commands."""
    alerts.add_typer(channels, name="channels")
    alerts.command("test")(send_sample)
    alerts.command()(attempts)
    alerts.command()(resend)


class _Caller:
    """Calls the tracker as an admin of the organization, or as the operator of the installation."""

    def __init__(self, data_dir: Path | None, *, installation: bool) -> None:
        self._stack = Stack.find(data_dir)
        self._role = "operator" if installation else "admin"

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        with self._stack.client("tracker", self._role) as tracker:
            found: dict[str, Any] = raise_for_problem(tracker.get(path, params=query)).json()
        return found

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        """Write once, whatever happens to the connection on the way."""
        with self._stack.client("tracker", self._role) as tracker:
            answer = tracker.post(path, json=body, headers={"Idempotency-Key": str(uuid4())})
            found: dict[str, Any] = raise_for_problem(answer).json()
        return found

    def find(self, channel: str) -> str:
        """Give the id of a channel by its name or id."""
        for one in self.get(_ROUTE)["data"]:
            if channel in (one["name"], one["channel_id"]):
                return str(one["channel_id"])
        raise NotFoundError(
            "There is no channel of this name or id.", remedy="`reprieve alerts channels` lists them."
        )


def _settings(given: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE; a value with commas in `recipients` is a list, digits in `port` a number."""
    found: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise InvalidInputError("A setting is written NAME=VALUE.", remedy="Such as --set channel=C0123.")
        found[name] = (
            [part.strip() for part in value.split(",")]
            if name == "recipients"
            else int(value)
            if name == "port" and value.isdecimal()
            else value
        )
    return found


def _secret(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError):
        raise InvalidInputError("The secret's file cannot be read.", remedy="Name another one.") from None
    if not text.strip():
        raise InvalidInputError("The file of the secret is empty.", remedy="Write the secret into it.")
    return text.strip()


def _show_secret(made: dict[str, Any]) -> None:
    if made["secret"]:
        typer.echo(f"{made['secret']}  (its signing secret: shown this once)")


def _state(one: dict[str, Any]) -> str:
    if one["state"] == "disabled":
        return f"disabled: {one['disabled_reason']}"
    if one["failing_since"]:
        since = one["failing_since"][:16].replace("T", " ")
        return f"failing since {since}: {one['last_failure']}"
    return "active" + (
        f", delivered {one['delivered_at'][:16].replace('T', ' ')}" if one["delivered_at"] else ""
    )


def _columns(*names: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 1, 0))
    for name in names:
        table.add_column(name, min_width=36 if name in ("Channel", "Notification") else None)
    return table
