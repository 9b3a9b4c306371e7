"""Commands for who runs the installation: `db`, `topics`, `bench`."""

import asyncio
import os
import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from shared.errors import InvalidInputError, NotFoundError, UnavailableError
from shared.security.settings import (
    DEFAULT_DATA_DIR,
    AdministrationSettings,
    DataDirOption,
    read_administration,
)

db = typer.Typer(
    no_args_is_help=True, help="Migrate the database of REPRIEVE_ADMIN_DATABASE_URL, or of `reprieve up`."
)
topics = typer.Typer(no_args_is_help=True, help="The Kafka topics. Needs REPRIEVE_KAFKA_BOOTSTRAP_SERVERS.")

_BENCHES = (
    "reading",
    "memory",
    "doors",
    "deciding",
    "triaging",
    "recording",
    "worklist",
    "alerting",
    "end_to_end",
)


def _from_environment(name: str, meaning: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise InvalidInputError(f"{name} is not set.", remedy=f"Set it to {meaning}.")
    return value


def _admin_url(data_dir: Path) -> str:
    return read_administration(AdministrationSettings, data_dir).admin_database_url.get_secret_value()


@contextmanager
def _database_answers() -> Iterator[None]:
    try:
        yield
    except ConnectionError as error:
        raise UnavailableError(
            "The database does not answer.", remedy="Start it, or `reprieve up`, and try again."
        ) from error


@db.command()
def upgrade(
    revision: Annotated[str, typer.Argument(help="Where to go; the newest by default.")] = "head",
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
) -> None:
    """
    Migrate up, then give the services' roles their passwords.

    Roles whose REPRIEVE_INGEST_PASSWORD, REPRIEVE_TRIAGE_PASSWORD or REPRIEVE_TRACKER_PASSWORD is set
    may log in with it afterwards; the others stay as they are. The key in REPRIEVE_ALERTS_METRICS_KEY is
    registered as an operator's, with which tracker-alerts reads the metrics of the others.
    """
    from shared.postgres import migrate  # noqa: PLC0415  Alembic takes a while to load

    url = _admin_url(data_dir)
    with _database_answers():
        migrate.upgrade(url, revision)
    passwords = {
        f"reprieve_{service}": password
        for service in ("ingest", "triage", "tracker")
        if (password := os.environ.get(f"REPRIEVE_{service.upper()}_PASSWORD"))
    }
    asyncio.run(migrate.let_roles_log_in(url, passwords))
    if revision == "head" and (key := os.environ.get("REPRIEVE_ALERTS_METRICS_KEY")):
        asyncio.run(_register(url, key))
    typer.echo(f"Migrated to {revision}; {len(passwords)} of 3 roles were given a password.")


async def _register(url: str, key: str) -> None:
    from shared.postgres import create_engine  # noqa: PLC0415  as above
    from shared.security.administration import register_key  # noqa: PLC0415

    engine = create_engine(url, name="reprieve-db", pool_size=1)
    try:
        await register_key(engine, key, role="operator", name="tracker-alerts")
    finally:
        await engine.dispose()


@db.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="Where to go back to; `base` removes everything.")],
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
) -> None:
    """Migrate down. What the removed tables held is gone: take a backup first."""
    from shared.postgres import migrate  # noqa: PLC0415

    with _database_answers():
        migrate.downgrade(_admin_url(data_dir), revision)
    typer.echo(f"Migrated down to {revision}.")


@db.command()
def refold(data_dir: DataDirOption = DEFAULT_DATA_DIR) -> None:
    """
    Fold every case anew from the ledger, once after an upgrade that says so.

    It fills what a later release shows or finds cases by. What people did stays; cases that change are told
    as changed. May run beside the services, be stopped and be repeated.
    """
    from services.refolding import refold as fold_all  # noqa: PLC0415
    from shared.security.commands import with_owner  # noqa: PLC0415

    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("claims", total=None)
        changed = with_owner(
            data_dir, lambda engine: fold_all(engine, show=lambda count: progress.advance(task, count))
        )
    typer.echo(f"{changed:,} cases changed.")


@topics.command()
def create() -> None:
    """Create every topic and dead-letter topic that is missing; safe to repeat."""
    from shared.kafka.topics import create_topics  # noqa: PLC0415

    bootstrap = _from_environment("REPRIEVE_KAFKA_BOOTSTRAP_SERVERS", "host:port of a broker")
    created = asyncio.run(create_topics(bootstrap))
    typer.echo(f"Created: {', '.join(created)}." if created else "Every topic exists already.")


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[reading|memory|doors|deciding|triaging|recording|worklist|alerting|end_to_end]…"
        ),
    ] = None,
) -> None:
    """
    Measure this machine and print the figures; all benches when none is named.

    Run it in the project's folder.
    """
    for name in names or _BENCHES:
        script = Path("bench") / f"{name}.py"
        if name not in _BENCHES or not script.is_file():
            raise NotFoundError(
                f"There is no bench {name} here.",
                remedy=f"In the project's folder are: {', '.join(_BENCHES)}.",
            )
        runpy.run_path(str(script), run_name="__main__")
