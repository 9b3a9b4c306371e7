"""CaseOpened, CaseChanged, CaseClosed: the tracker tells whoever listens. No claim number, no patient."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

from shared.contracts.base import Event
from shared.contracts.decision import Category


class CaseEvent(Event, frozen=True, kw_only=True):
    """
    `version` rises by one with every change of the case; `changed` names the fields that moved.

    `step` is what a person did (submit, close …); without it a remittance or a decision moved the case.
    """

    topic: ClassVar[str] = "case-events"

    case_event_id: UUID
    case_id: UUID
    version: int
    occurred_at: datetime
    state: str
    category: Category
    auth_related: bool
    amount_at_stake: Decimal
    is_test: bool = False
    payer: str | None = None
    next_deadline_at: datetime | None = None
    closed_reason: str | None = None
    changed: tuple[str, ...] = ()
    step: str | None = None

    @property
    def message_id(self) -> UUID:
        return self.case_event_id

    @property
    def message_key(self) -> UUID:
        return self.case_id


class CaseOpened(CaseEvent, frozen=True, kw_only=True):
    """A denial opened a case."""


class CaseChanged(CaseEvent, frozen=True, kw_only=True):
    """The case moved."""


class CaseClosed(CaseEvent, frozen=True, kw_only=True):
    """The case ended; `closed_reason` says how."""
