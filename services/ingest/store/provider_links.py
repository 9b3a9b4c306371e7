"""One remittance as its people see it, and the claims that a provider adjustment's numbers may mean."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

CLAIMS_MAX = 5  # of one number: those of the remittance itself first, then the latest before it

_REMITTANCE = text("""
    select remittance_id, receipt_id, feed, submitter_id, set_ordinal, received_at, released_at, is_test,
        truncated, payer_name, trace_number, payment_on, payment_amount, payer_date, claims_read,
        charge_read_amount, paid_read_amount, duplicates, quarantined, quarantined_charge_amount,
        provider_adjustments, balance_findings, finding_count, findings, reader_revision,
        replay_asked_at is not null as being_read_again, header ->> 'payer_trace_id' as payer_trace_id,
        header ->> 'payment_method' as payment_method, coalesce(header ->> 'currency', 'USD') as currency,
        header ->> 'version' as version, header -> 'payee' ->> 'name' as payee_name
    from ingest.remittances where remittance_id = :remittance_id
""")
_CANDIDATES = text(f"""
    select wanted.number, found.*
    from unnest(cast(:claim_keys as uuid[]), cast(:hashes as integer[])) with ordinality
        as wanted(claim_key, hash, number)
    cross join lateral (
        select c.event_id, c.remittance_id, c.position, c.kind, c.byte_offset, c.byte_length,
            c.claim_key = wanted.claim_key as by_claim_number, r.submitter_id, r.receipt_id, r.received_at,
            cast(r.header as text) as header
        from ingest.claims c
        join ingest.remittances r
            on r.organization_id = c.organization_id and r.remittance_id = c.remittance_id
        where (c.claim_key = wanted.claim_key or c.payer_number_hash = wanted.hash)
            and r.released_at is not null and r.is_test = :is_test
            and (c.remittance_id = :remittance_id or r.received_at <= :received_at)
        order by c.remittance_id = :remittance_id desc, r.received_at desc, c.position
        limit {CLAIMS_MAX}
    ) as found
    order by wanted.number
""")


async def remittance_of(connection: AsyncConnection, remittance_id: UUID) -> Any | None:
    """Give one remittance of the organization in scope; None where there is none."""
    return (await connection.execute(_REMITTANCE, {"remittance_id": remittance_id})).one_or_none()


async def claims_of_numbers(
    connection: AsyncConnection,
    remittance: Any,
    numbers: Sequence[tuple[UUID | None, int | None]],
) -> list[Any]:
    """
    Give claims of this remittance or earlier ones by claim key or by the hash of the payer's number.

    `number` counts the numbers asked for, from 1. Hashes are shared by others: compare before you believe.
    """
    found = await connection.execute(
        _CANDIDATES,
        {
            "claim_keys": [key for key, _ in numbers],
            "hashes": [hashed for _, hashed in numbers],
            "remittance_id": remittance.remittance_id,
            "received_at": remittance.received_at,
            "is_test": remittance.is_test,
        },
    )
    return list(found.all())
