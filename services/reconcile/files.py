"""
What ingest did not finish: files that are not read, and transaction sets that belong to nobody yet.

    being_read  received less than two minutes ago, and waiting or being read
    stuck       the same for longer: a very large file, or nobody reads
    given_up    the reader failed on it: none of its claims is in any sum

Held sets are no fault. Their claims are in no sum either, since they belong to no organization until
somebody registers their payee; so they are added up apart.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from services.reconcile.lines import ReceiptLine
from services.reconcile.verdicts import IN_FLIGHT_MAX

FileVerdict = Literal["being_read", "stuck", "given_up"]

GIVEN_UP = "defect"
"""Ingest's reason for refusing a file on which the reader itself failed."""


@dataclass(frozen=True, slots=True)
class FileFinding:
    """A file that is not read, by its receipt."""

    verdict: FileVerdict
    receipt_id: UUID
    submitter_id: UUID
    status: str
    received_at: datetime


@dataclass(slots=True)
class Held:
    """Transaction sets whose payee nobody registered; `charged` in US dollars."""

    files: int = 0
    sets: int = 0
    claims: int = 0
    charged: Decimal = Decimal(0)

    def add(self, line: ReceiptLine) -> None:
        if line.held_sets:
            self.files += 1
            self.sets += line.held_sets
            self.claims += line.held_claims
            self.charged += line.held_charge_amount


def judge_file(line: ReceiptLine, *, at: datetime) -> FileFinding | None:
    """Say what is wrong with a file; None when it was read. `at` is now, to tell how long it waits."""
    match line.status:
        case "received" | "processing":
            waits_too_long = at - line.received_at > IN_FLIGHT_MAX
            return _finding(line, "stuck" if waits_too_long else "being_read")
        case "refused" if line.refused_reason == GIVEN_UP:
            return _finding(line, "given_up")
        case _:
            return None


def _finding(line: ReceiptLine, verdict: FileVerdict) -> FileFinding:
    return FileFinding(verdict, line.receipt_id, line.submitter_id, line.status, line.received_at)
