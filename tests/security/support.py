"""Rows of the access schema, written by hand where a test is not about administration."""

from uuid import UUID, uuid4

from sqlalchemy import text

from shared.postgres import create_engine, transaction
from shared.security.api_keys import new_api_key
from tests.support.database import Database


async def a_key(database: Database, role: str, *, organization_id: UUID | None = None) -> str:
    """Make a principal of this role, with an organization or submitter of its own, and give its key."""
    key, principal_id, scope_id = new_api_key(), uuid4(), organization_id or uuid4()
    by_submitter, by_organization = role == "submitter", role not in ("submitter", "operator")
    engine = create_engine(database.owner, name="test")
    async with transaction(engine) as connection:
        if by_submitter:
            await connection.execute(
                text("insert into access.submitters (submitter_id, name) values (:id, :name)"),
                {"id": scope_id, "name": str(scope_id)},
            )
        if by_organization and organization_id is None:
            await connection.execute(
                text("insert into access.organizations values (:id, :name, 'UTC', 'x')"),
                {"id": scope_id, "name": str(scope_id)},
            )
        await connection.execute(
            text("insert into access.principals values (:id, 'test', :role, :organization, :submitter)"),
            {
                "id": principal_id,
                "role": role,
                "organization": scope_id if by_organization else None,
                "submitter": scope_id if by_submitter else None,
            },
        )
        await connection.execute(
            text(
                "insert into access.api_keys (prefix, secret_hash, principal_id) values (:prefix, :hash, :id)"
            ),
            {"prefix": key.prefix, "hash": key.secret_hash, "id": principal_id},
        )
    await engine.dispose()
    return key.text
