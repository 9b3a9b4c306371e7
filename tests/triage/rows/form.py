"""The form of the rows: a word that is not one of these, or a date without its arithmetic, fails."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from services.triage.domain.clocks import State
from shared.contracts.claim import PayerDateSource
from shared.contracts.decision import Action, Category, ClockKind, FactKind, Route, UrgencyClass

Text = Annotated[str, Meta(min_length=3)]
Money = Annotated[str, Meta(pattern=r"^-?\d+\.\d\d$")]
Refusal = Annotated[str, Meta(pattern=r"^([A-Z]{2}-[A-Z0-9]*)( -?\d+\.\d\d)?( x\d+)?$")]
Remark = Annotated[str, Meta(pattern=r"^[A-Z]{1,2}\d+$")]
Reference = Annotated[str, Meta(pattern=r"^([A-Z0-9]{2}|alias) \S.*$")]
Ending = Annotated[str, Meta(pattern=r"^(none|\d{4}-\d\d-\d\d( \d\d:\d\d [+-]\d\d:\d\d)? = .+)$")]
"""A date, or a local time with its offset, then the arithmetic that proves it; or "none"."""


class GivenLine(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One service line. `codes` refuse money; `ordinary` are adjustments that do not, such as CO-45."""

    charge: Money = "500.00"
    paid: Money = "0.00"
    codes: tuple[Refusal, ...] = ()
    ordinary: tuple[Refusal, ...] = ()
    remarks: tuple[Remark, ...] = ()
    pharmacy_remarks: tuple[str, ...] = ()
    procedure: str | None = None
    modifiers: tuple[str, ...] = ()
    billed_procedure: str | None = None
    revenue: str | None = None
    authorization: str | None = None
    service: date | None = None
    service_to: date | None = None


class Earlier(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """
    Another remittance about the same claim number: it refuses `codes`, or pays, or takes back.

    Unset, its day of service, and whether its file is a test, are the row's.
    """

    remittance: date
    codes: tuple[Refusal, ...] = ()
    remarks: tuple[Remark, ...] = ()
    paid: Money = "0.00"
    takes_back: bool = False
    service: date | None = None
    test_file: bool | None = None


class Given(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """
    What the remittance says. Unless told otherwise: one line of $500.00, served 2026-03-02, remitted 2026-03-20.

    What belongs to a line (`codes`, `remarks`, `procedure` …) describes the only line; for more, use `lines`.
    """

    codes: tuple[Refusal, ...] = ()
    claim_codes: tuple[Refusal, ...] = ()
    ordinary: tuple[Refusal, ...] = ()
    lines: tuple[GivenLine, ...] | None = None
    charge: Money = "500.00"
    paid: Money = "0.00"
    remarks: tuple[Remark, ...] = ()
    claim_remarks: tuple[Remark, ...] = ()
    pharmacy_remarks: tuple[str, ...] = ()
    procedure: str | None = None
    modifiers: tuple[str, ...] = ()
    billed_procedure: str | None = None
    revenue: str | None = None
    authorization: str | None = None
    claim_authorization: Reference | None = None

    payer: str | None = "NO SUCH PLAN"
    payer_ids: tuple[Reference, ...] = ()
    filing: str | None = None
    status: str = "1"
    place: str | None = None
    frequency: str | None = None
    drg: str | None = None
    version: str = "005010X221A1"
    payment: str | None = None
    patient_owes: Money | None = None

    service: date = date(2026, 3, 2)
    service_unknown: bool = False
    service_to: date | None = None
    statement_from: date | None = None
    statement_to: date | None = None
    remittance: date = date(2026, 3, 20)
    remittance_from: PayerDateSource = "dtm405"
    claim_received: date | None = None

    test_file: bool = False
    truncated: bool = False
    out_of_balance: bool = False
    facts: dict[FactKind, str] = {}
    others: tuple[Earlier, ...] = ()


class ExpectedClock(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One clock, found by kind and, if there are several, by policy, label or anchor. Unset is not compared."""

    kind: ClockKind
    policy: str | None = None
    label_has: str | None = None
    anchor: str | None = None
    permitted: bool | Literal["unknown"] | None = None
    deadline: Ending | None = None
    earliest: Ending | None = None
    latest: Ending | None = None
    state: State | None = None
    asks_for: tuple[FactKind, ...] | None = None
    consequence_has: str | None = None


class ExpectedItem(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One refused amount. `line` 0 is the claim level."""

    code: Annotated[str, Meta(pattern=r"^[A-Z]{2}-[A-Z0-9]*$")]
    line: int = 1
    category: Category | None = None
    route: Route | None = None
    amount: Money | None = None
    units: int | None = None
    dependent: bool | None = None


class Expect(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What must come out. `says`: words that a person reads; `no_words`: none of them. `no_way`: kinds of which no clock is open.

    `steps`: next actions in this order, others may stand between; `no_step`: none of them."""

    category: Category | None = None
    route: Route | Literal["none"] | None = None
    about_authorization: bool | None = None
    action: Action | None = None
    not_action: tuple[Action, ...] = ()
    steps: tuple[Action, ...] = ()
    no_step: tuple[Action, ...] = ()
    amount: Money | None = None
    urgency: UrgencyClass | None = None
    liable: Literal["provider", "patient", "payer", "unknown"] | None = None
    policy: str | None = None
    channel: str | None = None
    needs_human: bool | None = None
    next_clock: ClockKind | Literal["none"] | None = None
    no_way: tuple[ClockKind, ...] = ()
    says: tuple[Text, ...] = ()
    no_words: tuple[Text, ...] = ()


class Row(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """
    Given this denial, on this day, expect that. `because`: the source's section and words.

    `disputed` says why the program does not agree yet: the row must fail until the word is taken away.
    """

    name: Text
    because: Text
    given: Given
    expect: Expect = Expect()
    clocks: tuple[ExpectedClock, ...] = ()
    items: tuple[ExpectedItem, ...] = ()
    on: date = date(2026, 3, 21)
    disputed: Text | None = None

    def __post_init__(self) -> None:
        if self.expect == Expect() and not self.clocks and not self.items:
            raise ValueError(f"{self.name!r} expects nothing")


class Rows(Struct, forbid_unknown_fields=True, frozen=True):
    """One file of rows about one theme."""

    theme: Text
    rows: tuple[Row, ...]


def read_rows(path: Path) -> Rows:
    """Read a file of rows. Raises ValueError that names the file and the key that does not fit."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Rows)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path.name}: {error}") from error
