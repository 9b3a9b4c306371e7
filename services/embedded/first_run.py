"""
What a fresh machine needs before its processes start: a migrated database, one organization, one
clearinghouse, a key for every role. Every step is safe to repeat, so a first run that was cut off goes on.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID
from zoneinfo import available_timezones

from sqlalchemy.ext.asyncio import AsyncEngine

from services.embedded.folder import Secrets
from services.embedded.plan import DATABASE
from services.embedded.postgres import EmbeddedPostgres
from services.embedded.up_file import UpFile
from shared.errors import InvalidInputError
from shared.postgres import create_engine
from shared.postgres.migrate import let_roles_log_in, upgrade
from shared.security import administration
from shared.security.administration import ROLES, Organization, Submitter
from shared.security.api_keys import read_api_key
from shared.security.payee_numbers import EVERY_PAYEE
from shared.security.sealing import MasterKey

_ORGANIZATION = "This machine"
_SUBMITTER = "local"
_FEED = "local"


@dataclass(frozen=True, slots=True)
class Site:
    """The one organization and clearinghouse of this machine; `keys` by role."""

    organization_id: UUID
    submitter_id: UUID
    feed: str
    keys: Mapping[str, str]


def prepare_database(postgres: EmbeddedPostgres, secrets: Secrets) -> None:
    """Create and migrate the database, and let the services' roles in. Call it outside an event loop."""
    owner = postgres.url("reprieve_owner", DATABASE)
    asyncio.run(postgres.ensure_database(DATABASE))
    upgrade(owner)
    passwords = {
        f"reprieve_{service}": getattr(secrets, service) for service in ("ingest", "triage", "tracker")
    }
    asyncio.run(let_roles_log_in(owner, passwords))


async def prepare_site(owner_url: str, master_key: str, last: UpFile | None) -> Site:
    """Make what is missing; keys of the last run that still open are kept."""
    engine = create_engine(owner_url, name="reprieve-up", pool_size=1)
    try:
        organization = await _organization(engine, MasterKey.from_text(master_key))
        await administration.register_payee(
            engine, organization_id=organization.organization_id, identifier=EVERY_PAYEE
        )
        submitter = await administration.create_submitter(engine, name=_SUBMITTER)
        keys = await _keys(engine, organization, submitter, dict(last.keys) if last else {})
    finally:
        await engine.dispose()
    return Site(organization.organization_id, submitter.submitter_id, _FEED, keys)


async def _organization(engine: AsyncEngine, master_key: MasterKey) -> Organization:
    for known in await administration.list_organizations(engine):
        if known.name == _ORGANIZATION:
            return known  # with the time zone of its first day, wherever the machine is now
    return await administration.create_organization(
        engine, name=_ORGANIZATION, time_zone=_zone_of_this_machine(), master_key=master_key
    )


async def _keys(
    engine: AsyncEngine, organization: Organization, submitter: Submitter, old: dict[str, str]
) -> dict[str, str]:
    open_prefixes = {key.prefix for key in await administration.list_keys(engine) if not key.revoked_at}
    keys: dict[str, str] = {}
    for role in ROLES:
        if role in old and _prefix(old[role]) in open_prefixes:
            keys[role] = old[role]
            continue
        made = await administration.create_principal_with_key(
            engine,
            role=role,
            name=f"{role} of this machine",
            organization_id=None if role in ("submitter", "operator") else organization.organization_id,
            submitter_id=submitter.submitter_id if role == "submitter" else None,
        )
        keys[role] = made.text
    return keys


def _prefix(key: str) -> str | None:
    try:
        return read_api_key(key)[0]
    except InvalidInputError:
        return None


def _zone_of_this_machine() -> str:
    """Name the machine's time zone as IANA does; UTC where the machine does not tell."""
    told = os.environ.get("TZ", "").lstrip(":")
    linked = Path("/etc/localtime").resolve().as_posix().partition("zoneinfo/")[2]
    known = available_timezones()
    return next((zone for zone in (told, linked) if zone in known), "UTC")
