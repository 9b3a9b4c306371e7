"""
Policies as somebody wrote them, each version for ever, so that an old decision can be recomputed.

Versions of a policy are numbered from 1 in each scope: the installation's, and each organization's own. The
policies that Reprieve ships are kept under the installation's numbers as `reference` when a release first
runs; they are in force without being published.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.triage.domain.policy_file import PolicyFile
from services.triage.store.policy_sets import INSTALLATION, digest_of
from shared.clock import now

Status = Literal["reference", "draft", "published", "retired"]
Layer = Literal["installation", "organization"]

_COLUMNS = """
    organization_id, policy_id, number, status, version, name, effective_from, effective_to, digest, author,
    author_role, reason, created_at, published_by, published_reason, published_at, retired_by, retired_reason,
    retired_at
"""

_ENSURE_SET = text("""
    insert into triage.policy_sets (organization_id) values (:scope) on conflict do nothing
""")
_LOCK_SET = text("select version from triage.policy_sets where organization_id = :scope for update")
_RAISE_SET = text("""
    update triage.policy_sets set version = version + 1, changed_at = now() where organization_id = :scope
    returning version
""")
_VISIBLE = text(f"""
    select {_COLUMNS} from triage.policy_versions
    where cast(:policy_id as text) is null or policy_id = :policy_id
    order by policy_id, organization_id, number desc
""")
_CONTENT = text("""
    select content from triage.policy_versions
    where organization_id = :scope and policy_id = :policy_id and number = :number
""")
_INSERT = text("""
    insert into triage.policy_versions (organization_id, policy_id, number, status, version, name,
        effective_from, effective_to, content, digest, author, author_id, author_role, reason)
    select :scope, :policy_id, coalesce(max(number), 0) + 1, :status, :version, :name,
        cast(:effective_from as date), cast(:effective_to as date), :content, :digest, :author,
        cast(:author_id as uuid), :author_role, :reason
    from triage.policy_versions where organization_id = :scope and policy_id = :policy_id
    on conflict do nothing
    returning number
""")
_PUBLISH = text("""
    update triage.policy_versions set status = 'published', published_by = :by, published_reason = :reason,
        published_at = now()
    where organization_id = :scope and policy_id = :policy_id and number = :number
""")
_RETIRE = text("""
    update triage.policy_versions set status = 'retired', retired_by = :by, retired_reason = :reason,
        retired_at = now()
    where organization_id = :scope and policy_id = :policy_id and number = any (cast(:numbers as integer[]))
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """One version of a policy without its content. `version` is its file's word for itself."""

    organization_id: UUID
    policy_id: str
    number: int
    status: Status
    version: str
    name: str
    effective_from: date | None
    effective_to: date | None
    digest: bytes
    author: str
    author_role: str
    reason: str
    created_at: datetime
    published_by: str | None
    published_reason: str | None
    published_at: datetime | None
    retired_by: str | None
    retired_reason: str | None
    retired_at: datetime | None

    @property
    def layer(self) -> Layer:
        return "installation" if self.organization_id == INSTALLATION else "organization"


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote a version; `principal_id` None: the distribution."""

    name: str
    role: str
    principal_id: UUID | None = None


DISTRIBUTION = Author("Reprieve", "distribution")


async def lock_scope(connection: AsyncConnection, scope: UUID) -> None:
    """Let changes of one scope's policies take turns, until the transaction ends."""
    await connection.execute(_ENSURE_SET, {"scope": scope})
    await connection.execute(_LOCK_SET, {"scope": scope})


async def raise_version(connection: AsyncConnection, scope: UUID) -> int:
    """Tell every process that what is in force has changed; gives the set's new version."""
    return int(await connection.scalar(_RAISE_SET, {"scope": scope}) or 0)


async def visible_versions(connection: AsyncConnection, policy_id: str | None = None) -> list[PolicyVersion]:
    """Give the versions that the transaction may see, of one policy or all, the newest first."""
    found = await connection.execute(_VISIBLE, {"policy_id": policy_id})
    return [PolicyVersion(**row._mapping) for row in found]  # noqa: SLF001  SQLAlchemy's public name


async def content_of(connection: AsyncConnection, scope: UUID, policy_id: str, number: int) -> bytes | None:
    """Give a version as it was written, byte for byte."""
    found = await connection.scalar(_CONTENT, {"scope": scope, "policy_id": policy_id, "number": number})
    return None if found is None else bytes(found)


async def insert_version(
    connection: AsyncConnection,
    scope: UUID,
    file: PolicyFile,
    content: bytes,
    *,
    status: Literal["reference", "draft"],
    author: Author,
    reason: str,
) -> int | None:
    """Keep a version under the scope's next number; None if it is a reference that is kept already."""
    number = await connection.scalar(
        _INSERT,
        {
            "scope": scope,
            "policy_id": file.id,
            "status": status,
            "version": file.version,
            "name": file.name,
            "effective_from": file.effective_from,
            "effective_to": file.effective_to,
            "content": content,
            "digest": digest_of(content),
            "author": author.name,
            "author_id": author.principal_id,
            "author_role": author.role,
            "reason": reason,
        },
    )
    return None if number is None else int(number)


async def mark_published(
    connection: AsyncConnection, version: PolicyVersion, *, by: str, reason: str
) -> None:
    await connection.execute(
        _PUBLISH,
        {
            "scope": version.organization_id,
            "policy_id": version.policy_id,
            "number": version.number,
            "by": by,
            "reason": reason,
        },
    )


async def mark_retired(
    connection: AsyncConnection, versions: Iterable[PolicyVersion], *, by: str, reason: str
) -> None:
    """Take versions of one policy out of force."""
    retired = list(versions)
    if not retired:
        return
    await connection.execute(
        _RETIRE,
        {
            "scope": retired[0].organization_id,
            "policy_id": retired[0].policy_id,
            "numbers": [one.number for one in retired],
            "by": by,
            "reason": reason,
        },
    )


async def keep_reference(
    connection: AsyncConnection, shipped: Iterable[tuple[PolicyFile, bytes]], *, release: str
) -> tuple[list[PolicyVersion], bool]:
    """
    Keep the shipped policies that were not kept before, to be read for ever.

    Gives them, and whether others were kept before: then a release has brought them, and decisions may stand
    that were made without. The lock makes one replica of several the one that keeps, and is given them.
    """
    await lock_scope(connection, INSTALLATION)
    known = {
        (one.policy_id, one.digest)
        for one in await visible_versions(connection)
        if one.status == "reference" and one.organization_id == INSTALLATION
    }
    kept = set()
    for file, content in shipped:
        if (file.id, digest_of(content)) not in known:
            reason = f"shipped with Reprieve {release}, first seen {now():%Y-%m-%d}"
            number = await insert_version(
                connection,
                INSTALLATION,
                file,
                content,
                status="reference",
                author=DISTRIBUTION,
                reason=reason,
            )
            kept.add((file.id, number))
    versions = await visible_versions(connection) if kept else ()
    new = [
        one for one in versions if one.organization_id == INSTALLATION and (one.policy_id, one.number) in kept
    ]
    return new, bool(known)
