"""`reprieve feeds`: the doors through which files come in, and what each one expects."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx2
import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from services.ingest.drop_commands import set_marker
from services.ingest.sftp_commands import sftp
from services.ingest.store.feeds import Acknowledgment, TestFiles
from shared.errors import InvalidInputError
from shared.http.client import Stack, raise_for_problem

feeds = typer.Typer(no_args_is_help=True, help="The doors through which your files come in.")
feeds.command("marker")(set_marker)
feeds.add_typer(sftp, name="sftp")

_NEVER = 0

_DataDir = Annotated[Path | None, typer.Option(help="Where `reprieve up` keeps its data (.reprieve).")]
_Submitter = Annotated[
    str | None, typer.Option("--submitter-id", help="Whose feed, when the key is an operator's.")
]
_Format = Annotated[
    Literal["table", "json"], typer.Option("--format", help="table for people; json: one feed a line.")
]
_Name = Annotated[str, typer.Argument(help="Lower-case letters, digits, dots, hyphens, underscores.")]
_Cadence = Annotated[
    int | None,
    typer.Option(
        "--cadence-hours", min=_NEVER, help="A file is expected at least this often; 0: at no time."
    ),
]
_Acknowledgment = Annotated[
    Acknowledgment | None, typer.Option("--acknowledgment", help="Which acknowledgments its sender wants.")
]
_TestFiles = Annotated[
    TestFiles | None,
    typer.Option("--test-files", help="Keep test files (ISA15 T) apart from production, or refuse them."),
]
_Aliases = Annotated[
    list[str] | None,
    typer.Option(
        "--payer-alias",
        metavar="SENT=KNOWN",
        help="A payer's name or id as sent = one that a policy knows; repeatable, replaces the list.",
    ),
]


@feeds.command("list")
def list_feeds(format_: _Format = "table", data_dir: _DataDir = None, submitter: _Submitter = None) -> None:
    """List feeds, and which of them are silent. Exit status 1: one is."""
    with _client(data_dir, submitter) as client:
        found = raise_for_problem(client.get("/v1/feeds")).json()["data"]
    if format_ == "json":
        _print_lines(found)
    else:
        Console().print(_table(found))
    raise typer.Exit(int(any(feed["silent"] for feed in found)))


@feeds.command("create")
def create_feed(
    name: _Name,
    cadence_hours: _Cadence = None,
    acknowledgment: _Acknowledgment = None,
    test_files: _TestFiles = None,
    payer_alias: _Aliases = None,
    data_dir: _DataDir = None,
    submitter: _Submitter = None,
) -> None:
    """
    Open a feed; one that is there already stays as it is.

    Exit status 1: it is there with other settings than the options name; `feeds edit` changes them.
    """
    wanted = _settings(cadence_hours, acknowledgment, test_files, payer_alias)
    with _client(data_dir, submitter) as client:
        feed = raise_for_problem(client.post("/v1/feeds", json={"name": name, **wanted})).json()
    typer.echo(f"{name}: {'created' if feed['created'] else 'was there already'}")
    other = [option for option, value in wanted.items() if not _is_so(feed[option], value)]
    if other:
        told = ", ".join(option.replace("_", " ") for option in other)
        typer.echo(
            f"  not as the options name it: {told}. `reprieve feeds edit {name}` changes it.", err=True
        )
        raise typer.Exit(1)


@feeds.command("show")
def show_feed(
    name: _Name, format_: _Format = "table", data_dir: _DataDir = None, submitter: _Submitter = None
) -> None:
    """Show one feed."""
    with _client(data_dir, submitter) as client:
        _print_feed(raise_for_problem(client.get(f"/v1/feeds/{name}")).json(), format_)


@feeds.command("edit")
def edit_feed(
    name: _Name,
    cadence_hours: _Cadence = None,
    acknowledgment: _Acknowledgment = None,
    test_files: _TestFiles = None,
    payer_alias: _Aliases = None,
    format_: _Format = "table",
    data_dir: _DataDir = None,
    submitter: _Submitter = None,
) -> None:
    """Change what the options name and leave the rest."""
    wanted = _settings(cadence_hours, acknowledgment, test_files, payer_alias)
    if not wanted:
        raise InvalidInputError("Nothing is to be changed.", remedy="Name an option; --help lists them.")
    with _client(data_dir, submitter) as client:
        _print_feed(raise_for_problem(client.patch(f"/v1/feeds/{name}", json=wanted)).json(), format_)


@feeds.command("sign")
def sign(name: _Name, data_dir: _DataDir = None, submitter: _Submitter = None) -> None:
    """Make a signing secret and print it, this once. From then on the feed takes signed requests only."""
    with _client(data_dir, submitter) as client:
        made = raise_for_problem(client.post(f"/v1/feeds/{name}/secrets")).json()
    typer.echo(made["secret"])
    typer.echo(f"It is not shown again. Its id is {made['secret_id']}.", err=True)


@feeds.command("unsign")
def unsign(
    name: _Name,
    secret_id: Annotated[str, typer.Argument(help="The secret's id; `reprieve feeds show` lists them.")],
    data_dir: _DataDir = None,
    submitter: _Submitter = None,
) -> None:
    """Forget a signing secret. A feed without any takes unsigned requests again."""
    with _client(data_dir, submitter) as client:
        raise_for_problem(client.delete(f"/v1/feeds/{name}/secrets/{secret_id}"))


@contextmanager
def _client(data_dir: Path | None, submitter_id: str | None) -> Iterator[httpx2.Client]:
    """Open a client that speaks as a submitter, or as the operator about the feeds of one."""
    role = "submitter" if submitter_id is None else "operator"
    with Stack.find(data_dir).client("ingest", role) as client:
        if submitter_id is not None:
            client.params = httpx2.QueryParams(submitter_id=submitter_id)
        yield client


def _settings(
    cadence_hours: int | None,
    acknowledgment: Acknowledgment | None,
    test_files: TestFiles | None,
    payer_alias: Sequence[str] | None,
) -> dict[str, Any]:
    wanted: dict[str, Any] = {"acknowledgment": acknowledgment, "test_files": test_files}
    if payer_alias is not None:
        wanted["payer_aliases"] = dict(_alias(one) for one in payer_alias if one)
    named = {key: value for key, value in wanted.items() if value is not None}
    return named if cadence_hours is None else {**named, "cadence_hours": cadence_hours or None}


def _is_so(kept: Any, wanted: Any) -> bool:
    """Compare a setting with what was asked for; what payers send is kept in capitals."""
    if isinstance(wanted, dict):
        wanted = {sent.upper(): known for sent, known in wanted.items()}
    return bool(kept == wanted)


def _alias(text: str) -> tuple[str, str]:
    sent, equals, known = text.partition("=")
    if not (sent.strip() and equals and known.strip()):
        raise InvalidInputError(
            "A payer alias is not of the form SENT=KNOWN.", remedy='For example: "BCBS OF X=BCBSX".'
        )
    return sent.strip(), known.strip()


def _print_lines(found: Sequence[Any]) -> None:
    for feed in found:
        typer.echo(msgspec.json.encode(feed).decode())


def _print_feed(feed: dict[str, Any], format_: str) -> None:
    if format_ == "json":
        _print_lines([feed])
        return
    Console().print(_table([feed]))
    for sent, known in feed["payer_aliases"].items():
        typer.echo(f"payer alias: {sent} = {known}")
    for secret in feed["signing_secrets"]:
        typer.echo(f"signing secret: {secret['secret_id']}, made {secret['created_at']}")


def _table(found: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("feed", "last file", "expected every", "acknowledgments", "test files", "signed", "notes"):
        table.add_column(column, overflow="fold")
    for feed in found:
        cadence = feed["cadence_hours"]
        table.add_row(
            feed["name"],
            _ago(feed),
            f"{cadence} h" if cadence else "-",
            feed["acknowledgment"],
            feed["test_files"],
            "yes" if feed["signing_secrets"] else "no",
            _notes(feed),
        )
    return table


def _notes(feed: dict[str, Any]) -> str:
    fetched = feed.get("fetched") or {}
    failing = [f"fetching fails: {fetched['failure']}"] if fetched.get("failure") else []
    return ", ".join([*(["silent"] if feed["silent"] else []), *failing])


def _ago(feed: dict[str, Any]) -> str:
    if feed["last_received_at"] is None:
        return "never"
    return f"{feed['silent_for_hours']:,.1f} h ago"
