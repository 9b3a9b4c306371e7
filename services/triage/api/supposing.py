"""What suppositions share: policies laid over those in force, and what day it is."""

from collections.abc import Mapping
from datetime import UTC, date
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.triage.domain.layers import layered
from services.triage.domain.policies import Policies, index_policies
from services.triage.store.organizations import time_zones
from services.triage.store.publishing import read_content
from shared.clock import now
from shared.errors import InvalidInputError

PolicyText = Annotated[str, Field(max_length=500_000)]


def over(below: Policies, texts: Mapping[Any, str]) -> Policies:
    """Lay the given policies over those in force. Raises InvalidInputError that names file and key."""
    policies, errors = [], []
    for name, text in texts.items():
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
    return index_policies(layered(below.policies, policies)) if policies else below


async def today_of(connection: AsyncConnection, organization: UUID) -> date:
    zone = (await time_zones(connection)).get(organization, UTC)
    return now().astimezone(zone).date()
