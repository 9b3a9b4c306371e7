"""`reprieve orgs`, `submitters` and `keys`: the operators' commands on the `access` schema."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import clock
from shared.errors import NotFoundError
from shared.postgres import create_engine
from shared.security import administration
from shared.security.administration import ROLES, ListedKey, NewKey, Organization, Submitter
from shared.security.sealing import MasterKey
from shared.security.settings import (
    DEFAULT_DATA_DIR,
    AdministrationSettings,
    DataDirOption,
    OrganizationSettings,
    read_administration,
)
from shared.terminal import print_table

orgs = typer.Typer(help="Organizations and the payees whose remittances are theirs.", no_args_is_help=True)
payee = typer.Typer(help="Payees of an organization.", no_args_is_help=True)
submitters = typer.Typer(help="Clearinghouses that send files.", no_args_is_help=True)
keys = typer.Typer(help="API keys.", no_args_is_help=True)
orgs.add_typer(payee, name="payee")

Result = TypeVar("Result")


class Format(StrEnum):
    """A table for people, or one JSON object a line for programs."""

    table = "table"
    json = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="table, or json (one object a line).")]


@orgs.command("create")
def create_organization(
    name: str,
    time_zone: Annotated[str, typer.Option(help="IANA name; the days of its clocks.")] = "America/New_York",
    payees: Annotated[list[str] | None, typer.Option("--payee", help="NPI, TIN or *; repeatable.")] = None,
    output: FormatOption = Format.table,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
) -> None:
    """Create an organization; safe to repeat."""
    settings = read_administration(OrganizationSettings, data_dir)
    master_key = MasterKey.from_text(settings.master_key.get_secret_value())

    async def work(engine: AsyncEngine) -> Organization:
        made = await administration.create_organization(
            engine, name=name, time_zone=time_zone, master_key=master_key
        )
        for identifier in payees or ():
            await administration.register_payee(
                engine, organization_id=made.organization_id, identifier=identifier
            )
        return await find_organization(engine, str(made.organization_id))

    show([with_owner(data_dir, work)], Organization, output)


@orgs.command("list")
def list_organizations(
    output: FormatOption = Format.table, data_dir: DataDirOption = DEFAULT_DATA_DIR
) -> None:
    """List the organizations with their payees."""
    show(with_owner(data_dir, administration.list_organizations), Organization, output)


@orgs.command("retention")
def set_retention(
    organization: str,
    days: Annotated[
        int | None, typer.Option(help="How long what it received is kept, 31 at least; omit: for ever.")
    ] = None,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
) -> None:
    """Say after how many days `reprieve purge` destroys an organization's raw files and names."""

    async def work(engine: AsyncEngine) -> None:
        found = await find_organization(engine, organization)
        await administration.set_retention(engine, organization_id=found.organization_id, days=days)

    with_owner(data_dir, work)
    print(f"{organization}: kept {f'for {days} days' if days else 'for ever'}")


@payee.command("add")
def add_payee(organization: str, identifiers: list[str], data_dir: DataDirOption = DEFAULT_DATA_DIR) -> None:
    """Register payees (NPI, TIN or *) for an organization, given by name or id; safe to repeat."""

    async def work(engine: AsyncEngine) -> Organization:
        found = await find_organization(engine, organization)
        for identifier in identifiers:
            await administration.register_payee(
                engine, organization_id=found.organization_id, identifier=identifier
            )
        return await find_organization(engine, organization)

    show([with_owner(data_dir, work)], Organization, Format.table)


@payee.command("remove")
def remove_payee(
    organization: str, identifiers: list[str], data_dir: DataDirOption = DEFAULT_DATA_DIR
) -> None:
    """
    Take payees away from an organization, to move them: `payee add` gives them to another.

    What was read stays where it is. What comes in between is held, and released by `payee add`; in the first
    ten seconds a running ingest-worker may still read something for the organization.
    """

    async def work(engine: AsyncEngine) -> Organization:
        found = await find_organization(engine, organization)
        for identifier in identifiers:
            await administration.remove_payee(
                engine, organization_id=found.organization_id, identifier=identifier
            )
        return await find_organization(engine, organization)

    show([with_owner(data_dir, work)], Organization, Format.table)


@submitters.command("create")
def create_submitter(
    name: str, output: FormatOption = Format.table, data_dir: DataDirOption = DEFAULT_DATA_DIR
) -> None:
    """Create a submitter; safe to repeat."""
    made = with_owner(data_dir, lambda engine: administration.create_submitter(engine, name=name))
    show([made], Submitter, output)


@submitters.command("list")
def list_submitters(output: FormatOption = Format.table, data_dir: DataDirOption = DEFAULT_DATA_DIR) -> None:
    """List the submitters."""
    show(with_owner(data_dir, administration.list_submitters), Submitter, output)


@keys.command("create")
def create_key(
    role: Annotated[str, typer.Option(help=", ".join(ROLES))],
    name: Annotated[str, typer.Option(help="Who or what uses the key.")],
    organization: Annotated[str | None, typer.Option(help="Its name or id.")] = None,
    submitter: Annotated[str | None, typer.Option(help="Its name or id.")] = None,
    expires_in_days: Annotated[int, typer.Option(min=1, max=3650, help="How long the key lives.")] = 365,
    output: FormatOption = Format.table,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
) -> None:
    """Make a key. It is shown once, on standard output, and stored nowhere."""

    async def work(engine: AsyncEngine) -> NewKey:
        place = {
            "organization_id": (await find_organization(engine, organization)).organization_id
            if organization
            else None,
            "submitter_id": (await find_submitter(engine, submitter)).submitter_id if submitter else None,
        }
        expires_at = clock.now() + timedelta(days=expires_in_days)
        return await administration.create_principal_with_key(
            engine, role=role, name=name, expires_at=expires_at, **place
        )

    made = with_owner(data_dir, work)
    if output is Format.json:
        show([made], NewKey, output)
        return
    print(made.text)
    until = f"{made.expires_at:%Y-%m-%d}" if made.expires_at else "it is revoked"
    Console(stderr=True).print(f"This key is shown once. It is valid until {until}.")


@keys.command("list")
def list_keys(output: FormatOption = Format.table, data_dir: DataDirOption = DEFAULT_DATA_DIR) -> None:
    """List the keys by their prefixes, which are no secret."""
    show(with_owner(data_dir, administration.list_keys), ListedKey, output)


@keys.command("revoke")
def revoke_key(prefix: str, data_dir: DataDirOption = DEFAULT_DATA_DIR) -> None:
    """Let a key open nothing any more; safe to repeat."""
    with_owner(data_dir, lambda engine: administration.revoke_key(engine, prefix=prefix))
    Console(stderr=True).print("Revoked. Running processes forget the key within ten seconds.")


def with_owner(data_dir: Path, work: Callable[[AsyncEngine], Awaitable[Result]]) -> Result:
    """Do one piece of work as the owner of the tables."""
    url = read_administration(AdministrationSettings, data_dir).admin_database_url.get_secret_value()

    async def run() -> Result:
        engine = create_engine(url, name="reprieve-administration", pool_size=2)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    return asyncio.run(run())


async def find_organization(engine: AsyncEngine, name_or_id: str) -> Organization:
    for one in await administration.list_organizations(engine):
        if name_or_id in (one.name, str(one.organization_id)):
            return one
    raise NotFoundError("There is no such organization.", remedy="`reprieve orgs list` shows them.")


async def find_submitter(engine: AsyncEngine, name_or_id: str) -> Submitter:
    for one in await administration.list_submitters(engine):
        if name_or_id in (one.name, str(one.submitter_id)):
            return one
    raise NotFoundError("There is no such submitter.", remedy="`reprieve submitters list` shows them.")


def show(rows: Sequence[Any], kind: type[Any], output: Format) -> None:
    """Print rows of one dataclass: a table whose columns are its fields, or JSON lines."""
    if output is Format.json:
        for row in rows:
            print(msgspec.json.encode(asdict(row)).decode())
        return
    # A column in which nothing stands only takes the others' room.
    names = [
        column.name
        for column in fields(kind)
        if not rows or any(_cell(getattr(row, column.name)) for row in rows)
    ]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        whole = name.endswith("_id") or name == "prefix"  # these are copied into the next command
        table.add_column(name.replace("_", " "), no_wrap=whole or name.endswith("_at"))
    for row in rows:
        table.add_row(*(_cell(getattr(row, name)) for name in names))
    print_table(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:%Y-%m-%d}" if isinstance(value, datetime) else str(value)
