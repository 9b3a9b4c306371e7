"""
The policies in force: what Reprieve ships, under what the operator published, under an organization's own.

Every batch and every request asks for the versions, which is one small row or two, and decides with what is
in force at that moment. There is nothing to announce and nothing to wait for. Within a transaction that holds
its shards' locks this is also what makes a re-evaluation complete: whoever had asked before the change has
committed before the re-evaluation gets the locks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.triage.domain.layers import layered
from services.triage.domain.policies import Policies, index_policies
from services.triage.domain.policy import Policy, read_policy
from shared.errors import UnavailableError

INSTALLATION = UUID(int=0)
"""Stands for all organizations: what the operator publishes is in force for every one of them."""

_VERSIONS = text("select organization_id, version from triage.policy_sets")

_PUBLISHED = text("""
    select organization_id, content from triage.policy_versions
    where status = 'published'
    order by organization_id, policy_id, number
""")


@dataclass(frozen=True, slots=True)
class InForce:
    """The policies in force at one moment, as far as the transaction that asked may see them."""

    installation: Policies
    own: Mapping[UUID, Policies]

    def of(self, organization_id: UUID | None) -> Policies:
        """Give an organization's policies: the installation's, unless it has published some."""
        return (
            self.installation if organization_id is None else self.own.get(organization_id, self.installation)
        )


class PolicySets:
    """The policies in force, made ready once for each version of them. `reference` are the shipped ones."""

    def __init__(self, reference: Policies) -> None:
        self.reference = reference
        self._installation = reference
        self._own: dict[UUID, Policies] = {}
        self._versions: dict[UUID, int] = {INSTALLATION: 0}

    async def in_force(self, connection: AsyncConnection) -> InForce:
        """
        Give what is in force for the organizations of this transaction.

        Raises UnavailableError for a published policy that this release cannot read: deciding without it
        would be wrong, so its batch waits.
        """
        versions = {row.organization_id: row.version for row in await connection.execute(_VERSIONS)}
        if any(self._versions.get(scope) != version for scope, version in versions.items()):
            await self._load(connection, versions)
        own = {one: self._own[one] for one in versions if one in self._own}
        return InForce(self._installation, own)

    async def _load(self, connection: AsyncConnection, versions: Mapping[UUID, int]) -> None:
        published: dict[UUID, list[Policy]] = {scope: [] for scope in versions}
        for row in await connection.execute(_PUBLISHED):
            published.setdefault(row.organization_id, []).append(read_published(row.content))
        if self._versions[INSTALLATION] != versions.get(INSTALLATION, 0):
            self._own.clear()
            self._versions.clear()
        self._installation = self.over_reference(published.pop(INSTALLATION, ()))
        for scope, policies in published.items():
            if policies:
                self._own[scope] = index_policies(layered(self._installation.policies, policies))
            else:
                self._own.pop(scope, None)
        self._versions.update({INSTALLATION: 0, **versions})

    def over_reference(self, published: Iterable[Policy]) -> Policies:
        """Lay what the installation published over what Reprieve ships."""
        wanted = list(published)
        return index_policies(layered(self.reference.policies, wanted)) if wanted else self.reference


@lru_cache(maxsize=4096)
def read_published(content: bytes) -> Policy:
    """Read a policy that was sound when it was published; each content once."""
    mistakes: list[str] = []
    policy = read_policy(content, mistakes, in_force=True)
    if policy is None or mistakes:
        raise UnavailableError(
            "A published policy cannot be read by this release.",
            remedy="Upgrade all processes, or publish it anew; `reprieve policies list` shows them.",
        )
    return policy


def digest_of(content: bytes) -> bytes:
    """Identify a policy's content."""
    return sha256(content).digest()
