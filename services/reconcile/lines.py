"""
The lines that the services answer to a reconciliation: ids, states and sums in US dollars.

Streams of events, decisions and ledger entries come ordered by organization, event and revision.
"""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

Key = tuple[UUID, UUID, int]
"""Organization, event id, revision: what the streams are joined on."""


class ReceiptLine(msgspec.Struct, frozen=True, kw_only=True):
    """A file that ingest did not finish, or of which it holds transaction sets for an unknown payee."""

    receipt_id: UUID
    submitter_id: UUID
    status: Literal["received", "processing", "processed", "refused"]
    refused_reason: str | None
    held_sets: int
    held_claims: int
    held_charge_amount: Decimal
    received_at: datetime


class RemittanceLine(msgspec.Struct, frozen=True, kw_only=True):
    """
    What ingest read of one remittance. `released` False: it is still being read.

    `cut`: it ended too early, and no whole one of the same payer and trace number came.
    """

    organization_id: UUID
    remittance_id: UUID
    receipt_id: UUID
    claims_read: int
    charge_read_amount: Decimal
    evented: int
    evented_charge_amount: Decimal
    no_event: int
    no_event_charge_amount: Decimal
    duplicates: int
    duplicate_charge_amount: Decimal
    quarantined: int
    quarantined_charge_amount: Decimal
    dismissed: int = 0  # an ingest of the version before says nothing of them
    dismissed_charge_amount: Decimal = Decimal(0)
    denied_amount: Decimal
    released: bool
    cut: bool = False  # nor of these


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One event, as one service knows it."""

    organization_id: UUID
    event_id: UUID
    revision: int
    charge_amount: Decimal
    denied_amount: Decimal

    @property
    def key(self) -> Key:
        return (self.organization_id, self.event_id, self.revision)

    @property
    def amounts(self) -> tuple[Decimal, Decimal]:
        return (self.charge_amount, self.denied_amount)


class EventLine(Line, frozen=True, kw_only=True):
    """An event of ingest. `state` is staged, open, settled or parked; `created_at` None: age unknown."""

    remittance_id: UUID
    state: str
    parked_reason: str | None = None
    created_at: datetime | None = None


class DecisionLine(Line, frozen=True, kw_only=True):
    """An event that triage decided, with the state of its latest decision."""

    decisions: int
    latest_decision_id: UUID
    latest_decision_revision: int
    state: str
    parked_reason: str | None = None
    decided_at: datetime | None = None


class LedgerLine(Line, frozen=True, kw_only=True):
    """An event in the tracker's ledger, with the highest decision revision recorded for it."""

    decision_revision: int
