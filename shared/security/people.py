"""Who may sign in with a token of an issuer, and as what: rows of access.people, kept by operators."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import ConflictError, InvalidInputError, NotFoundError
from shared.postgres import rows, transaction
from shared.security.administration import check_exists, check_place, clean_name, note
from shared.security.oidc import SUBJECT_LENGTH_MAX
from shared.security.principals import Role


@dataclass(frozen=True, slots=True)
class ListedPerson:
    """One who may sign in; `removed_at` is set once that ended."""

    subject: str
    issuer: str
    name: str
    role: Role
    organization: str | None
    added_at: datetime
    removed_at: datetime | None


async def add_person(
    engine: AsyncEngine,
    *,
    issuer: str,
    subject: str,
    name: str,
    role: str,
    organization_id: UUID | None,
) -> None:
    """
    Let somebody sign in. Safe to repeat, with the same role and organization.

    Raises ConflictError when the subject is known with another role or organization: the old one's deeds
    stand in the audit logs under its id, so a new role is a new principal, after `remove_person`.
    """
    check_place(role, organization_id, None)
    if role == "submitter":
        raise InvalidInputError("A clearinghouse signs in with a key.", remedy="`reprieve keys create`.")
    if not 0 < len(subject) <= SUBJECT_LENGTH_MAX or not subject.isprintable():
        raise InvalidInputError(f"A subject has 1 to {SUBJECT_LENGTH_MAX} printable characters.")
    asked = {
        "issuer": issuer,
        "subject": subject,
        "id": uuid4(),
        "name": clean_name(name),
        "role": role,
        "organization": organization_id,
    }
    async with transaction(engine) as connection:
        await check_exists(connection, organization_id, None)
        (known,) = await rows(connection, _KNOWN, issuer=issuer, subject=subject) or (None,)
        if known is not None and known.removed_at is None:
            if (known.role, known.organization_id) != (role, organization_id):
                raise ConflictError(
                    "This person is on the list with another role or organization.",
                    remedy="`reprieve people remove` first; what was done stays under the old role.",
                )
            return
        await connection.execute(_ADD_PRINCIPAL, asked)
        await connection.execute(_ADD, asked)
        await note(connection, "person_added", role=role, principal_id=str(asked["id"]))


async def remove_person(engine: AsyncEngine, *, issuer: str, subject: str) -> None:
    """Let somebody sign in no more; twice changes nothing. Raises NotFoundError for a stranger."""
    async with transaction(engine) as connection:
        (known,) = await rows(connection, _KNOWN, issuer=issuer, subject=subject) or (None,)
        if known is None:
            raise NotFoundError("Nobody is listed so.", remedy="`reprieve people list` shows the subjects.")
        if known.removed_at is None:
            await connection.execute(_REMOVE, {"issuer": issuer, "subject": subject})
            await note(connection, "person_removed", principal_id=str(known.principal_id))


async def list_people(engine: AsyncEngine) -> list[ListedPerson]:
    async with transaction(engine) as connection:
        return [ListedPerson(*row) for row in await rows(connection, _PEOPLE)]


_KNOWN = """
    select principal_id, role, organization_id, removed_at
    from access.people join access.principals using (principal_id)
    where issuer = :issuer and subject = :subject
"""
_PEOPLE = """
    select e.subject, e.issuer, p.name, p.role, o.name as organization, e.added_at, e.removed_at
    from access.people e join access.principals p using (principal_id)
    left join access.organizations o using (organization_id)
    order by e.issuer, e.subject
"""
_ADD_PRINCIPAL = text("""
    insert into access.principals (principal_id, name, role, organization_id)
    values (:id, :name, :role, :organization)
""")
_ADD = text("""
    insert into access.people (issuer, subject, principal_id) values (:issuer, :subject, :id)
    on conflict (issuer, subject) do update
        set principal_id = excluded.principal_id, added_at = now(), removed_at = null
""")
_REMOVE = text("update access.people set removed_at = now() where issuer = :issuer and subject = :subject")
