"""
Remittances: one row per transaction set of an organization; sets of unknown payees are held.

A remittance is staged while `released_at` is null: nothing of it leaves ingest before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ingest.domain.events import READER_REVISION
from shared.postgres import transaction


def remittance_id_of(receipt_id: UUID, set_ordinal: int) -> UUID:
    """Identify a transaction set by its file's receipt and its place there, the same in every attempt."""
    return uuid5(receipt_id, str(set_ordinal))


@dataclass(frozen=True, slots=True)
class Remittance:
    """What is known when a transaction set opens. `header` is the JSON of its SetHeader."""

    organization_id: UUID
    remittance_id: UUID
    submitter_id: UUID
    receipt_id: UUID
    feed: str
    set_ordinal: int
    received_at: datetime
    is_test: bool
    header: str
    payer_name: str | None
    trace_number: str | None
    payment_on: date | None
    payment_amount: Decimal | None
    payer_date: date


@dataclass(frozen=True, slots=True)
class Totals:
    """What is known when it ends. `claims_read` = claims kept + duplicates + quarantined. Amounts as sent."""

    truncated: bool
    claims_read: int
    charge_read_amount: Decimal
    paid_read_amount: Decimal
    duplicates: int
    duplicate_charge_amount: Decimal
    quarantined: int
    quarantined_charge_amount: Decimal
    provider_adjustments: str
    balance_findings: str
    finding_count: int
    findings: str


@dataclass(frozen=True, slots=True)
class HeldSet:
    """A transaction set whose payee nobody registered: its size and sum, never its claims."""

    set_ordinal: int
    payee_identifiers: tuple[str, ...]
    claims_read: int
    charge_amount: Decimal


_OPEN = text("""
    insert into ingest.remittances (organization_id, remittance_id, submitter_id, receipt_id, feed,
        set_ordinal, received_at, is_test, header, payer_name, trace_number, payment_on, payment_amount,
        payer_date)
    values (:organization_id, :remittance_id, :submitter_id, :receipt_id, :feed, :set_ordinal,
        :received_at, :is_test, cast(:header as jsonb), :payer_name, :trace_number, :payment_on,
        :payment_amount, :payer_date)
    on conflict do nothing
""")
_RELEASE = text("""
    update ingest.remittances set released_at = coalesce(released_at, now()), truncated = :truncated,
        claims_read = :claims_read, charge_read_amount = :charge_read_amount,
        paid_read_amount = :paid_read_amount, duplicates = :duplicates,
        duplicate_charge_amount = :duplicate_charge_amount, quarantined = :quarantined,
        quarantined_charge_amount = :quarantined_charge_amount,
        provider_adjustments = cast(:provider_adjustments as jsonb),
        balance_findings = cast(:balance_findings as jsonb), finding_count = :finding_count,
        findings = cast(:findings as jsonb), reader_revision = :reader_revision, replay_asked_at = null
    where organization_id = :organization_id and remittance_id = :remittance_id
""")
_REOPEN = text("""
    update ingest.remittances set header = cast(:header as jsonb), payer_name = :payer_name,
        trace_number = :trace_number, payment_on = :payment_on, payment_amount = :payment_amount,
        payer_date = :payer_date
    where remittance_id = :remittance_id
""")
_RELEASED = text(
    "select released_at is not null from ingest.remittances where remittance_id = :remittance_id"
)
_END_REPLAY = text("""
    update ingest.remittances set replay_asked_at = null
    where remittance_id = :remittance_id and replay_asked_at is not null
""")
_TO_REPLAY = text("select set_ordinal from ingest.replays_of_receipt(:submitter_id, :receipt_id)")
_OWNERS = text("""
    select organization_id, set_ordinal from ingest.remittances_of_receipt(:submitter_id, :receipt_id)
""")
_RELEASE_PART = text("""
    with kept as (
        select count(*) as claims, coalesce(sum(charge_amount), 0) as charge,
            coalesce(sum(paid_amount), 0) as paid
        from (
            select distinct on (position) charge_amount, paid_amount from ingest.claims
            where remittance_id = :remittance_id
            order by position, revision desc
        ) as latest
    )
    update ingest.remittances r set released_at = coalesce(released_at, now()), truncated = true,
        claims_read = kept.claims + duplicates + quarantined,
        charge_read_amount = kept.charge + duplicate_charge_amount + quarantined_charge_amount,
        paid_read_amount = kept.paid
    from kept
    where remittance_id = :remittance_id
        and (released_at is null or claims_read <> kept.claims + duplicates + quarantined)
    returning 1
""")
_SOURCES = text("""
    select remittance_id, submitter_id, receipt_id, feed, received_at, truncated,
        cast(header as text) as header
    from ingest.remittances
    where remittance_id = any (cast(:remittances as uuid[]))
        and released_at is not null
""")
_PAGE = text("""
    select remittance_id, receipt_id, feed, received_at, released_at, is_test, truncated, payer_name,
        trace_number, payment_on, payment_amount, payer_date, claims_read, charge_read_amount,
        paid_read_amount, duplicates, quarantined, provider_adjustments, finding_count, findings
    from ingest.remittances
    where organization_id = :organization_id
        and (cast(:before_at as timestamptz) is null
            or (received_at, remittance_id) < (cast(:before_at as timestamptz), cast(:before_id as uuid)))
    order by received_at desc, remittance_id desc
    limit :limit
""")
_HOLD = text("""
    insert into ingest.held_remittances (submitter_id, receipt_id, set_ordinal, payee_identifiers,
        claims_read, charge_amount)
    values (:submitter_id, :receipt_id, :set_ordinal, cast(:payee_identifiers as text[]), :claims_read,
        :charge_amount)
    on conflict (submitter_id, receipt_id, set_ordinal) do update set
        payee_identifiers = excluded.payee_identifiers, claims_read = excluded.claims_read,
        charge_amount = excluded.charge_amount
""")
_LET_GO = text("""
    delete from ingest.held_remittances
    where submitter_id = :submitter_id and receipt_id = :receipt_id and set_ordinal = :set_ordinal
""")
_HELD_OF_RECEIPT = text("""
    select set_ordinal from ingest.held_remittances
    where submitter_id = :submitter_id and receipt_id = :receipt_id
""")
_HELD = text("""
    select receipt_id, set_ordinal, payee_identifiers, claims_read, charge_amount, held_at
    from ingest.held_remittances
    where submitter_id = any (cast(:submitters as uuid[]))
        and (cast(:after_id as uuid) is null
            or (receipt_id, set_ordinal) > (cast(:after_id as uuid), cast(:after_ordinal as integer)))
    order by receipt_id, set_ordinal
    limit :limit
""")


async def open_remittance(connection: AsyncConnection, remittance: Remittance) -> None:
    """Stage a remittance; one that is there already stays as it is."""
    await connection.execute(
        _OPEN,
        {
            "organization_id": remittance.organization_id,
            "remittance_id": remittance.remittance_id,
            "submitter_id": remittance.submitter_id,
            "receipt_id": remittance.receipt_id,
            "feed": remittance.feed,
            "set_ordinal": remittance.set_ordinal,
            "received_at": remittance.received_at,
            "is_test": remittance.is_test,
            "header": remittance.header,
            "payer_name": remittance.payer_name,
            "trace_number": remittance.trace_number,
            "payment_on": remittance.payment_on,
            "payment_amount": remittance.payment_amount,
            "payer_date": remittance.payer_date,
        },
    )


async def is_released(engine: AsyncEngine, *, organization_id: UUID, remittance_id: UUID) -> bool:
    """Tell whether an earlier attempt read a set to its end, or gave it up."""
    async with transaction(engine, organizations=[organization_id]) as connection:
        return bool(await connection.scalar(_RELEASED, {"remittance_id": remittance_id}))


async def reopen_remittance(connection: AsyncConnection, remittance: Remittance) -> None:
    """Write what a new reading says of the header of a released set; that it is released stays."""
    await connection.execute(
        _REOPEN,
        {
            "remittance_id": remittance.remittance_id,
            "header": remittance.header,
            "payer_name": remittance.payer_name,
            "trace_number": remittance.trace_number,
            "payment_on": remittance.payment_on,
            "payment_amount": remittance.payment_amount,
            "payer_date": remittance.payer_date,
        },
    )


async def end_replay(connection: AsyncConnection, *, remittance_id: UUID) -> None:
    """Give up reading a remittance again: it stays as it was read before."""
    await connection.execute(_END_REPLAY, {"remittance_id": remittance_id})


async def ordinals_to_replay(engine: AsyncEngine, *, submitter_id: UUID, receipt_id: UUID) -> frozenset[int]:
    """Give the places, in one file, of the sets that somebody wants read again."""
    async with transaction(engine) as connection:
        asked = {"submitter_id": submitter_id, "receipt_id": receipt_id}
        return frozenset((await connection.execute(_TO_REPLAY, asked)).scalars())


async def release_remittance(connection: AsyncConnection, remittance: Remittance, totals: Totals) -> None:
    """Write what the whole set came to; it counts as released from the first time on."""
    await connection.execute(
        _RELEASE,
        {
            "organization_id": remittance.organization_id,
            "remittance_id": remittance.remittance_id,
            "truncated": totals.truncated,
            "claims_read": totals.claims_read,
            "charge_read_amount": totals.charge_read_amount,
            "paid_read_amount": totals.paid_read_amount,
            "duplicates": totals.duplicates,
            "duplicate_charge_amount": totals.duplicate_charge_amount,
            "quarantined": totals.quarantined,
            "quarantined_charge_amount": totals.quarantined_charge_amount,
            "provider_adjustments": totals.provider_adjustments,
            "balance_findings": totals.balance_findings,
            "reader_revision": READER_REVISION,
            "finding_count": totals.finding_count,
            "findings": totals.findings,
        },
    )


async def owners_of_sets(engine: AsyncEngine, *, submitter_id: UUID, receipt_id: UUID) -> dict[int, UUID]:
    """Give, by place in the file, to which organization each set went that was ever staged."""
    async with transaction(engine) as connection:
        asked = {"submitter_id": submitter_id, "receipt_id": receipt_id}
        found = await connection.execute(_OWNERS, asked)
        return {row.set_ordinal: UUID(bytes=row.organization_id.bytes) for row in found}


async def release_part(connection: AsyncConnection, *, remittance_id: UUID) -> bool:
    """
    Release what is kept of a set that cannot be read to its end, as truncated; False when all of it was.

    What no attempt committed is not known: duplicates and quarantined claims count as far as they were.
    """
    return await connection.scalar(_RELEASE_PART, {"remittance_id": remittance_id}) is not None


async def remittance_sources(connection: AsyncConnection, *, remittances: Sequence[UUID]) -> list[Any]:
    """Give where released remittances came from, with their headers: what their claims' events need."""
    return list((await connection.execute(_SOURCES, {"remittances": list(remittances)})).all())


async def page_of_remittances(
    engine: AsyncEngine, *, organization_id: UUID, before: tuple[datetime, UUID] | None, limit: int
) -> list[dict[str, Any]]:
    """List an organization's remittances, newest first, behind the position `before`."""
    before_at, before_id = before or (None, None)
    asked = {
        "organization_id": organization_id,
        "before_at": before_at,
        "before_id": before_id,
        "limit": limit,
    }
    async with transaction(engine, organizations=[organization_id]) as connection:
        return [dict(row) for row in (await connection.execute(_PAGE, asked)).mappings()]


async def hold_set(engine: AsyncEngine, held: HeldSet, *, submitter_id: UUID, receipt_id: UUID) -> None:
    """Keep the set for its submitter until the payee is registered."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        await connection.execute(
            _HOLD,
            {
                "submitter_id": submitter_id,
                "receipt_id": receipt_id,
                "set_ordinal": held.set_ordinal,
                "payee_identifiers": list(held.payee_identifiers),
                "claims_read": held.claims_read,
                "charge_amount": held.charge_amount,
            },
        )


async def let_go(engine: AsyncEngine, *, submitter_id: UUID, receipt_id: UUID, set_ordinal: int) -> None:
    """Forget that a set is held, once it is released and followed up: until then its file is read again."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        await connection.execute(
            _LET_GO, {"submitter_id": submitter_id, "receipt_id": receipt_id, "set_ordinal": set_ordinal}
        )


async def held_ordinals(engine: AsyncEngine, *, submitter_id: UUID, receipt_id: UUID) -> frozenset[int]:
    """Give the places, in one file, of the sets that are held."""
    async with transaction(engine, submitters=[submitter_id]) as connection:
        asked = {"submitter_id": submitter_id, "receipt_id": receipt_id}
        return frozenset((await connection.execute(_HELD_OF_RECEIPT, asked)).scalars())


async def page_of_held(
    engine: AsyncEngine, *, submitters: Sequence[UUID], after: tuple[UUID, int] | None, limit: int
) -> list[dict[str, Any]]:
    """List held sets behind the position `after`."""
    after_id, after_ordinal = after or (None, None)
    asked = {
        "submitters": list(submitters),
        "after_id": after_id,
        "after_ordinal": after_ordinal,
        "limit": limit,
    }
    async with transaction(engine, submitters=submitters) as connection:
        return [dict(row) for row in (await connection.execute(_HELD, asked)).mappings()]
