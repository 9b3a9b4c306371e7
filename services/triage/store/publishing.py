"""
Changing what is in force: drafts, publication, retirement. Each function is the body of one transaction.

A scope is an organization, or INSTALLATION. Within a scope changes take turns; nobody overwrites what they
have not seen.
"""

import re
from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.triage.domain.examples import failures
from services.triage.domain.layers import covers, layered
from services.triage.domain.policies import index_policies
from services.triage.domain.policy import Policy, read_policy
from services.triage.store.audit import Action, audit
from services.triage.store.policy_sets import INSTALLATION, PolicySets, digest_of, read_published
from services.triage.store.policy_versions import (
    Author,
    PolicyVersion,
    content_of,
    insert_version,
    lock_scope,
    mark_published,
    mark_retired,
    raise_version,
    visible_versions,
)
from services.triage.store.reevaluations import Cause, ask_reevaluations
from shared.calendars import Calendar
from shared.clock import now
from shared.errors import ConflictError, InvalidInputError, NotFoundError

_KEY = re.compile(r"(line \d+: )?([A-Za-z_][\w.\[\]-]*)(?:: | (?=is |must ))(.+)", re.DOTALL)


def read_content(content: bytes, policy_id: str | None = None) -> Policy:
    """Read a policy; raises InvalidInputError that names each key that is wrong, and why."""
    mistakes: list[str] = []
    policy = read_policy(content, mistakes)
    if policy is not None and policy_id not in {None, policy.id}:
        mistakes.append(f"id: is {policy.id}, not {policy_id}")
    if policy is None or mistakes:
        raise InvalidInputError(
            f"The policy has {len(mistakes)} mistake(s).",
            remedy="Mend these keys; docs/policies.md lists what each one takes.",
            errors=[_by_key(mistake) for mistake in mistakes],
        )
    return policy


def _by_key(mistake: str) -> tuple[str, str]:
    found = _KEY.fullmatch(mistake)
    return (found[2], f"{found[1] or ''}{found[3]}") if found else ("content", mistake)


async def keep_draft(
    connection: AsyncConnection,
    scope: UUID,
    policy_id: str,
    content: bytes,
    *,
    based_on: int,
    author: Author,
    reason: str,
) -> tuple[PolicyVersion, bool]:
    """
    Keep a draft under the next number; gives it, and whether it is new: the same draft again is the same one.

    Raises InvalidInputError for a policy with mistakes, ConflictError if `based_on` is not the latest number.
    """
    policy = read_content(content, policy_id)
    await lock_scope(connection, scope)
    latest = max(await _of_scope(connection, scope, policy_id), key=lambda one: one.number, default=None)
    if latest is not None and (latest.status, latest.digest) == ("draft", digest_of(content)):
        return latest, False
    seen = 0 if latest is None else latest.number
    if based_on != seen:
        raise ConflictError(
            f"The latest version of {policy_id} is number {seen}, and yours is based on {based_on}.",
            remedy="Read that version, take over what it changed, and send yours based on it.",
        )
    number = await insert_version(
        connection, scope, policy.file, content, status="draft", author=author, reason=reason
    )
    await _note(
        connection,
        "policy_drafted",
        scope,
        policy_id,
        author,
        number=number or 0,
        version=policy.file.version,
    )
    return await find_version(connection, scope, policy_id, number or 0), True


async def publish(
    connection: AsyncConnection,
    sets: PolicySets,
    version: PolicyVersion,
    *,
    by: Author,
    reason: str,
    organizations: Collection[UUID],
) -> int:
    """
    Put a draft in force for `organizations`, and have their denials decided again; gives how many these are.

    Its worked examples must come out among all policies in force. Earlier versions of the scope whose days it
    covers are retired. Raises ConflictError where it is no draft, or a later one was published before.
    """
    scope, policy_id = version.organization_id, version.policy_id
    await lock_scope(connection, scope)
    version = await find_version(connection, scope, policy_id, version.number)
    others = [one for one in await _of_scope(connection, scope, policy_id) if one.number != version.number]
    _check_turn(version, others)
    policy = await _policy_of(connection, version)
    await _check_word(connection, version)
    await _check_examples(connection, sets, scope, policy)
    replaced = [
        one
        for one in others
        if one.status == "published" and covers(policy.file, (await _policy_of(connection, one)).file)
    ]
    await mark_retired(connection, replaced, by=by.name, reason=f"replaced by version {version.number}")
    await mark_published(connection, version, by=by.name, reason=reason)
    return await _announce(
        connection, version, by=by, reason=reason, organizations=organizations, cause="policy_published"
    )


async def retire(
    connection: AsyncConnection,
    version: PolicyVersion,
    *,
    by: Author,
    reason: str,
    organizations: Collection[UUID],
) -> int:
    """Take a version out of force: on its days the layer below holds again. Gives as publish()."""
    scope = version.organization_id
    await lock_scope(connection, scope)
    version = await find_version(connection, scope, version.policy_id, version.number)
    if version.status != "published":
        raise ConflictError(
            f"Version {version.number} is {version.status}, not published.",
            remedy="Look at its versions again.",
        )
    await mark_retired(connection, [version], by=by.name, reason=reason)
    return await _announce(
        connection, version, by=by, reason=reason, organizations=organizations, cause="policy_retired"
    )


async def find_version(
    connection: AsyncConnection, scope: UUID, policy_id: str, number: int
) -> PolicyVersion:
    """Give one version; raises NotFoundError."""
    for one in await _of_scope(connection, scope, policy_id):
        if one.number == number:
            return one
    raise NotFoundError("There is no such version.", remedy="GET /v1/policies/{policy_id} lists them.")


async def _of_scope(connection: AsyncConnection, scope: UUID, policy_id: str) -> list[PolicyVersion]:
    return [one for one in await visible_versions(connection, policy_id) if one.organization_id == scope]


async def _policy_of(connection: AsyncConnection, version: PolicyVersion) -> Policy:
    content = await content_of(connection, version.organization_id, version.policy_id, version.number)
    return read_published(content or b"")


def _check_turn(version: PolicyVersion, others: Sequence[PolicyVersion]) -> None:
    if version.status != "draft":
        raise ConflictError(
            f"Version {version.number} is {version.status}, not a draft.",
            remedy="To put an earlier text in force again, send it as a new version.",
        )
    later = [one.number for one in others if one.number > version.number and one.status != "draft"]
    if later:
        raise ConflictError(
            f"Version {max(later)} of this policy is later than version {version.number}, and no draft.",
            remedy="Send yours as a new version, based on that one.",
        )


async def _check_word(connection: AsyncConnection, version: PolicyVersion) -> None:
    """Refuse a `version` that names other content already: decisions are traced by policy and version."""
    for one in await visible_versions(connection, version.policy_id):
        same = (
            one.organization_id in {version.organization_id, INSTALLATION} and one.version == version.version
        )
        if same and one.status != "draft" and one.digest != version.digest:
            raise InvalidInputError(
                "The policy has 1 mistake(s).",
                remedy="Decisions name a policy by its version: give the new text a new one.",
                errors=[
                    (
                        "version",
                        f"{one.version} is number {one.number} of the {one.layer}, with other content",
                    )
                ],
            )


async def _check_examples(connection: AsyncConnection, sets: PolicySets, scope: UUID, policy: Policy) -> None:
    below = (await sets.in_force(connection)).of(scope)
    together = layered(below.policies, [policy])
    mistakes = failures(policy, index_policies(together), Calendar())
    if sum(one.file.default for one in {id(one.id): one for one in together}.values()) > 1:
        mistakes.append("default: another policy is the default already")
    if mistakes:
        raise InvalidInputError(
            "The policy's worked examples do not come out.",
            remedy="Compute them by hand; `reprieve policies check` executes them.",
            errors=[("examples", mistake) for mistake in mistakes],
        )


async def _announce(
    connection: AsyncConnection,
    version: PolicyVersion,
    *,
    by: Author,
    reason: str,
    organizations: Collection[UUID],
    cause: Cause,
) -> int:
    scope = version.organization_id
    await raise_version(connection, scope)
    await _note(
        connection, cause, scope, version.policy_id, by, number=version.number, version=version.version
    )
    return await ask_reevaluations(
        connection, version, organizations, cause=cause, reason=reason, role=by.role, at=now()
    )


async def _note(
    connection: AsyncConnection,
    action: Action,
    scope: UUID,
    policy_id: str,
    by: Author,
    *,
    number: int,
    version: str,
) -> None:
    if by.principal_id is None:
        raise TypeError(by.name)
    await audit(
        connection,
        action,
        scope=scope,
        principal_id=by.principal_id,
        subject_id=policy_id,
        detail={"number": number, "version": version, "role": by.role},
    )
