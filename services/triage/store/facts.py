"""People's facts about claims: each waits here for the denials that it names."""

from collections.abc import Collection, Mapping
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.base import encode
from shared.contracts.fact_recorded import FactRecorded

FactKey = tuple[UUID, UUID]
"""Organization, fact id."""

_INSERT = text("""
    insert into triage.facts (organization_id, fact_id, claim_key, payload, recorded_at)
    select * from unnest(
        cast(:organizations as uuid[]), cast(:facts as uuid[]), cast(:claim_keys as uuid[]),
        cast(:payloads as bytea[]), cast(:recorded as timestamptz[]))
    on conflict do nothing
    returning organization_id, fact_id
""")

_OF_KEYS = text("""
    select f.payload
    from unnest(cast(:organizations as uuid[]), cast(:claim_keys as uuid[]))
        as wanted(organization_id, claim_key)
    join triage.facts f using (organization_id, claim_key)
    where octet_length(f.payload) > 0
    order by f.recorded_at, f.fact_id
""")

_fact = msgspec.json.Decoder(FactRecorded)


async def insert_facts(connection: AsyncConnection, facts: Mapping[FactKey, FactRecorded]) -> set[FactKey]:
    """Keep facts; gives the keys of those that were new."""
    if not facts:
        return set()
    inserted = await connection.execute(
        _INSERT,
        {
            "organizations": [fact.organization_id for fact in facts.values()],
            "facts": [fact.fact_id for fact in facts.values()],
            "claim_keys": [fact.claim_key for fact in facts.values()],
            "payloads": [encode(fact) for fact in facts.values()],
            "recorded": [fact.recorded_at for fact in facts.values()],
        },
    )
    return {(row.organization_id, row.fact_id) for row in inserted}


async def facts_of_keys(
    connection: AsyncConnection, keys: Collection[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], list[FactRecorded]]:
    """
    Give the facts by the denials that they name, as (organization, event id), earliest first.

    `keys` are pairs of organization and claim key. What was purged is left out.
    """
    by_event: dict[tuple[UUID, UUID], list[FactRecorded]] = {}
    if not keys:
        return by_event
    organizations, claim_keys = zip(*set(keys), strict=True)
    found = await connection.execute(
        _OF_KEYS, {"organizations": list(organizations), "claim_keys": list(claim_keys)}
    )
    for row in found:
        fact = _fact.decode(row.payload)
        for event_id in dict.fromkeys(fact.event_ids):
            by_event.setdefault((fact.organization_id, event_id), []).append(fact)
    return by_event
