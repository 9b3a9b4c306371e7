"""One remittance: header, sums, balance, findings, and provider adjustments with the claims they may mean."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.api.views import ClaimLink, ProviderAdjustmentView, RemittanceDetail
from services.ingest.domain.provider_links import Candidate, candidates_in, payer_number_hash, same_number
from services.ingest.domain.provider_reasons import meaning_of
from services.ingest.domain.remittance import ProviderAdjustment, SetHeader
from services.ingest.store import provider_links, receipts
from services.ingest.x12.elements import read_text_or_none
from shared.errors import InvalidInputError, NotFoundError
from shared.postgres import transaction
from shared.storage.vault import StoredFile, Vault

_LINKED_MAX = 100  # adjustments whose claims are looked for; a remittance has a handful
_CLAIMS_MAX = 300  # whose bytes are read for it


async def remittance_detail(
    engine: AsyncEngine, vault: Vault, *, organization_id: UUID, remittance_id: UUID
) -> RemittanceDetail:
    """Give a remittance of the organization. Raises NotFoundError, for others' too."""
    async with transaction(engine, organizations=[organization_id]) as connection:
        row = await provider_links.remittance_of(connection, remittance_id)
        if row is None:
            raise NotFoundError(
                "There is no such remittance.", remedy="`GET /v1/remittances` lists those that you may see."
            )
        adjustments = msgspec.convert(row.provider_adjustments, list[ProviderAdjustment], strict=False)
        wanted = [
            (at, candidate)
            for at, one in enumerate(adjustments[:_LINKED_MAX])
            if one.reference
            for candidate in candidates_in(one.reference)
        ]
        numbers = [(one.claim_key(organization_id), payer_number_hash(one.number)) for _, one in wanted]
        found = await provider_links.claims_of_numbers(connection, row, numbers) if numbers else []
    found = found[:_CLAIMS_MAX]
    files = await _files(engine, found)
    heads = await asyncio.to_thread(_heads, vault, files, found)
    links: dict[int, list[ClaimLink]] = {}
    for claim, head in zip(found, heads, strict=True):
        at, candidate = wanted[claim.number - 1]
        if link := _link(candidate, claim, head):
            links.setdefault(at, []).append(link)
    return RemittanceDetail(
        **{
            **row._asdict(),
            "provider_adjustments": [_view(one, links.get(at, [])) for at, one in enumerate(adjustments)],
        },
    )


async def _files(engine: AsyncEngine, found: Sequence[Any]) -> Mapping[UUID, StoredFile]:
    submitters = {claim.submitter_id for claim in found}
    if not submitters:
        return {}
    async with transaction(engine, submitters=submitters) as connection:
        return await receipts.stored_files(
            connection, submitters=list(submitters), receipts=[claim.receipt_id for claim in found]
        )


def _heads(vault: Vault, files: Mapping[UUID, StoredFile], found: Sequence[Any]) -> list[list[bytes] | None]:
    """Read the CLP segments of claims, for their numbers; None where a file is gone. Blocks."""
    heads: list[list[bytes] | None] = []
    for claim in found:
        stored = files.get(claim.receipt_id)
        try:
            heads.append(_head(vault, stored, claim) if stored else None)
        except InvalidInputError:
            heads.append(None)
    return heads


def _head(vault: Vault, stored: StoredFile, claim: Any) -> list[bytes]:
    delimiters = msgspec.json.decode(claim.header, type=SetHeader).delimiters
    with vault.open(stored) as reader:
        loop = reader.read(claim.byte_offset, min(claim.byte_length, 1024))
    return loop.partition(delimiters.terminator)[0].strip().split(delimiters.element)


def _link(candidate: Candidate, claim: Any, head: list[bytes] | None) -> ClaimLink | None:
    """Make a link of what was found; none where only the hash agrees."""
    payers = read_text_or_none(head, 7) if head else None
    if not claim.by_claim_number and not same_number(payers, candidate.number):
        return None
    return ClaimLink(
        event_id=claim.event_id,
        remittance_id=claim.remittance_id,
        position=claim.position,
        kind=claim.kind,
        claim_number=read_text_or_none(head, 1) if head else None,
        payer_claim_number=payers,
        matched="claim_number" if claim.by_claim_number else "payer_claim_number",
        confidence=candidate.confidence,
    )


def _view(one: ProviderAdjustment, links: list[ClaimLink]) -> ProviderAdjustmentView:
    """Show an adjustment; a claim that several numbers mean is linked once, by the surest."""
    surest: dict[UUID, ClaimLink] = {}
    for link in links:  # the whole reference comes before its parts
        surest.setdefault(link.event_id, link)
    return ProviderAdjustmentView(
        provider_id=one.provider_id,
        fiscal_period_on=one.fiscal_period_on,
        reason=one.reason,
        meaning=meaning_of(one.reason),
        reference=one.reference,
        amount=one.amount,
        links=list(surest.values()),
    )
