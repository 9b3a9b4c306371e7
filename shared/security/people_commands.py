"""`reprieve people`: who may sign in with a token of the organization's own identity provider."""

from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.security import people as store
from shared.security.administration import ROLES
from shared.security.commands import Format, FormatOption, find_organization, show, with_owner
from shared.security.people import ListedPerson
from shared.security.settings import DEFAULT_DATA_DIR, DataDirOption

people = typer.Typer(
    help="Who may sign in with a token of an OpenID Connect issuer (REPRIEVE_OIDC_ISSUER), and as what.",
    no_args_is_help=True,
)
Issuer = Annotated[
    str, typer.Option(envvar="REPRIEVE_OIDC_ISSUER", help="As in the token's `iss`, to the letter.")
]
Subject = Annotated[
    str, typer.Argument(help="As in the token's `sub`, or the claim of REPRIEVE_OIDC_SUBJECT_CLAIM.")
]


@people.command("add")
def add_person(
    subject: Subject,
    issuer: Issuer,
    role: Annotated[str, typer.Option(help=", ".join(one for one in ROLES if one != "submitter"))],
    name: Annotated[str, typer.Option(help="The person's name, for lists.")],
    organization: Annotated[str | None, typer.Option(help="Its name or id; none for an operator.")] = None,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
) -> None:
    """Let somebody sign in; safe to repeat."""

    async def work(engine: AsyncEngine) -> None:
        place = (await find_organization(engine, organization)).organization_id if organization else None
        await store.add_person(
            engine, issuer=issuer, subject=subject, name=name, role=role, organization_id=place
        )

    with_owner(data_dir, work)
    Console(stderr=True).print("Done. Services that know the issuer let this person in from now on.")


@people.command("remove")
def remove_person(subject: Subject, issuer: Issuer, data_dir: DataDirOption = DEFAULT_DATA_DIR) -> None:
    """Let somebody sign in no more; safe to repeat."""
    with_owner(data_dir, lambda engine: store.remove_person(engine, issuer=issuer, subject=subject))
    Console(stderr=True).print("Removed. Running processes forget the person within ten seconds.")


@people.command("list")
def list_people(output: FormatOption = Format.table, data_dir: DataDirOption = DEFAULT_DATA_DIR) -> None:
    """List who may sign in, and who might."""
    show(with_owner(data_dir, store.list_people), ListedPerson, output)
