"""A transaction set while it is read: position, sums, equal loops, and at its end counts and balance."""

from decimal import Decimal

from services.ingest.domain.block import Block
from services.ingest.domain.claim import Claim
from services.ingest.domain.findings import Finding, finding
from services.ingest.domain.loop import LoopReader, readable_charge
from services.ingest.domain.ordinals import Ordinals
from services.ingest.domain.provider import read_provider_adjustments
from services.ingest.domain.remittance import (
    ClaimQuarantined,
    ClaimRead,
    ProviderAdjustment,
    SetClosed,
    SetHeader,
)
from services.ingest.x12.elements import read_count, read_text_or_none
from services.ingest.x12.tokenizer import Batch
from shared.contracts.claim import BalanceFinding

_FINDINGS_MAX = 200


class OpenSet:
    """The running state of one 835, from its ST to its SE."""

    def __init__(self, header: SetHeader, loops: LoopReader, block: Block) -> None:
        self._header = header
        self._loops = loops
        self._begin = block.number(0)
        self._begin_offset = header.byte_offset
        self._empty = 0
        self._position = 0
        self._quarantined = 0
        self._charge = Decimal(0)
        self._paid = Decimal(0)
        self._ordinals = Ordinals()
        self._provider: list[ProviderAdjustment] = []
        self._findings: list[Finding] = []
        self.count_empty(block)

    def note(self, found: Finding) -> None:
        if len(self._findings) < _FINDINGS_MAX:
            self._findings.append(found)
        elif len(self._findings) == _FINDINGS_MAX:
            self._findings.append(finding("more_findings"))

    def count_empty(self, block: Block) -> None:
        """Empty segments are no segments: SE01 does not count them."""
        self._empty += block.empty()

    def read_plain(self, batch: Batch, begin: int, stop: int, number: int) -> ClaimRead | None:
        """Read the claim between two bytes of a regular batch; None where it is not plain."""
        claim = self._loops.read_plain(batch, begin, stop, number, self._position + 1, self._ordinals)
        if claim is None:
            return None
        self._position += 1
        self._charge += claim.charge_amount
        self._paid += claim.paid_amount
        return ClaimRead(claim)

    def read_claim(self, block: Block, *, truncated: bool) -> ClaimRead | ClaimQuarantined:
        self._position += 1
        self.count_empty(block)
        claim = self._loops.read(block, position=self._position, truncated=truncated, ordinals=self._ordinals)
        if isinstance(claim, Claim):
            self._charge += claim.charge_amount
            self._paid += claim.paid_amount
            return ClaimRead(claim)
        charge = readable_charge(block, self._header.delimiters.element)
        self._quarantined += 1
        self._charge += charge or Decimal(0)
        _, begin, end = block.place()
        return ClaimQuarantined(
            position=self._position,
            byte_offset=begin,
            byte_length=end - begin,
            charge_amount=charge,
            findings=tuple(claim),
        )

    def read_provider(self, block: Block) -> None:
        adjustments, findings = read_provider_adjustments(block, self._header.delimiters)
        self._provider += adjustments
        for found in findings:
            self.note(found)

    def close(self, block: Block, parts: list[bytes]) -> SetClosed:
        """SE: check its counts, and the balance of the whole set."""
        segments = block.number(0) - self._begin + 1 - self._empty
        if read_count(parts, 1) != segments:
            self.note(block.finding("set_count", 0, 1))
        control = read_text_or_none(parts, 2) or ""
        if control.lstrip("0") != (self._header.set_control_number or "").lstrip("0"):
            self.note(block.finding("set_control_number", 0, 2))
        balance = self._balance()
        for found in balance:
            self.note(block.finding("set_out_of_balance", difference=found.difference))
        return self._closed(balance, truncated=False)

    def close_truncated(self) -> SetClosed:
        """The set ends without SE. What was read stands; whether it balances cannot be known."""
        self.note(
            finding(
                "set_truncated",
                segment_number=self._begin,
                segment_id="ST",
                byte_offset=self._begin_offset,
            )
        )
        return self._closed((), truncated=True)

    def _balance(self) -> tuple[BalanceFinding, ...]:
        reported = self._header.payment_amount
        computed = self._paid - sum((p.amount for p in self._provider), Decimal(0))
        if reported is None or reported == computed:
            return ()
        return (
            BalanceFinding(
                level="transaction",
                reported_amount=reported,
                computed_amount=computed,
                difference=reported - computed,
            ),
        )

    def _closed(self, balance: tuple[BalanceFinding, ...], *, truncated: bool) -> SetClosed:
        return SetClosed(
            set_ordinal=self._header.set_ordinal,
            truncated=truncated,
            claims_read=self._position,
            quarantined=self._quarantined,
            charge_amount=self._charge,
            paid_amount=self._paid,
            provider_adjustments=tuple(self._provider),
            balance_findings=balance,
            findings=tuple(self._findings),
        )
