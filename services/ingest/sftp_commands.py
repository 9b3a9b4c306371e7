"""`reprieve feeds sftp`: which feeds are fetched from a server. For operators; secrets are no arguments."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store import sftp_pulls
from services.ingest.store.sftp_pulls import Afterwards, SecretKind, SftpPlace, SftpPull
from shared.errors import InvalidInputError
from shared.security import administration
from shared.security.commands import find_submitter, with_owner
from shared.security.key_check import check_owned_master_key
from shared.security.sealing import MasterKey
from shared.security.settings import (
    DEFAULT_DATA_DIR,
    DataDirOption,
    OrganizationSettings,
    read_administration,
)

sftp = typer.Typer(help="Feeds that ingest-worker fetches from an SFTP server.", no_args_is_help=True)

_PASSWORD = "REPRIEVE_SFTP_PASSWORD"  # noqa: S105  the name of a variable

_Submitter = Annotated[str, typer.Argument(help="Its name or id.")]
_Port = Annotated[int, typer.Option(min=1, max=65535)]


@sftp.command("set")
def set_place(
    submitter: _Submitter,
    feed: str,
    host: Annotated[str, typer.Option(help="Name or address of the server.")],
    user: Annotated[str, typer.Option(help="Who logs in.")],
    host_key: Annotated[
        str, typer.Option(help="The server's public key, one line, or a file that holds it: it is pinned.")
    ],
    port: _Port = 22,
    key_file: Annotated[
        Path | None,
        typer.Option(help="A private key without passphrase; without it a password is asked for."),
    ] = None,
    folder: Annotated[str, typer.Option(help="Where the files lie over there.")] = ".",
    pattern: Annotated[str, typer.Option(help="Which files, as a shell pattern.")] = "*",
    afterwards: Annotated[Afterwards, typer.Option(help="What is done there with a fetched file.")] = "move",
    done_folder: Annotated[str, typer.Option(help="Where `move` puts it, below the folder.")] = "done",
    poll_seconds: Annotated[int, typer.Option(min=1, max=86400)] = 60,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
) -> None:
    """
    Have a feed fetched from a server; replaces what was set before.

    The password comes from REPRIEVE_SFTP_PASSWORD or is asked for. The master key seals it, or the key.
    """
    from services.ingest.intake.sftp import read_host_key  # noqa: PLC0415  asyncssh takes a while to load

    settings = read_administration(OrganizationSettings, data_dir)
    line = Path(host_key).read_text().strip() if Path(host_key).is_file() else host_key.strip()
    read_host_key(line)
    place = SftpPlace(
        host=host,
        port=port,
        user_name=user,
        host_key=line,
        folder=folder.rstrip("/") or "/",
        pattern=pattern,
        afterwards=afterwards,
        done_folder=done_folder.strip("/"),
        poll_seconds=poll_seconds,
    )
    kind, secret = _secret(key_file)
    master_key = MasterKey.from_text(settings.master_key.get_secret_value())

    async def work(engine: AsyncEngine) -> None:
        found = await find_submitter(engine, submitter)
        await check_owned_master_key(engine, master_key)
        await sftp_pulls.set_pull(
            engine,
            master_key,
            submitter_id=found.submitter_id,
            feed=feed,
            place=place,
            secret_kind=kind,
            secret=secret,
        )

    with_owner(data_dir, work)
    typer.echo(f"{feed}: fetched from {host} every {poll_seconds} seconds")


@sftp.command("list")
def list_places(data_dir: DataDirOption = DEFAULT_DATA_DIR) -> None:
    """List the feeds that are fetched, and how that goes. Exit status 1: one fails."""

    async def work(engine: AsyncEngine) -> tuple[dict[str, str], list[SftpPull]]:
        names = {one.submitter_id: one.name for one in await administration.list_submitters(engine)}
        pulls = await sftp_pulls.list_pulls(engine, submitters=names)
        return {str(key): name for key, name in names.items()}, pulls

    names, pulls = with_owner(data_dir, work)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("submitter", "feed", "from", "last fetched", "fails since", "why"):
        table.add_column(column, overflow="fold")
    for pull in pulls:
        table.add_row(
            names[str(pull.submitter_id)],
            pull.feed,
            f"{pull.place.host}:{pull.place.port}",
            f"{pull.pulled_at:%Y-%m-%d %H:%M}" if pull.pulled_at else "never",
            f"{pull.failing_since:%Y-%m-%d %H:%M}" if pull.failing_since else "",
            pull.failure or "",
        )
    Console().print(table)
    raise typer.Exit(int(any(pull.failure for pull in pulls)))


@sftp.command("remove")
def remove_place(submitter: _Submitter, feed: str, data_dir: DataDirOption = DEFAULT_DATA_DIR) -> None:
    """Fetch a feed no more, and forget its secret."""

    async def work(engine: AsyncEngine) -> None:
        found = await find_submitter(engine, submitter)
        await sftp_pulls.remove_pull(engine, submitter_id=found.submitter_id, feed=feed)

    with_owner(data_dir, work)
    typer.echo(f"{feed}: not fetched any more")


@sftp.command("host-key")
def show_host_key(host: str, port: _Port = 22) -> None:
    """Show a server's host key. Compare the fingerprint with what its owner says before you pin it."""
    import asyncssh  # noqa: PLC0415

    try:
        key = asyncio.run(asyncio.wait_for(asyncssh.get_server_host_key(host, port, config=None), 20))
    except (OSError, asyncssh.Error) as error:
        raise InvalidInputError(
            "The server does not answer as an SFTP server does.", remedy="Check host and port."
        ) from error
    if key is None:
        raise InvalidInputError("The server shows no host key.", remedy="Check host and port.")
    typer.echo(key.export_public_key().decode().strip())
    typer.echo(key.get_fingerprint(), err=True)


def _secret(key_file: Path | None) -> tuple[SecretKind, bytes]:
    if key_file is None:
        password = os.environ.get(_PASSWORD) or typer.prompt("Password", hide_input=True, err=True)
        return "password", str(password).encode()
    from services.ingest.intake.sftp import read_private_key  # noqa: PLC0415

    try:
        secret = key_file.read_bytes()
    except OSError as error:
        raise InvalidInputError(
            "The key file cannot be read.", remedy="Check its path and rights."
        ) from error
    read_private_key(secret)
    return "key", secret
