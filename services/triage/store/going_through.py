"""Everything that stands decided, page by page, each in its own transaction: a slow reader holds nothing."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from services.triage.domain.histories import Others, others_of
from services.triage.domain.redeciding import read_decision
from services.triage.store.facts import facts_of_keys
from services.triage.store.histories import histories_of
from services.triage.store.redeciding import newest_among, page_of_decisions
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Decision
from shared.contracts.fact_recorded import FactRecorded
from shared.postgres import transaction


@dataclass(frozen=True, slots=True)
class Standing:
    """A denial in its last reading, its last decision, the facts about it, and what else was remitted."""

    event: ClaimDenied
    decision: Decision
    facts: Sequence[FactRecorded]
    others: Others


@dataclass(frozen=True, slots=True)
class Passed:
    """What one page held: of `looked` decisions, `standing` are the last word on their denial."""

    organization_id: UUID
    looked: int
    standing: Sequence[Standing]


async def standing_denials(
    engine: AsyncEngine, organizations: Iterable[UUID], *, since: datetime | None
) -> AsyncIterator[Passed]:
    """Give what was decided at `since` or later, organization by organization."""
    for organization in organizations:
        after = 0
        while True:
            async with transaction(engine, organizations=[organization]) as connection:
                page = await page_of_decisions(connection, organization, after=after, since=since)
                if page is None:
                    break
                newest = await newest_among(connection, organization, page.denials)
                keys = {(organization, event.claim_key) for event in newest.values()}
                facts = await facts_of_keys(connection, keys)
                histories = await histories_of(connection, newest.values())
            standing = [
                Standing(
                    event,
                    read_decision(page.denials[place]),
                    facts.get((organization, event.event_id), ()),
                    others_of(histories, event),
                )
                for place, event in newest.items()
            ]
            yield Passed(organization, len(page.denials), standing)
            after = page.last
