"""A transaction set as the reader hands it on: its header, its end, and the end of the file."""

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from services.ingest.domain.claim import Claim
from services.ingest.domain.findings import Finding
from services.ingest.x12.delimiters import Delimiters
from shared.contracts.claim import BalanceFinding, Party


class SetHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What holds for every claim of one transaction set; goes to JSON and back unchanged (msgspec).

    `payee_identifiers` are the NPI and TINs by which the payee may be registered, NPI first. `payer_date`
    is None where the file has no usable date at all: the receipt's date stands in, with source "receipt".
    """

    set_ordinal: int  # of this transaction set in its file, from 1, 835s only
    byte_offset: int  # of the ST segment
    delimiters: Delimiters
    is_test: bool = False  # ISA15 T
    interchange_control_number: str | None = None  # ISA13
    interchange_sender: str | None = None  # ISA06
    group_control_number: str | None = None  # GS06
    group_created_on: date | None = None  # GS04
    version: str | None = None  # GS08
    set_control_number: str | None = None  # ST02
    payer: Party = Party()
    payee: Party = Party()
    payee_identifiers: tuple[str, ...] = ()
    trace_number: str | None = None  # TRN02
    payer_trace_id: str | None = None  # TRN03
    payment_amount: Decimal | None = None  # BPR02, negative where BPR03 says debit
    payment_method: str | None = None  # BPR04
    payment_on: date | None = None  # BPR16
    production_on: date | None = None  # DTM*405
    payer_date: date | None = None
    payer_date_source: Literal["dtm405", "bpr16", "gs04", "receipt"] = "receipt"
    currency: str = "USD"  # CUR02

    def __repr__(self) -> str:
        return f"<SetHeader {self.set_ordinal}>"


class ProviderAdjustment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One pair of a PLB segment. A positive amount lowers the payment.

    Its repr prints nothing: the reference is free text, in which payers write claim and patient numbers.
    """

    provider_id: str  # PLB01
    fiscal_period_on: date | None  # PLB02
    reason: str  # PLB03-1
    amount: Decimal
    reference: str | None = None  # PLB03-2; gone with the raw file, once that is purged

    def __repr__(self) -> str:
        return "<ProviderAdjustment>"


class SetOpened(msgspec.Struct, frozen=True):
    header: SetHeader


class ClaimRead(msgspec.Struct, frozen=True):
    claim: Claim


class ClaimQuarantined(msgspec.Struct, frozen=True, kw_only=True):
    """
    A claim that cannot be identified, or whose CLP amounts cannot be read. Its neighbours go on.

    `defect` is set where we failed, not the file: for the log.
    """

    position: int
    byte_offset: int
    byte_length: int
    charge_amount: Decimal | None
    findings: tuple[Finding, ...]
    defect: Exception | None = None


class SetClosed(msgspec.Struct, frozen=True, kw_only=True):
    """
    The end of a transaction set. `claims_read` counts ClaimRead and ClaimQuarantined alike; the sums are over
    ClaimRead plus what is readable of the quarantined. `findings` hold the set's own, not the claims'.
    """

    set_ordinal: int
    truncated: bool  # it ended without SE
    claims_read: int
    quarantined: int
    charge_amount: Decimal
    paid_amount: Decimal
    provider_adjustments: tuple[ProviderAdjustment, ...]
    balance_findings: tuple[BalanceFinding, ...]  # level "transaction"
    findings: tuple[Finding, ...]


class FileClosed(msgspec.Struct, frozen=True, kw_only=True):
    """
    The last item, always. `refusal` is set, and `accepted` False, where no 835 could be read at all;
    `complete` tells that every interchange ended with its IEA. `findings` hold the envelope's.
    """

    accepted: bool
    complete: bool
    refusal: Finding | None
    bytes_read: int
    transaction_sets: int  # 835s
    findings: tuple[Finding, ...]


ReaderItem = SetOpened | ClaimRead | ClaimQuarantined | SetClosed | FileClosed
