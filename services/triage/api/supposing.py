"""What suppositions share: policies laid over those in force, and what day it is."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.triage.domain.layers import layered
from services.triage.domain.policies import Policies, index_policies
from services.triage.domain.policy import TEXT_CHARACTERS_MAX, Policy
from services.triage.store.organizations import time_zones
from services.triage.store.publishing import read_content
from shared.clock import now
from shared.errors import InvalidInputError

PolicyText = Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX)]
_CHARACTERS_MAX = 2_000_000
_MISTAKES_MAX = 200


def read_policies(texts: Mapping[Any, str]) -> list[Policy]:
    """Read policies, which takes a while: call it in a thread. Raises InvalidInputError by file and key."""
    policies: list[Policy] = []
    errors: list[tuple[str, str]] = []
    if sum(map(len, texts.values())) > _CHARACTERS_MAX:
        raise InvalidInputError(
            f"The policies are longer than {_CHARACTERS_MAX:,} characters together.",
            remedy="Send those that differ from what is in force.",
        )
    for name, text in texts.items():
        if len(errors) > _MISTAKES_MAX:
            break
        try:
            policies.append(read_content(text.encode()))
        except InvalidInputError as error:
            errors += [(f"policies.{name}: {key}", what) for key, what in error.errors]
    if errors:
        raise InvalidInputError(
            f"The policies have {len(errors)} mistake(s).",
            remedy="Mend these keys; docs/policies.md lists what each one takes.",
            errors=errors,
        )
    return policies


def over(below: Policies, policies: Sequence[Policy]) -> Policies:
    """Lay the given policies over those in force."""
    return index_policies(layered(below.policies, policies)) if policies else below


async def today_of(connection: AsyncConnection, organization: UUID) -> date:
    zone = (await time_zones(connection)).get(organization, UTC)
    return now().astimezone(zone).date()
