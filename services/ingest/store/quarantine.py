"""
Quarantined claims: a row per claim that could not be read, for ever, with what became of it.

A claim is known by its remittance and the byte at which it begins: no reader, old or new, changes that.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid5

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ingest.domain.correcting import Supplied
from services.ingest.domain.events import READER_REVISION
from services.ingest.domain.remittance import ClaimQuarantined
from shared.postgres import transaction

State = Literal["quarantined", "released", "reread", "dismissed"]
"""
released: read with what a person supplied. reread: read by a newer reader, without help. dismissed: a person
said that nothing is to be done; should a newer reader read it after all, it is reread.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which rows to list; None: all."""

    state: State | None = None
    remittance_id: UUID | None = None


_KEEP = text("""
    insert into ingest.quarantined_claims (organization_id, quarantine_id, remittance_id, position,
        byte_offset, byte_length, charge_amount, findings, reader_revision)
    select :organization_id, quarantine_id, :remittance_id, position, byte_offset, byte_length,
        charge_amount, cast(findings as jsonb), :reader_revision
    from unnest(cast(:ids as uuid[]), cast(:positions as integer[]), cast(:offsets as bigint[]),
        cast(:lengths as integer[]), cast(:charges as numeric[]), cast(:findings as text[]))
        as one(quarantine_id, position, byte_offset, byte_length, charge_amount, findings)
    on conflict (organization_id, quarantine_id) do update set position = excluded.position,
        byte_length = excluded.byte_length, charge_amount = excluded.charge_amount,
        findings = excluded.findings, reader_revision = excluded.reader_revision
    where quarantined_claims.reader_revision < excluded.reader_revision
""")
_CLOSE = text("""
    update ingest.quarantined_claims q set state = done.state, event_id = done.event_id, changed_at = now()
    from unnest(cast(:offsets as bigint[]), cast(:events as uuid[]), cast(:states as text[]))
        as done(byte_offset, event_id, state)
    where q.remittance_id = :remittance_id and q.byte_offset = done.byte_offset
        and (q.state, q.event_id) is distinct from (done.state, done.event_id)
""")
_SUPPLIED = text("""
    select remittance_id, byte_offset, byte_length, cast(supplied as text) as supplied
    from ingest.quarantined_claims
    where remittance_id = any (cast(:remittances as uuid[])) and supplied is not null and state <> 'reread'
    order by remittance_id, byte_offset
""")
_SUPPLY = text("""
    update ingest.quarantined_claims set supplied = cast(:supplied as jsonb), supplied_by = :by,
        supplied_at = now(), reason = :reason, dismissed_by = null, dismissed_at = null,
        state = case state when 'dismissed' then 'quarantined' else state end
    where quarantine_id = :quarantine_id
""")
_DISMISS = text("""
    update ingest.quarantined_claims set state = 'dismissed', dismissed_by = :by, dismissed_at = now(),
        reason = :reason, changed_at = now()
    where quarantine_id = :quarantine_id and supplied is null and state in ('quarantined', 'dismissed')
""")
_COLUMNS = """
    q.organization_id, q.quarantine_id, q.remittance_id, r.receipt_id, r.feed, r.payer_name, r.trace_number,
    r.received_at, r.payer_date, r.is_test, r.replay_asked_at is not null as being_read_again, q.position,
    q.byte_offset, q.byte_length, q.charge_amount, q.findings, q.reader_revision, q.state, q.quarantined_at,
    q.changed_at, q.supplied_by, q.supplied_at, q.dismissed_by, q.dismissed_at, q.reason, q.event_id
"""
_PAGE = text(f"""
    select {_COLUMNS}
    from ingest.quarantined_claims q
    join ingest.remittances r on r.organization_id = q.organization_id and r.remittance_id = q.remittance_id
    where (cast(:state as text) is null or q.state = :state)
        and (cast(:remittance_id as uuid) is null or q.remittance_id = cast(:remittance_id as uuid))
        and (cast(:before_at as timestamptz) is null
            or (q.quarantined_at, q.quarantine_id)
                < (cast(:before_at as timestamptz), cast(:before_id as uuid)))
    order by q.quarantined_at desc, q.quarantine_id desc
    limit :limit
""")
_ONE = text(f"""
    select {_COLUMNS}, r.submitter_id, cast(r.header as text) as header, cast(q.supplied as text) as supplied
    from ingest.quarantined_claims q
    join ingest.remittances r on r.organization_id = q.organization_id and r.remittance_id = q.remittance_id
    where q.quarantine_id = :quarantine_id
""")
_COUNT = text("select ingest.count_quarantined()")


def quarantine_id_of(remittance_id: UUID, byte_offset: int) -> UUID:
    """Identify a claim that could not be read, the same in every reading."""
    return uuid5(remittance_id, f"quarantined {byte_offset}")


async def keep_quarantined(
    connection: AsyncConnection,
    quarantined: Sequence[ClaimQuarantined],
    *,
    organization_id: UUID,
    remittance_id: UUID,
) -> None:
    """Keep what could not be read. What is there stays, but for what a newer reader says of it."""
    if not quarantined:
        return
    await connection.execute(
        _KEEP,
        {
            "organization_id": organization_id,
            "remittance_id": remittance_id,
            "reader_revision": READER_REVISION,
            "ids": [quarantine_id_of(remittance_id, one.byte_offset) for one in quarantined],
            "positions": [one.position for one in quarantined],
            "offsets": [one.byte_offset for one in quarantined],
            "lengths": [one.byte_length for one in quarantined],
            "charges": [one.charge_amount for one in quarantined],
            "findings": [msgspec.json.encode(one.findings).decode() for one in quarantined],
        },
    )


async def close_quarantined(
    connection: AsyncConnection,
    *,
    remittance_id: UUID,
    events: Mapping[int, UUID],
    released: Collection[int],
) -> None:
    """
    Note what became of the claims at these offsets, which were read with these event ids.

    Those in `released` were read with what a person supplied. Offsets that were never quarantined are fine.
    """
    await connection.execute(
        _CLOSE,
        {
            "remittance_id": remittance_id,
            "offsets": list(events),
            "events": list(events.values()),
            "states": ["released" if offset in released else "reread" for offset in events],
        },
    )


async def supplied_for(
    connection: AsyncConnection, *, remittances: Collection[UUID]
) -> dict[tuple[UUID, int], tuple[int, Supplied]]:
    """Give, by remittance and offset, the loop's length and what a person supplied for it."""
    found = await connection.execute(_SUPPLIED, {"remittances": list(remittances)})
    return {
        (row.remittance_id, row.byte_offset): (
            row.byte_length,
            msgspec.json.decode(row.supplied, type=Supplied),
        )
        for row in found
    }


async def supply(
    connection: AsyncConnection, *, quarantine_id: UUID, supplied: Supplied, by: UUID, reason: str
) -> None:
    """Keep what a person knows of a claim that could not be read; the next reading uses it."""
    told = {"supplied": msgspec.json.encode(supplied).decode(), "by": by, "reason": reason}
    await connection.execute(_SUPPLY, {"quarantine_id": quarantine_id, **told})


async def dismiss(connection: AsyncConnection, *, quarantine_id: UUID, by: UUID, reason: str) -> bool:
    """Note that nothing is to be done about a claim; False where something was done, or is under way."""
    told = {"quarantine_id": quarantine_id, "by": by, "reason": reason}
    return bool((await connection.execute(_DISMISS, told)).rowcount)


async def quarantined_claim(connection: AsyncConnection, quarantine_id: UUID) -> Any | None:
    """Give one row with its remittance's header and submitter; None where there is none in scope."""
    return (await connection.execute(_ONE, {"quarantine_id": quarantine_id})).one_or_none()


async def page_of_quarantined(
    engine: AsyncEngine,
    filters: Filters,
    *,
    organizations: Collection[UUID],
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """List quarantined claims, newest first, behind the position `before`."""
    before_at, before_id = before or (None, None)
    asked = {"state": filters.state, "remittance_id": filters.remittance_id, "limit": limit}
    async with transaction(engine, organizations=organizations) as connection:
        found = await connection.execute(_PAGE, {**asked, "before_at": before_at, "before_id": before_id})
        return [dict(row) for row in found.mappings()]


async def count_quarantined(engine: AsyncEngine) -> int:
    """Count what nobody could read yet, over the whole installation."""
    async with transaction(engine) as connection:
        return int(await connection.scalar(_COUNT) or 0)
