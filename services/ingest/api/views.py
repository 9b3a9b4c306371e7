"""What ingest shows of its rows. Amounts are US dollars, written as strings."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, computed_field

from services.ingest.domain.findings import CUT_SHORT


class FindingView(BaseModel):
    """
    One fault and what to do about it. `element` counts from 1, `byte_offset` from 0.

    `difference`, reported minus computed, is by how much amounts do not add up. Never a value from the file.
    """

    code: str
    message: str
    remedy: str
    severity: Literal["error", "warning", "note"]
    segment_number: int | None = None
    segment_id: str | None = None
    element: int | None = None
    byte_offset: int | None = None
    difference: Decimal | None = None


class HeldSetView(BaseModel):
    """A transaction set of a file that waits. `set_ordinal` counts the 835s of the file from 1."""

    set_ordinal: int
    payee_identifiers: list[str]
    claims_read: int
    charge_amount: Decimal
    held_at: AwareDatetime

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def explanation(self) -> str:
        """Say in words what is held, why, and what ends it."""
        payee = " or ".join(self.payee_identifiers) or "that the set does not name"
        claims = "1 claim" if self.claims_read == 1 else f"{self.claims_read:,} claims"
        return (
            f"Transaction set {self.set_ordinal} ({claims}, charges {self.charge_amount:,.2f}) is held: no"
            f" organization has registered the payee {payee}. It is released when one does."
        )


class ReceiptView(BaseModel):
    """
    What became of a file. `held` sets wait until their payee is registered; at most a hundred are shown.

    `findings` may be cut; `finding_count` counts them all. `acknowledgment_cut_short` says why
    conformance was not looked at to the end of the file: size, time, errors, sets, or failed.
    """

    receipt_id: UUID
    feed: str
    file_name: str | None
    received_at: AwareDatetime
    sha256: str
    size_bytes: int
    status: Literal["received", "processing", "processed", "refused"]
    processed_at: AwareDatetime | None
    bytes_read: int
    transaction_sets: int
    claims_read: int
    held_transaction_sets: int
    held_claims: int
    held: list[HeldSetView]
    refused_reason: str | None
    finding_count: int
    findings: list[FindingView]
    acknowledgment: Literal["due", "made", "declined", "failed"]
    acknowledgment_cut_short: str | None

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def truncated(self) -> bool:
        """The file ends too early: its last claim may be cut and others missing. Ask for the whole file."""
        return any(one.code in CUT_SHORT for one in self.findings)


class ReceiptList(BaseModel):
    data: list[ReceiptView]


class WantedReceipts(BaseModel):
    """
    Hashes of files, as hexadecimal digits.

    `feed`: the one through which they would be pushed; if one is there already, that feed is alive.
    """

    model_config = ConfigDict(extra="forbid")

    sha256: Annotated[
        list[Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]], Field(min_length=1, max_length=500)
    ]
    feed: Annotated[str, StringConstraints(max_length=63)] | None = None


class PushedView(ReceiptView):
    """`duplicate`: the same bytes were here before; this is the receipt of then."""

    duplicate: bool


class RemittanceView(BaseModel):
    """One transaction set. `released_at` null: it is still being read. `payment_amount` is BPR02, signed."""

    remittance_id: UUID
    receipt_id: UUID
    feed: str
    received_at: AwareDatetime
    released_at: AwareDatetime | None
    is_test: bool
    truncated: bool
    payer_name: str | None
    trace_number: str | None
    payment_on: date | None
    payment_amount: Decimal | None
    payer_date: date
    claims_read: int
    charge_read_amount: Decimal
    paid_read_amount: Decimal
    duplicates: int
    quarantined: int
    provider_adjustments: list[dict[str, Any]]
    finding_count: int
    findings: list[FindingView]


class BalanceView(BaseModel):
    """Amounts of the whole set that do not add up: `difference` is reported minus computed."""

    level: Literal["line", "claim", "transaction"]
    reported_amount: Decimal
    computed_amount: Decimal
    difference: Decimal


class ClaimLink(BaseModel):
    """
    A claim that a provider adjustment may mean; numbers are null where the raw file was deleted.

    The reference is free text: `medium` where it is the number and nothing else, `low` where it contains it.
    """

    event_id: UUID
    remittance_id: UUID
    position: int
    kind: Literal["denied", "reversed", "adjudicated", "predetermination"]
    claim_number: str | None
    payer_claim_number: str | None
    matched: Literal["claim_number", "payer_claim_number"]
    confidence: Literal["medium", "low"]


class ProviderAdjustmentView(BaseModel):
    """One pair of a PLB segment; a positive amount lowers the payment. `meaning` null: an unknown code."""

    provider_id: str
    fiscal_period_on: date | None
    reason: str
    meaning: str | None
    reference: str | None
    amount: Decimal
    links: list[ClaimLink]


class RemittanceDetail(BaseModel):
    """
    One transaction set with what it says of itself, what does not add up, and its provider adjustments.

    `charge_read_amount` and `paid_read_amount` are over its claims, quarantined ones as far as readable.
    """

    remittance_id: UUID
    receipt_id: UUID
    feed: str
    set_ordinal: int
    received_at: AwareDatetime
    released_at: AwareDatetime | None
    is_test: bool
    truncated: bool
    version: str | None
    payer_name: str | None
    payer_trace_id: str | None
    payee_name: str | None
    trace_number: str | None
    payment_on: date | None
    payment_method: str | None
    payment_amount: Decimal | None
    currency: str | None
    payer_date: date
    claims_read: int
    charge_read_amount: Decimal
    paid_read_amount: Decimal
    duplicates: int
    quarantined: int
    quarantined_charge_amount: Decimal
    balance_findings: list[BalanceView]
    provider_adjustments: list[ProviderAdjustmentView]
    finding_count: int
    findings: list[FindingView]
    reader_revision: int
    being_read_again: bool


class RemittancePage(BaseModel):
    data: list[RemittanceView]
    has_more: bool
    next_cursor: str | None


class HeldView(BaseModel):
    """A transaction set whose payee nobody registered. `payee_identifiers` are its NPI and TINs, as sent."""

    receipt_id: UUID
    set_ordinal: int
    payee_identifiers: list[str]
    claims_read: int
    charge_amount: Decimal
    held_at: AwareDatetime


class HeldPage(BaseModel):
    data: list[HeldView]
    has_more: bool
    next_cursor: str | None
