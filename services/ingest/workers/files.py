"""
One file, from its sealed bytes to released events: open, resolve each set's payee, stage, release, follow up.

Reading and sealing happen in a thread, one batch ahead of the database, so that the loop stays free.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.domain.aliases import with_alias
from services.ingest.domain.events import EventContext
from services.ingest.domain.findings import finding
from services.ingest.domain.reader import read
from services.ingest.domain.remittance import FileClosed, SetClosed, SetHeader, SetOpened
from services.ingest.store import remittances
from services.ingest.store.quarantine import supplied_for
from services.ingest.store.receipts import EXPIRED, Outcome, Receipt
from services.ingest.store.remittances import HeldSet, Remittance, remittance_id_of
from services.ingest.workers.batches import (
    ClaimBatch,
    CorrectedClaim,
    Destination,
    PreparedBatch,
    Step,
    prepare,
    steps,
)
from services.ingest.workers.corrected import corrected_claims
from services.ingest.workers.follow_ups import follow_up
from services.ingest.workers.payees import Organization, Payees
from services.ingest.workers.restaging import restage
from services.ingest.workers.staging import FindingList, StagedSet, release_part, stage
from shared.observability import metrics
from shared.postgres import transaction
from shared.security.keyring import Keyring, ShreddedError
from shared.storage.vault import Vault, VaultReader


@dataclass(frozen=True, slots=True)
class Workshop:
    """What reading a file needs."""

    engine: AsyncEngine
    vault: Vault
    keyring: Keyring
    payees: Payees


@dataclass(slots=True)
class Tally:
    """What a file came to, for its one log line."""

    claims_read: int = 0
    denied_claims: int = 0
    duplicates: int = 0
    quarantined: int = 0
    held: int = 0
    evented: int = 0


class FileInWork:
    """One attempt at one file."""

    def __init__(self, workshop: Workshop, receipt: Receipt) -> None:
        self.tally = Tally()
        self._workshop = workshop
        self._receipt = receipt
        self._held: frozenset[int] = frozenset()
        self._to_replay: frozenset[int] = frozenset()
        self._owners: dict[int, UUID] = {}
        self._findings = FindingList()
        self._header: SetHeader | None = None
        self._organization: Organization | None = None
        self._staged: StagedSet | None = None
        self._tests_refused = 0
        self._expired = 0

    async def read(self, stop: asyncio.Event) -> Outcome | None:
        """
        Read the whole file; None when `stop` came first. May be repeated after any failure.

        Raises ShreddedError when the file's key was deleted.
        """
        await self._remember()
        if self._receipt.stored is None:
            raise ShreddedError("The key of the raw file was deleted.", remedy="That was the purpose.")
        reader = await asyncio.to_thread(self._workshop.vault.open, self._receipt.stored)
        ahead: asyncio.Task[tuple[Step, PreparedBatch | None]] | None = None
        try:
            advance = _Advance(reader)
            ahead = asyncio.create_task(asyncio.to_thread(advance, None))
            while not stop.is_set():
                step, prepared = await ahead
                if isinstance(step, FileClosed):
                    return self._outcome(step)
                if isinstance(step, SetOpened):
                    await self._open(step.header)
                destination = self._staged.destination if self._staged else None
                ahead = asyncio.create_task(asyncio.to_thread(advance, destination))
                if isinstance(step, ClaimBatch):
                    await self._take(step, prepared)
            return None
        finally:
            if ahead is not None:
                await asyncio.gather(
                    ahead, return_exceptions=True
                )  # the thread must be done before the file closes
            reader.close()

    async def _remember(self) -> None:
        """Find out what earlier attempts left."""
        engine = self._workshop.engine
        ids = {"submitter_id": self._receipt.submitter_id, "receipt_id": self._receipt.receipt_id}
        self._held = await remittances.held_ordinals(engine, **ids)
        self._owners = await remittances.owners_of_sets(engine, **ids)
        if self._receipt.processed_before:
            self._to_replay = await remittances.ordinals_to_replay(engine, **ids)

    def _adds_something(self, set_ordinal: int) -> bool:
        """Tell whether a set is to be read: of a file that was read before, what is held or asked for."""
        return not self._receipt.processed_before or set_ordinal in self._held | self._to_replay

    async def _open(self, header: SetHeader) -> None:
        """Find out whose the set is."""
        self._header, self._organization, self._staged = header, None, None
        if not self._adds_something(header.set_ordinal):
            return
        # What an earlier attempt staged or held came before the feed refused it, and must not be stranded.
        is_new = header.set_ordinal not in self._held and header.set_ordinal not in self._owners
        if header.is_test and self._receipt.refuses_tests and is_new:
            self._refuse_test(header)
            return
        header = self._header = with_alias(header, self._receipt.payer_aliases)
        payees = self._workshop.payees
        if (owner := self._owners.get(header.set_ordinal)) is not None:
            # What an earlier attempt staged must be released where it is, though its payee may have moved.
            self._organization = await payees.organization(owner)
        else:
            self._organization = await payees.resolve(header.payee_identifiers)
        if self._organization is not None:
            try:
                self._staged = await self._begin(header, self._organization)
            except ShreddedError:
                await self._expire(header, self._organization)

    def _refuse_test(self, header: SetHeader) -> None:
        """Pass a set over that the feed does not take: neither staged nor held."""
        self._header = None
        self._tests_refused += 1
        found = finding("test_refused", segment_id="ST", byte_offset=header.byte_offset)
        self._findings.add((found,))

    async def _expire(self, header: SetHeader, organization: Organization) -> None:
        """
        Pass over a set whose organization let its month go: the file's other organizations keep theirs.

        What earlier attempts staged of it goes out. A set that went out whole loses nothing.
        """
        self._header = None
        engine, receipt = self._workshop.engine, self._receipt
        ids = {
            "organization_id": organization.organization_id,
            "remittance_id": remittance_id_of(receipt.receipt_id, header.set_ordinal),
        }
        if header.set_ordinal not in self._owners or not await remittances.is_released(engine, **ids):
            self._expired += 1
            self._findings.add((finding("set_expired", segment_id="ST", byte_offset=header.byte_offset),))
        if header.set_ordinal in self._owners:
            await release_part(engine, **ids)
            await self._follow_up(organization, ids["remittance_id"])
        await remittances.let_go(
            engine,
            submitter_id=receipt.submitter_id,
            receipt_id=receipt.receipt_id,
            set_ordinal=header.set_ordinal,
        )

    async def _begin(self, header: SetHeader, organization: Organization) -> StagedSet:
        receipt = self._receipt
        received_on = receipt.received_at.astimezone(organization.zone).date()
        remittance_id = remittance_id_of(receipt.receipt_id, header.set_ordinal)
        context = EventContext(
            organization_id=organization.organization_id,
            remittance_id=remittance_id,
            received_at=receipt.received_at,
            received_on=received_on,
            submitter_id=receipt.submitter_id,
            feed=receipt.feed,
            receipt_id=receipt.receipt_id,
        )
        remittance = Remittance(
            organization_id=organization.organization_id,
            remittance_id=remittance_id,
            submitter_id=receipt.submitter_id,
            receipt_id=receipt.receipt_id,
            feed=receipt.feed,
            set_ordinal=header.set_ordinal,
            received_at=receipt.received_at,
            is_test=header.is_test,
            header=msgspec.json.encode(header).decode(),
            payer_name=header.payer.name,
            trace_number=header.trace_number,
            payment_on=header.payment_on,
            payment_amount=header.payment_amount,
            payer_date=header.payer_date or received_on,
        )
        sealer = await self._workshop.keyring.sealer(organization.organization_id, received_on)
        if header.set_ordinal not in self._owners:
            return StagedSet(remittance, Destination(header, context, sealer))
        ids = {"organization_id": organization.organization_id, "remittance_id": remittance_id}
        return StagedSet(
            remittance,
            Destination(header, context, sealer, await self._corrected(header, organization, remittance_id)),
            known=True,
            released=await remittances.is_released(self._workshop.engine, **ids),
        )

    async def _corrected(
        self, header: SetHeader, organization: Organization, remittance_id: UUID
    ) -> dict[int, CorrectedClaim]:
        """Read the quarantined claims of a set for which a person supplied what is missing."""
        workshop, stored = self._workshop, self._receipt.stored
        async with transaction(workshop.engine, organizations=[organization.organization_id]) as connection:
            supplied = await supplied_for(connection, remittances=[remittance_id])
        if not supplied or stored is None:
            return {}
        reader = await asyncio.to_thread(workshop.vault.open, stored)
        try:
            return await asyncio.to_thread(corrected_claims, header, reader, supplied)
        finally:
            reader.close()

    async def _take(self, batch: ClaimBatch, prepared: PreparedBatch | None) -> None:
        self._note(batch)
        if self._staged is not None and prepared is not None:
            write = restage if self._staged.released else stage
            await write(self._workshop.engine, self._staged, batch, prepared)
            self.tally.denied_claims += len(prepared.denials)
        if batch.closed is not None:
            await self._close(batch.closed)

    async def _close(self, closed: SetClosed) -> None:
        workshop = self._workshop
        ids = {"submitter_id": self._receipt.submitter_id, "receipt_id": self._receipt.receipt_id}
        if self._staged is not None and self._organization is not None:
            self.tally.duplicates += self._staged.duplicates
            await self._follow_up(self._organization, self._staged.remittance.remittance_id)
            if closed.set_ordinal in self._held:
                await remittances.let_go(workshop.engine, **ids, set_ordinal=closed.set_ordinal)
        elif self._header is not None and self._adds_something(closed.set_ordinal):
            self.tally.held += 1
            held = HeldSet(
                closed.set_ordinal, self._header.payee_identifiers, closed.claims_read, closed.charge_amount
            )
            await remittances.hold_set(workshop.engine, held, **ids)
        self._staged = None

    async def _follow_up(self, organization: Organization, remittance_id: UUID) -> None:
        shop = self._workshop
        self.tally.evented += await follow_up(
            shop.engine, shop.vault, shop.keyring, organization=organization, remittance_id=remittance_id
        )

    def _note(self, batch: ClaimBatch) -> None:
        """Keep for the submitter's receipt what is wrong, whoever the claims belong to."""
        self.tally.claims_read += len(batch.claims) + len(batch.quarantined)
        self.tally.quarantined += len(batch.quarantined)
        for claim in batch.claims:
            self._findings.add(claim.findings)
        for quarantined in batch.quarantined:
            self._findings.add(quarantined.findings)
        if batch.closed is not None:
            self._findings.add(batch.closed.findings)
            metrics.TRUNCATED_SETS.inc(batch.closed.truncated)

    def _outcome(self, closed: FileClosed) -> Outcome:
        if closed.refusal is not None:
            self._findings.add((closed.refusal,))
        self._findings.add(closed.findings)
        metrics.CLAIMS_READ.labels("read").inc(self.tally.claims_read)
        metrics.CLAIMS_READ.labels("denied").inc(self.tally.denied_claims)
        metrics.CLAIMS_READ.labels("duplicate").inc(self.tally.duplicates)
        metrics.CLAIMS_READ.labels("quarantined").inc(self.tally.quarantined)
        reason = closed.refusal.code if closed.refusal else None
        if closed.accepted and 0 < self._tests_refused == closed.transaction_sets:
            reason = "test_refused"
        if closed.accepted and 0 < self._expired == closed.transaction_sets:
            reason = EXPIRED
        return Outcome(
            status="processed" if closed.accepted and reason is None else "refused",
            refused_reason=reason,
            bytes_read=closed.bytes_read,
            transaction_sets=closed.transaction_sets,
            claims_read=self.tally.claims_read,
            finding_count=self._findings.count,
            findings=self._findings.as_json(),
        )


class _Advance:
    """The reading side: called in a thread, never twice at once."""

    def __init__(self, reader: VaultReader) -> None:
        self._steps = steps(read(reader.blocks()))

    def __call__(self, destination: Destination | None) -> tuple[Step, PreparedBatch | None]:
        step = next(self._steps)
        if isinstance(step, ClaimBatch) and destination is not None:
            return step, prepare(step, destination)
        return step, None
