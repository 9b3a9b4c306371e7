"""PLB: adjustments of the provider's payment that belong to no claim of the set."""

from datetime import date
from decimal import Decimal

from services.ingest.domain.block import Block
from services.ingest.domain.findings import Finding
from services.ingest.domain.remittance import ProviderAdjustment
from services.ingest.x12.delimiters import Delimiters
from services.ingest.x12.elements import read_date, read_number, read_text, read_text_or_none


def read_provider_adjustments(
    block: Block, delimiters: Delimiters
) -> tuple[list[ProviderAdjustment], list[Finding]]:
    """Read the up to six pairs of reason and amount."""
    parts = block.segments[0].split(delimiters.element)
    adjustments, findings = [], []
    fiscal = read_date(parts[2]) if len(parts) > 2 else None
    if fiscal is None:
        findings.append(block.finding("date_unreadable", 0, 2))
    for at in range(3, len(parts), 2):
        amount = read_number(parts[at + 1]) if at + 1 < len(parts) else None
        if amount is None:
            if parts[at]:
                findings.append(block.finding("amount_unreadable", 0, at + 1))
            continue
        adjustments.append(
            _adjustment(parts[1], parts[at], delimiters.component, amount=amount, fiscal=fiscal)
        )
    return adjustments, findings


def _adjustment(
    provider: bytes, identifier: bytes, component: bytes, *, amount: Decimal, fiscal: date | None
) -> ProviderAdjustment:
    """`identifier` is PLB03: reason code and free reference, which mixes account, date and claim number."""
    reason, *rest = identifier.split(component) if component else [identifier]
    return ProviderAdjustment(
        provider_id=read_text(provider),
        fiscal_period_on=fiscal,
        reason=read_text(reason),
        reference=read_text_or_none(rest, 0),
        amount=amount,
    )
