"""
The `reprieve` command. It only names the sub-commands; each lives with the part that it belongs to.

A sub-command is imported when somebody calls it, so that `reprieve --help` answers at once and
`reprieve explain` never loads a web server.

Exit status: 0 done, 1 findings, 2 bad usage or unreadable input.
"""

import importlib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import typer

from shared.errors import InvalidInputError, ReprieveError

EXIT_UNREADABLE = 2
_INTERRUPTED = 130  # what shells expect of a program that Ctrl-C ended

_FILES = "Files, without a server"
_RUNNING = "The running stack"
_OPERATIONS = "Operations"


@dataclass(frozen=True, slots=True)
class Command:
    """One sub-command: `where` is module:attribute, a function or a Typer application."""

    name: str
    where: str
    summary: str
    panel: str


COMMANDS = (
    Command(
        "explain",
        "services.explain:explain",
        "Which denials can still be saved, until when, and why.",
        _FILES,
    ),
    Command("validate", "services.ingest.commands:validate", "What is wrong with an 835, and where.", _FILES),
    Command(
        "simulate", "services.ingest.commands:simulate", "Write a synthetic 835 with invented people.", _FILES
    ),
    Command(
        "codes",
        "services.triage.code_table:codes",
        "The reason codes and what Reprieve makes of them.",
        _FILES,
    ),
    Command(
        "policies", "services.triage.commands:policies", "The payers' rules: check, publish, what if.", _FILES
    ),
    Command("up", "services.embedded.up:up", "Start everything on this machine.", _RUNNING),
    Command(
        "push", "services.ingest.client_commands:push", "Send 835 files to ingest; safe to repeat.", _RUNNING
    ),
    Command("cases", "services.cases:cases", "The denials being worked: list, read, export.", _RUNNING),
    Command("worklist", "services.queues:worklist", "What to do next, in order, and why.", _RUNNING),
    Command("events", "services.queues:events", "What happened to cases, as it happened.", _RUNNING),
    Command("alerts", "services.alerts:alerts", "Who is told of what: look, silence, preview.", _RUNNING),
    Command(
        "reconcile",
        "services.reconcile:reconcile",
        "Prove that no claim and no dollar got lost.",
        _RUNNING,
    ),
    Command(
        "dlq",
        "services.reconcile:dlq",
        "Messages that were laid aside: list and replay them.",
        _RUNNING,
    ),
    Command(
        "quarantine",
        "services.ingest.quarantine_commands:quarantine",
        "Claims that could not be read: look, release, dismiss.",
        _RUNNING,
    ),
    Command(
        "replay",
        "services.ingest.replay_commands:replay",
        "Read remittances again after an update.",
        _RUNNING,
    ),
    Command("serve", "services.serve:serve", "Run one process of the installation.", _OPERATIONS),
    Command("db", "services.operations:db", "Migrate the database up or down.", _OPERATIONS),
    Command("topics", "services.operations:topics", "Create the Kafka topics.", _OPERATIONS),
    Command("orgs", "shared.security.commands:orgs", "Organizations and their payees.", _OPERATIONS),
    Command(
        "submitters", "shared.security.commands:submitters", "Clearinghouses that send files.", _OPERATIONS
    ),
    Command("feeds", "services.ingest.feed_commands:feeds", "Where files come from.", _OPERATIONS),
    Command(
        "people",
        "shared.security.people_commands:people",
        "Who signs in with a token, not a key.",
        _OPERATIONS,
    ),
    Command("keys", "services.key_rotation:keys", "API keys; a new master key.", _OPERATIONS),
    Command("purge", "services.purge:purge", "Destroy what is kept longer than it should be.", _OPERATIONS),
    Command(
        "audit", "services.audit:audit", "Is every entry of the audit logs there, as written?", _OPERATIONS
    ),
    Command("bench", "services.operations:bench", "Measure this machine.", _OPERATIONS),
)


def application(arguments: Sequence[str]) -> typer.Typer:
    """Build the command; of the sub-commands only the one that `arguments` call is loaded."""
    app = typer.Typer(
        name="reprieve",
        help="Finds the denials in X12 835 remittances that a missing, late or mismatched authorization "
        "caused, works out which the payer's own rules still let you save and until when, and follows each "
        "one to its end.",
        epilog="Exit status: 0 done, 1 findings, 2 bad usage or unreadable input.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    called = next((word for word in arguments if not word.startswith("-")), None)
    completing = "_REPRIEVE_COMPLETE" in os.environ
    for command in COMMANDS:
        if completing or command.name == called:
            _add(app, command)
        else:
            app.command(command.name, help=command.summary, rich_help_panel=command.panel)(_not_loaded)
    return app


def _show_version(asked: bool) -> None:  # noqa: FBT001  typer calls it
    if asked:
        print(f"reprieve {importlib.metadata.version('reprieve')}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(  # noqa: FBT001  the callback answers it
        False, "--version", help="Print the version and leave.", is_eager=True, callback=_show_version
    ),
) -> None:
    """Carry the help text of the command itself."""


def _not_loaded() -> None:
    raise AssertionError("a sub-command that is called is loaded first")


def _add(app: typer.Typer, command: Command) -> None:
    module, _, attribute = command.where.partition(":")
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not module.startswith("services.embedded"):
            raise
        raise InvalidInputError(
            f"This installation cannot run everything on one machine: {error.name} is not in it.",
            remedy="Use `make run` in the project's folder, or install reprieve[embedded].",
        ) from None
    found: typer.Typer | Callable[..., None] = getattr(loaded, attribute)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=command.name, help=command.summary, rich_help_panel=command.panel)
    else:
        app.command(command.name, rich_help_panel=command.panel)(found)


def main(begins: Callable[[], object] = lambda: None) -> NoReturn:
    """Run the command line and leave with its exit status; `begins` is called when its modules are read."""
    try:
        run = application(sys.argv[1:])
        begins()
        status = run(standalone_mode=True)
    except ReprieveError as error:
        print(f"reprieve: {error.message}", file=sys.stderr)
        if error.remedy:
            print(f"  {error.remedy}", file=sys.stderr)
        sys.exit(EXIT_UNREADABLE)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # The reader went away (`| head`) with what it wanted; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
