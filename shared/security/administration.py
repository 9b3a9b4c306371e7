"""
Administration of the `access` schema: organizations, payees, submitters, principals and their keys.

It runs as the owner of the tables, from the operators' command line; no service can do any of this.
Creating what exists already gives what exists, so that scripts may be repeated.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args
from uuid import UUID, uuid4
from zoneinfo import available_timezones

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.errors import ConflictError, InvalidInputError, NotFoundError
from shared.postgres import rows, transaction
from shared.security.api_keys import new_api_key, read_api_key
from shared.security.key_check import check_owned_master_key
from shared.security.keyring import index_key_context
from shared.security.payee_numbers import check_npi, plain_payee
from shared.security.principals import Role
from shared.security.sealing import KEY_BYTES, MasterKey

ROLES: tuple[Role, ...] = get_args(Role)
RETENTION_DAYS_MIN, RETENTION_DAYS_MAX = 31, 36_500


@dataclass(frozen=True, slots=True)
class Organization:
    """A provider organization. Its calendar days are those of `time_zone`."""

    organization_id: UUID
    name: str
    time_zone: str
    payees: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Submitter:
    """A clearinghouse that sends files."""

    submitter_id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `text` is shown once and stored nowhere."""

    text: str = field(repr=False)
    prefix: str
    principal_id: UUID
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class ListedKey:
    """What can be told of a key: never its secret."""

    prefix: str
    name: str
    role: Role
    organization: str | None
    submitter: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


async def create_organization(
    engine: AsyncEngine, *, name: str, time_zone: str, master_key: MasterKey
) -> Organization:
    """
    Create an organization with its own index key, or give the one of that name.

    Raises ConflictError when it exists with another time zone, InvalidInputError when the master key is not
    the installation's.
    """
    await check_owned_master_key(engine, master_key)
    name = clean_name(name)
    if time_zone not in available_timezones():
        raise InvalidInputError("This is no time zone.", remedy="Use an IANA name, such as America/Chicago.")
    organization_id = uuid4()
    wrapped = master_key.wrap(os.urandom(KEY_BYTES), context=index_key_context(organization_id))
    async with transaction(engine) as connection:
        added = await connection.execute(
            _ADD_ORGANIZATION, {"id": organization_id, "name": name, "zone": time_zone, "wrapped": wrapped}
        )
        if added.rowcount:
            await note(connection, "organization_created", organization_id)
        (found,) = await rows(connection, _ORGANIZATIONS + " where o.name = :name", name=name)
    if found.time_zone != time_zone:
        raise ConflictError(
            f"The organization exists with the time zone {found.time_zone}.",
            remedy="Create it under another name, or leave it as it is.",
        )
    return _organization(found)


async def list_organizations(engine: AsyncEngine) -> list[Organization]:
    async with transaction(engine) as connection:
        return [_organization(row) for row in await rows(connection, _ORGANIZATIONS + " order by o.name")]


async def set_retention(engine: AsyncEngine, *, organization_id: UUID, days: int | None) -> None:
    """
    Say after how many days `reprieve purge` destroys what it received; None: never.

    Raises InvalidInputError for less than a month: names are sealed by the month, and go by the month.
    """
    if days is not None and not RETENTION_DAYS_MIN <= days <= RETENTION_DAYS_MAX:
        raise InvalidInputError(
            f"A retention has {RETENTION_DAYS_MIN} to {RETENTION_DAYS_MAX:,} days.",
            remedy="Names are sealed by the month and cannot go sooner; without days it keeps everything.",
        )
    async with transaction(engine) as connection:
        await connection.execute(_SET_RETENTION, {"organization": organization_id, "days": days})
        await note(connection, "retention_set", organization_id, days=str(days or "for ever"))


async def register_payee(engine: AsyncEngine, *, organization_id: UUID, identifier: str) -> str:
    """
    Send this payee's transaction sets to the organization; gives the identifier as registered.

    An NPI has 10 digits, a TIN 9 (hyphens are taken out), `*` is every payee that nobody registered.
    Raises InvalidInputError for an NPI with a wrong check digit, ConflictError when the payee belongs to
    another organization.
    """
    identifier = plain_payee(identifier)
    check_npi(identifier)
    async with transaction(engine) as connection:
        added = await connection.execute(
            _ADD_PAYEE, {"identifier": identifier, "organization": organization_id}
        )
        if added.rowcount:
            await note(connection, "payee_added", organization_id, payee=identifier)
        owner = await connection.scalar(_OWNER_OF_PAYEE, {"identifier": identifier})
    if owner is None:
        raise NotFoundError("There is no such organization.", remedy="`reprieve orgs list` shows them.")
    if owner != organization_id:
        raise ConflictError(
            "This payee is registered for another organization.",
            remedy="`reprieve orgs list` shows which; `reprieve orgs payee remove` takes it away there.",
        )
    return identifier


async def remove_payee(engine: AsyncEngine, *, organization_id: UUID, identifier: str) -> str:
    """
    Send this payee's transaction sets to the organization no more; gives the identifier.

    What was read stays with the organization, and what comes is held, until somebody registers the payee.
    Raises NotFoundError when it is not the organization's.
    """
    identifier = plain_payee(identifier)
    async with transaction(engine) as connection:
        asked = {"identifier": identifier, "organization": organization_id}
        if not (await connection.execute(_REMOVE_PAYEE, asked)).rowcount:
            raise NotFoundError(
                "This payee is not registered for the organization.",
                remedy="`reprieve orgs list` shows each organization's payees.",
            )
        await note(connection, "payee_removed", organization_id, payee=identifier)
    return identifier


async def note(
    connection: AsyncConnection, action: str, organization_id: UUID | None = None, **detail: str
) -> None:
    """Write to the chained log of operations what was done, in the transaction that does it."""
    place = {"organization_id": str(organization_id)} if organization_id else {}
    await connection.execute(_NOTE, {"action": action, "detail": json.dumps(place | detail)})


async def create_submitter(engine: AsyncEngine, *, name: str) -> Submitter:
    """Create a submitter, or give the one of that name."""
    async with transaction(engine) as connection:
        added = await connection.execute(_ADD_SUBMITTER, {"id": uuid4(), "name": clean_name(name)})
        (found,) = await rows(connection, _SUBMITTERS + " where name = :name", name=clean_name(name))
        if added.rowcount:
            await note(connection, "submitter_created", submitter_id=str(found.submitter_id))
    return Submitter(found.submitter_id, found.name)


async def list_submitters(engine: AsyncEngine) -> list[Submitter]:
    async with transaction(engine) as connection:
        found = await rows(connection, _SUBMITTERS + " order by name")
    return [Submitter(row.submitter_id, row.name) for row in found]


async def create_principal_with_key(
    engine: AsyncEngine,
    *,
    role: str,
    name: str,
    organization_id: UUID | None = None,
    submitter_id: UUID | None = None,
    expires_at: datetime | None = None,
) -> NewKey:
    """
    Make a key for the principal of this name, role and place; the principal is made once, a key at each call.

    A submitter's key needs `submitter_id`, an operator's neither id, every other one `organization_id`.
    """
    check_place(role, organization_id, submitter_id)
    key = new_api_key()
    place = {
        "name": clean_name(name),
        "role": role,
        "organization": organization_id,
        "submitter": submitter_id,
    }
    async with transaction(engine) as connection:
        await check_exists(connection, organization_id, submitter_id)
        principal_id = await connection.scalar(_FIND_PRINCIPAL, place)
        if principal_id is None:
            principal_id = await connection.scalar(_ADD_PRINCIPAL, {"id": uuid4(), **place})
        await connection.execute(
            _ADD_KEY,
            {
                "prefix": key.prefix,
                "hash": key.secret_hash,
                "principal": principal_id,
                "expires_at": expires_at,
            },
        )
        await note(connection, "key_created", prefix=key.prefix, role=role, principal_id=str(principal_id))
    return NewKey(
        text=key.text, prefix=key.prefix, principal_id=UUID(str(principal_id)), expires_at=expires_at
    )


async def register_key(engine: AsyncEngine, key: str, *, role: str, name: str) -> None:
    """
    Let in a key that was made elsewhere, for a principal of the installation; a known one stays as it is.

    Raises UnauthenticatedError when the text is no key.
    """
    check_place(role, None, None)
    prefix, secret_hash = read_api_key(key)
    place = {"name": clean_name(name), "role": role, "organization": None, "submitter": None}
    async with transaction(engine) as connection:
        if await connection.scalar(_KNOWN_KEY, {"prefix": prefix}):
            return
        principal_id = await connection.scalar(_FIND_PRINCIPAL, place)
        if principal_id is None:
            principal_id = await connection.scalar(_ADD_PRINCIPAL, {"id": uuid4(), **place})
        await connection.execute(
            _ADD_KEY,
            {"prefix": prefix, "hash": secret_hash, "principal": principal_id, "expires_at": None},
        )
        await note(connection, "key_registered", prefix=prefix, role=role, principal_id=str(principal_id))


async def revoke_key(engine: AsyncEngine, *, prefix: str) -> None:
    """
    Let a key open nothing any more; doing it twice changes nothing.

    Processes that saw it in the last ten seconds believe it so long. Raises NotFoundError.
    """
    async with transaction(engine) as connection:
        if await connection.scalar(_REVOKE, {"prefix": prefix.removeprefix("rpv_")}) is None:
            raise NotFoundError("There is no such key.", remedy="`reprieve keys list` shows the prefixes.")
        await note(connection, "key_revoked", prefix=prefix.removeprefix("rpv_"))


async def list_keys(engine: AsyncEngine) -> list[ListedKey]:
    async with transaction(engine) as connection:
        return [ListedKey(*row) for row in await rows(connection, _KEYS)]


def check_place(role: str, organization_id: UUID | None, submitter_id: UUID | None) -> None:
    """Hold the rule of the table access.principals before the database does, with a better text."""
    if role not in ROLES:
        raise InvalidInputError("There is no such role.", remedy=f"The roles are {', '.join(ROLES)}.")
    wanted = {"submitter": (False, True), "operator": (False, False)}.get(role, (True, False))
    if (organization_id is not None, submitter_id is not None) != wanted:
        place = {"submitter": "exactly a submitter", "operator": "neither organization nor submitter"}
        raise InvalidInputError(
            f"A key of the role {role} is bound to {place.get(role, 'exactly an organization')}.",
            remedy="Name it, and nothing else.",
        )


async def check_exists(
    connection: AsyncConnection, organization_id: UUID | None, submitter_id: UUID | None
) -> None:
    found: Sequence[Any] = await rows(
        connection,
        "select 1 from access.organizations where organization_id = :organization union all "
        "select 1 from access.submitters where submitter_id = :submitter",
        organization=organization_id,
        submitter=submitter_id,
    )
    if (organization_id or submitter_id) and not found:
        raise NotFoundError(
            "There is no such organization or submitter.",
            remedy="`reprieve orgs list` and `reprieve submitters list` show them.",
        )


def clean_name(name: str) -> str:
    cleaned = " ".join(name.split())
    if not cleaned or len(cleaned) > 200 or not cleaned.isprintable():
        raise InvalidInputError("A name has 1 to 200 printable characters.")
    return cleaned


def _organization(row: Any) -> Organization:
    return Organization(row.organization_id, row.name, row.time_zone, tuple(row.payees))


_ORGANIZATIONS = """
    select o.organization_id, o.name, o.time_zone, array(
        select p.identifier from access.payees p where p.organization_id = o.organization_id order by 1
    ) as payees
    from access.organizations o
"""
_SUBMITTERS = "select submitter_id, name from access.submitters"
_KEYS = """
    select k.prefix, p.name, p.role, o.name as organization, s.name as submitter,
        k.created_at, k.expires_at, k.revoked_at, k.last_used_at
    from access.api_keys k join access.principals p using (principal_id)
    left join access.organizations o on o.organization_id = p.organization_id
    left join access.submitters s on s.submitter_id = p.submitter_id
    order by k.created_at, k.prefix
"""
_ADD_ORGANIZATION = text("""
    insert into access.organizations (organization_id, name, time_zone, wrapped_index_key)
    values (:id, :name, :zone, :wrapped) on conflict (name) do nothing
""")
_SET_RETENTION = text("""
    update access.organizations set retention_days = cast(:days as integer)
    where organization_id = :organization
""")
_ADD_PAYEE = text("""
    insert into access.payees (identifier, organization_id)
    select cast(:identifier as text), organization_id from access.organizations
    where organization_id = :organization
    on conflict do nothing
""")
_REMOVE_PAYEE = text("""
    delete from access.payees where identifier = :identifier and organization_id = :organization
""")
_NOTE = text("insert into access.operations_log (action, detail) values (:action, cast(:detail as jsonb))")
_OWNER_OF_PAYEE = text("select organization_id from access.payees where identifier = :identifier")
_ADD_SUBMITTER = text("""
    insert into access.submitters (submitter_id, name) values (:id, :name) on conflict (name) do nothing
""")
_FIND_PRINCIPAL = text("""
    select principal_id from access.principals
    where name = :name and role = :role
        and organization_id is not distinct from cast(:organization as uuid)
        and submitter_id is not distinct from cast(:submitter as uuid)
    order by created_at limit 1
""")
_ADD_PRINCIPAL = text("""
    insert into access.principals (principal_id, name, role, organization_id, submitter_id)
    values (:id, :name, :role, :organization, :submitter) returning principal_id
""")
_ADD_KEY = text("""
    insert into access.api_keys (prefix, secret_hash, principal_id, expires_at)
    values (:prefix, :hash, :principal, :expires_at)
""")
_KNOWN_KEY = text("select exists (select from access.api_keys where prefix = :prefix)")
_REVOKE = text("""
    update access.api_keys set revoked_at = coalesce(revoked_at, now())
    where prefix = :prefix returning prefix
""")
