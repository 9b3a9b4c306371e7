"""
Staging: the claims of a transaction set go into the database batch by batch, and out of it at the set's end.

Every batch is one transaction that may be repeated: rows that are there stay, so a set that was cut short by
a crash is simply read again. Nothing is sent before the set's last batch released it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.ingest.domain.findings import CUT_SHORT, Finding
from services.ingest.domain.remittance import SetClosed
from services.ingest.store import claims, events, quarantine, remittances
from services.ingest.store.remittances import Remittance, Totals
from services.ingest.store.rereading import KeptClaim
from services.ingest.workers.batches import ClaimBatch, DenialEvent, Destination, PreparedBatch
from shared.postgres import transaction

KEPT_FINDINGS = 200
"""Findings shown per file and per remittance; all are counted."""


@dataclass(slots=True)
class FindingList:
    """The first findings of a file or a set, and how many there were."""

    count: int = 0
    kept: list[Finding] = field(default_factory=list)

    def add(self, found: Iterable[Finding]) -> None:
        for finding in found:
            self.count += 1
            if len(self.kept) < KEPT_FINDINGS or self._is_first_cut(finding):
                self.kept.append(finding)

    def _is_first_cut(self, found: Finding) -> bool:
        """That a file was cut is found at its end, and must not be lost behind what was found before."""
        return found.code in CUT_SHORT and found.code not in {one.code for one in self.kept}

    def as_json(self) -> str:
        return msgspec.json.encode(self.kept).decode()


@dataclass(slots=True)
class StagedSet:
    """
    A transaction set on its way in, with what was counted over its committed batches.

    `known`: an earlier attempt wrote some of it; `released`: it went out already, and is read again.
    """

    remittance: Remittance
    destination: Destination
    known: bool = False
    released: bool = False
    in_database: bool = False
    claims_read: int = 0
    charge_amount: Decimal = Decimal(0)
    paid_amount: Decimal = Decimal(0)
    duplicates: int = 0
    duplicate_charge_amount: Decimal = Decimal(0)
    quarantined: int = 0
    quarantined_charge_amount: Decimal = Decimal(0)
    findings: FindingList = field(default_factory=FindingList)

    def count(
        self, batch: ClaimBatch, duplicates: frozenset[int], left: Mapping[int, KeptClaim] | None = None
    ) -> None:
        """
        Add a batch, of which the claims at these positions are duplicates.

        Those `left` as an earlier reading has them, by offset, count with its amounts.
        """
        left = left or {}
        self.claims_read += len(batch.claims) + len(batch.quarantined)
        for claim in batch.claims:
            counted = left.get(claim.byte_offset, claim)
            self.charge_amount += counted.charge_amount
            self.paid_amount += counted.paid_amount
            if claim.position in duplicates:
                self.duplicates += 1
                self.duplicate_charge_amount += claim.charge_amount
            self.findings.add(claim.findings)
        for one in batch.quarantined:
            self.findings.add(one.findings)
            if kept := left.get(one.byte_offset):
                self.charge_amount += kept.charge_amount
                self.paid_amount += kept.paid_amount
                continue
            self.quarantined += 1
            self.charge_amount += one.charge_amount or 0
            self.quarantined_charge_amount += one.charge_amount or 0
        if batch.closed:
            self.findings.add(batch.closed.findings)

    def totals(self, closed: SetClosed) -> Totals:
        return Totals(
            truncated=closed.truncated,
            claims_read=self.claims_read,
            charge_read_amount=self.charge_amount,
            paid_read_amount=self.paid_amount,
            duplicates=self.duplicates,
            duplicate_charge_amount=self.duplicate_charge_amount,
            quarantined=self.quarantined,
            quarantined_charge_amount=self.quarantined_charge_amount,
            provider_adjustments=msgspec.json.encode(closed.provider_adjustments).decode(),
            balance_findings=_encode_amounts(closed.balance_findings).decode(),
            finding_count=self.findings.count,
            findings=self.findings.as_json(),
        )


_encode_amounts = msgspec.json.Encoder(decimal_format="string").encode


async def stage(engine: AsyncEngine, staged: StagedSet, batch: ClaimBatch, prepared: PreparedBatch) -> None:
    """Write one batch; the last one of a set releases the whole set in the same transaction."""
    remittance = staged.remittance
    whole_set = batch.closed is not None and not staged.in_database
    async with transaction(engine, organizations=[remittance.organization_id]) as connection:
        if not staged.in_database:
            await remittances.open_remittance(connection, remittance)
        written = await claims.write_claims(
            connection,
            prepared.rows,
            organization_id=remittance.organization_id,
            remittance_id=remittance.remittance_id,
        )
        await quarantine.keep_quarantined(
            connection,
            batch.quarantined,
            organization_id=remittance.organization_id,
            remittance_id=remittance.remittance_id,
        )
        if staged.known:  # by an older reader, perhaps, which could not read what is a claim now
            read = {row.byte_offset: row.event_id for row in prepared.rows}
            await quarantine.close_quarantined(
                connection, remittance_id=remittance.remittance_id, events=read, released=()
            )
        new = [denial for denial in prepared.denials if denial.row.position in written.new]
        await write_denials(connection, remittance, new, staged=not whole_set)
        staged.count(batch, written.duplicates)
        if batch.closed:
            # A set that came whole is due already, unless an earlier attempt had staged some of it.
            if not whole_set or len(written.new) < len(prepared.rows):
                await _release_events(connection, remittance, truncated=batch.closed.truncated)
            await remittances.release_remittance(connection, remittance, staged.totals(batch.closed))
    staged.in_database = True


async def write_denials(
    connection: AsyncConnection, remittance: Remittance, denials: Sequence[DenialEvent], *, staged: bool
) -> None:
    """Write denial events, each marked if an earlier claim has its numbers and trace."""
    siblings = await claims.earlier_siblings(
        connection,
        [denial.row for denial in denials],
        remittances=[remittance.remittance_id] * len(denials),
        received=[None] * len(denials),
    )
    if siblings:
        denials = [
            denial.as_duplicate_of(siblings[denial.row.event_id])
            if denial.row.event_id in siblings
            else denial
            for denial in denials
        ]
    await events.write_events(
        connection,
        [denial.message for denial in denials],
        remittances=[remittance.remittance_id] * len(denials),
        charges=[denial.row.charge_amount for denial in denials],
        denied=[denial.denied_amount for denial in denials],
        staged_for=remittance.remittance_id if staged else None,
    )


async def _release_events(connection: AsyncConnection, remittance: Remittance, *, truncated: bool) -> None:
    if truncated:
        await events.mark_truncated(connection, remittance_id=remittance.remittance_id)
    await events.release_events(connection, remittance_id=remittance.remittance_id)


async def release_part(engine: AsyncEngine, *, organization_id: UUID, remittance_id: UUID) -> None:
    """Let out what is staged of a set that cannot be read to its end; one that went out whole stays so."""
    async with transaction(engine, organizations=[organization_id]) as connection:
        if await remittances.release_part(connection, remittance_id=remittance_id):
            await events.mark_truncated(connection, remittance_id=remittance_id)
            await events.release_events(connection, remittance_id=remittance_id)
        await remittances.end_replay(connection, remittance_id=remittance_id)
