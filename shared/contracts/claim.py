"""A claim as one remittance reports it: the facts that the claim events share. All amounts in US dollars."""

from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar, Literal
from uuid import UUID

from shared.contracts.base import Event, Value

DateSource = Literal["line", "line_range", "claim", "none"]
"""Where a date of service came from: DTM*472, DTM*150/151, DTM*232/233, or nowhere."""

PayerDateSource = Literal["dtm405", "bpr16", "gs04", "receipt"]


class Adjustment(Value, frozen=True, kw_only=True):
    """One CAS triplet. A positive amount lowers the payment. `quantity` is denied units or days (CAS04)."""

    group: str
    reason: str
    amount: Decimal
    quantity: Decimal | None = None


class Remark(Value, frozen=True, kw_only=True):
    """A remark code. `source` is LQ (line), MIA or MOA (claim); LQ may carry NCPDP codes (`code_list` RX)."""

    code: str
    source: Literal["LQ", "MIA", "MOA"]
    code_list: str = "HE"


class Reference(Value, frozen=True, kw_only=True):
    """A REF segment: `qualifier` REF01, `value` REF02."""

    qualifier: str
    value: str


class SealedPerson(Value, frozen=True, kw_only=True):
    """
    A person, unreadable without the organization's key.

    `sealed` is an AES-GCM value (see shared.security.sealing); the indexes are keyed hashes that allow an
    exact look-up. All three are None where there is no key, as in `reprieve explain`.
    """

    sealed: str | None = None
    name_index: str | None = None
    member_id_index: str | None = None


ALIAS = "alias"
"""The qualifier of an id that nobody sent: what the feed's owner says the payer is, an id or a name."""


class Party(Value, frozen=True, kw_only=True):
    """
    A payer or a payee, with its ids as sent: qualifier XV, XX, FI, or a REF qualifier, TRN03, BPR10.

    A payer may have an id with the qualifier ALIAS behind them.
    """

    name: str | None = None
    ids: tuple[Reference, ...] = ()


class ServiceLine(Value, frozen=True, kw_only=True):
    """One SVC loop. `number` counts from 1 within the claim; `control_number` is REF*6R."""

    number: int
    charge_amount: Decimal
    paid_amount: Decimal
    allowed_amount: Decimal | None = None
    control_number: str | None = None
    qualifier: str | None = None
    code: str | None = None
    modifiers: tuple[str, ...] = ()
    original_qualifier: str | None = None
    original_code: str | None = None
    revenue_code: str | None = None
    units_paid: Decimal | None = None
    units_original: Decimal | None = None
    service_from: date | None = None
    service_to: date | None = None
    adjustments: tuple[Adjustment, ...] = ()
    remarks: tuple[Remark, ...] = ()
    authorization_numbers: tuple[Reference, ...] = ()


class BalanceFinding(Value, frozen=True, kw_only=True):
    """An amount that does not add up (TR3 1.10.2): `difference` is reported minus computed."""

    level: Literal["line", "claim", "transaction"]
    reported_amount: Decimal
    computed_amount: Decimal
    difference: Decimal
    line_number: int | None = None


class ClaimObserved(Event, frozen=True, kw_only=True):
    """What one remittance says of one claim. The base of ClaimDenied, ClaimReversed and ClaimAdjudicated."""

    topic: ClassVar[str] = "claim-events"

    event_id: UUID
    revision: int
    claim_key: UUID
    submitter_id: UUID | None = None
    feed: str | None = None
    receipt_id: UUID | None = None
    remittance_id: UUID
    received_at: datetime
    received_on: date  # the receipt's date in the organization's time zone: the first `as_of`
    is_test: bool = False
    position: int  # ordinal of the claim in its transaction set, from 1
    version: str | None = None  # GS08

    payer: Party
    payee: Party
    trace_number: str | None = None  # TRN02
    payer_trace_id: str | None = None  # TRN03
    payment_on: date | None = None  # BPR16
    payment_method: str | None = None  # BPR04
    production_on: date | None = None  # DTM*405
    payer_date: date  # the first of DTM*405, BPR16, GS04, receipt
    payer_date_source: PayerDateSource

    claim_number: str  # CLP01
    claim_status: str  # CLP02
    charge_amount: Decimal  # CLP03
    paid_amount: Decimal  # CLP04
    patient_responsibility_amount: Decimal | None = None  # CLP05
    filing_indicator: str | None = None  # CLP06
    payer_claim_number: str | None = None  # CLP07
    facility_type: str | None = None  # CLP08
    frequency: str | None = None  # CLP09
    drg: str | None = None  # CLP11

    patient: SealedPerson | None = None
    subscriber: SealedPerson | None = None
    corrected_patient: SealedPerson | None = None  # NM1*74
    rendering_npi: str | None = None
    crossover_payer: str | None = None  # NM1*TT
    corrected_payer: str | None = None  # NM1*PR in 2100

    statement_from: date | None = None  # DTM*232
    statement_to: date | None = None  # DTM*233
    service_from: date | None = None  # earliest over lines, else the claim's
    service_to: date | None = None  # latest
    service_date_source: DateSource = "none"
    claim_received_on: date | None = None  # DTM*050
    coverage_expires_on: date | None = None  # DTM*036

    adjustments: tuple[Adjustment, ...] = ()
    remarks: tuple[Remark, ...] = ()
    authorization_numbers: tuple[Reference, ...] = ()  # REF*G1, REF*BB
    references: tuple[Reference, ...] = ()  # REF*1L, 6P, 9A, 9C, CE, F8: none is the patient's
    lines: tuple[ServiceLine, ...] = ()
    balance_findings: tuple[BalanceFinding, ...] = ()
    truncated: bool = False  # its transaction set ended without SE
    possible_duplicate_of: UUID | None = None
    supplied: tuple[str, ...] = ()  # fields of this event that a person filled in: unreadable in the file

    @property
    def message_id(self) -> UUID:
        return self.event_id

    @property
    def message_revision(self) -> int:
        return self.revision

    @property
    def message_key(self) -> UUID:
        return self.claim_key


class DeniedAdjustment(Value, frozen=True, kw_only=True):
    """
    An adjustment that ingest did not recognise as ordinary (docs/x12-835.md), so it denies money.

    `line_number` None means claim level. `reason` is empty where nothing explains the unpaid amount.
    """

    line_number: int | None = None
    group: str
    reason: str
    amount: Decimal
    quantity: Decimal | None = None
