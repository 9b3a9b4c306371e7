"""
What a purge takes from the tracker: what was said about claims that ended long ago.

A claim key goes as a whole, since it is folded as a whole: when everything about it was recorded before the
organization's day, every case of it closed before that day, and triage weighed all facts about it. An open
case keeps all, however old. Ids, amounts, categories and dates of the payer stay for ever.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.store.files import shred_files_of_claims
from shared.http.idempotency import EXPIRED
from shared.postgres import lock_shards
from shared.postgres.bundles import empty_payloads
from shared.values import shard_of

CLAIMS_AT_ONCE = 500

_RECORDED_LATER = timedelta(days=31)
"""What was received before a day is recorded before that day and this, unless its set was held meanwhile."""


@dataclass(frozen=True, slots=True)
class OldClaim:
    """A claim key whose payloads may go, and its events."""

    claim_key: UUID
    event_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class OldClaims:
    """Some claims, and the key behind which the next ones come; None when there are no more."""

    claims: list[OldClaim]
    last: UUID | None


# Along the index on the key, so that a page reads no more than itself. The wall names the organization.
_OLD = """
    select l.claim_key, array_agg(distinct l.event_id) as event_ids,
        sum(l.size) filter (where l.bundle_id is not null) as bytes
    from tracker.ledger l
    where {which}
    group by l.claim_key
    having max(l.recorded_at) < :day and count(l.bundle_id) > 0
        and not exists (
            select 1 from tracker.cases c
            where c.claim_key = l.claim_key and (c.closed_at is null or c.closed_at >= :day
                or exists (
                    select 1 from tracker.facts f where f.case_id = c.case_id and f.settled_at is null)))
        and not exists (
            select 1 from tracker.files f
            where f.claim_key = l.claim_key and f.attached_at >= :day and f.wrapped_key is not null)
"""
_PAGE = text(f"{_OLD.format(which='l.claim_key > :after')} order by l.claim_key limit {CLAIMS_AT_ONCE}")
_STILL = text(_OLD.format(which="l.claim_key = any (cast(:claim_keys as uuid[]))"))
_COUNT = text(f"""
    select count(*) as claims, coalesce(sum(bytes), 0) as bytes
    from ({_OLD.format(which="true")}) as old
""")
_COUNT_FILES = text(f"""
    select count(*) as files, coalesce(sum(size_bytes), 0) as bytes from tracker.files
    where wrapped_key is not null
        and claim_key in (select claim_key from ({_OLD.format(which="true")}) as old)
""")
_EMPTY_FACTS = text("""
    update tracker.facts f set value = '', note = null from tracker.cases c
    where c.claim_key = any (cast(:claim_keys as uuid[])) and c.purged_at is null
        and f.organization_id = c.organization_id and f.case_id = c.case_id
""")
_EMPTY_CASES = text("""
    update tracker.cases set purged_at = now(), claim_number = '', payer_claim_number = null,
        patient_name_index = null, member_id_index = null, service_from = null, service_code = null,
        further_service_codes = '{}', rendering_npi = null, requests = '[]', tags = '{}',
        documents_checked = '{}'
    where claim_key = any (cast(:claim_keys as uuid[])) and purged_at is null
""")
_FORGET_SERVICES = text("""
    delete from tracker.case_services s using tracker.cases c
    where c.claim_key = any (cast(:claim_keys as uuid[])) and c.purged_at is null
        and s.organization_id = c.organization_id and s.case_id = c.case_id
""")
_EMPTY_STEPS = text("""
    update tracker.steps set body = '{}' where claim_key = any (cast(:claim_keys as uuid[])) and body <> '{}'
""")
_FORGET_ANSWERS = text(f"delete from tracker.idempotency where {EXPIRED}")
# Persons are sealed under the key of the month in which their remittance was received, names of files under
# that of the month in which they were attached.
_MONTHS = text(f"""
    with old as materialized ({_OLD.format(which="true")})
    select distinct cast(date_trunc('month', received_on) as date) as month
    from tracker.ledger
    where recorded_at < :until and bundle_id is not null and claim_key not in (select claim_key from old)
    union
    select to_date(substr(sealed_name, 4, 6), 'YYYYMM')
    from tracker.files
    where attached_at < :until and sealed_name is not null and claim_key not in (select claim_key from old)
""")


async def count_old_claims(connection: AsyncConnection, day: date) -> tuple[int, int]:
    """Count the claim keys whose payloads may go, and their bytes; of the one organization in scope."""
    found = (await connection.execute(_COUNT, {"day": day})).one()
    return found.claims, int(found.bytes)


async def count_old_files(connection: AsyncConnection, day: date) -> tuple[int, int]:
    """Count the files of those claims, and their bytes."""
    found = (await connection.execute(_COUNT_FILES, {"day": day})).one()
    return found.files, int(found.bytes)


async def old_claims(connection: AsyncConnection, day: date, *, after: UUID) -> OldClaims:
    """
    Give the next claims whose payloads may go, and hold them until the transaction ends.

    Nothing is recorded about them meanwhile. Those that got something new while this waited are left out.
    """
    page = [row.claim_key for row in await connection.execute(_PAGE, {"day": day, "after": after})]
    if not page:
        return OldClaims([], None)
    await lock_shards(connection, "tracker", {shard_of(UUID(bytes=key.bytes)) for key in page})
    found = await connection.execute(_STILL, {"day": day, "claim_keys": page})
    claims = [OldClaim(row.claim_key, tuple(UUID(bytes=one.bytes) for one in row.event_ids)) for row in found]
    return OldClaims(claims, page[-1])


async def empty_claims(connection: AsyncConnection, claim_keys: Collection[UUID]) -> None:
    """Destroy what is kept in words about these claims."""
    asked = {"claim_keys": list(claim_keys)}
    await empty_payloads(connection, "tracker.ledger", of="claim_key", keys=claim_keys)
    await shred_files_of_claims(connection, claim_keys)
    for statement in (_EMPTY_FACTS, _EMPTY_STEPS, _FORGET_SERVICES, _EMPTY_CASES):
        await connection.execute(statement, asked)
    await connection.execute(_FORGET_ANSWERS)


async def months_needed(connection: AsyncConnection, day: date) -> Sequence[date]:
    """Give the months before `day`, as their first days, whose names somebody still works with."""
    found = await connection.execute(_MONTHS, {"day": day, "until": day + _RECORDED_LATER})
    return [one for one in found.scalars() if one < day]
