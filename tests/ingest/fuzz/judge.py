"""
What must hold for every file whatsoever: `judge` raises where it does not.

Nothing escapes `read`; every byte is accounted for; sums and counts agree; every claim that is read becomes an
event, is explained, and is read again from its place in the file; blocks of any size give the same; no finding
repeats a value of the file.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from random import Random

import msgspec

from services.ingest.domain import reader
from services.ingest.domain.events import event_or_quarantine
from services.ingest.domain.findings import RULES, Finding
from services.ingest.domain.remittance import (
    ClaimQuarantined,
    ClaimRead,
    FileClosed,
    ReaderItem,
    SetClosed,
    SetHeader,
    SetOpened,
)
from services.ingest.domain.reread import reread_claim
from services.triage.domain.policies import Policies
from services.triage.render import explain_rows
from shared.contracts.base import Event, encode
from shared.contracts.claim_denied import ClaimDenied
from tests.ingest.domain.files import context
from tests.ingest.fuzz.mutations import PLANTED

_TODAY = date(2026, 11, 21)


def judge(content: bytes, chance: Random, policies: Policies) -> int:
    """Raise AssertionError, or whatever the code under test raises; give the number of claims read."""
    size = chance.choice((1 << 18, 4096, 61))
    items = list(reader.read(_blocks(content, size if len(content) < 20_000 else 1 << 16)))
    _file(items, content)
    _findings(items)
    events = list(_events(items, content))
    if chance.random() < 0.2:
        other = list(
            reader.read(_blocks(content, chance.randrange(1, 300) if len(content) < 3_000 else 5_000))
        )
        assert other == items, "blocks of another size give something else"
    if chance.random() < 0.2:
        denied = [event for event in events[:20] if isinstance(event, ClaimDenied)]
        for row in explain_rows(denied, policies, as_of=_TODAY):
            assert row.explanation
    return len(events)


def _blocks(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def _file(items: list[ReaderItem], content: bytes) -> None:
    """The order of the items, the bytes, and the sums."""
    *before, closed = items
    assert isinstance(closed, FileClosed)
    assert not any(isinstance(item, FileClosed) for item in before)
    assert closed.bytes_read == len(content), "not every byte is accounted for"
    assert closed.accepted == (closed.refusal is None) == bool(closed.transaction_sets)
    opened = [item for item in before if isinstance(item, SetOpened)]
    assert len(opened) == closed.transaction_sets
    inside: list[ReaderItem] | None = None
    end = 0
    for item in before:
        if isinstance(item, SetOpened):
            assert inside is None, "a set opens within a set"
            inside = []
        elif isinstance(item, SetClosed):
            assert inside is not None, "a set closes that was not opened"
            _set(inside, item)
            inside = None
        else:
            assert inside is not None, "a claim stands outside a set"
            inside.append(item)
            claim = item.claim if isinstance(item, ClaimRead) else item
            assert end <= claim.byte_offset < claim.byte_offset + claim.byte_length <= len(content)
            end = claim.byte_offset + claim.byte_length
    assert inside is None, "a set is never closed"


def _set(inside: list[ReaderItem], closed: SetClosed) -> None:
    claims = [item.claim for item in inside if isinstance(item, ClaimRead)]
    aside = [item for item in inside if isinstance(item, ClaimQuarantined)]
    assert (closed.claims_read, closed.quarantined) == (len(inside), len(aside))
    charges = [claim.charge_amount for claim in claims] + [one.charge_amount or Decimal(0) for one in aside]
    assert closed.charge_amount == sum(charges, Decimal(0))
    assert closed.paid_amount == sum((claim.paid_amount for claim in claims), Decimal(0))
    assert all((claim.kind == "denied") == bool(claim.denied) for claim in claims)
    assert all(item.amount > 0 for claim in claims for item in claim.denied)
    assert not any(one.defect for one in aside), "we failed, not the file"


def _findings(items: list[ReaderItem]) -> None:
    found: list[Finding] = []
    for item in items:
        if isinstance(item, SetOpened):
            continue
        found += item.claim.findings if isinstance(item, ClaimRead) else item.findings
        if isinstance(item, FileClosed) and item.refusal:
            found.append(item.refusal)
    assert {one.code for one in found} <= RULES.keys()
    assert PLANTED not in msgspec.json.encode(found) + repr(found).encode(), "a finding repeats a value"
    assert PLANTED not in repr(items).encode(), "a repr repeats a value"


def _events(items: list[ReaderItem], content: bytes) -> Iterator[Event]:
    header: SetHeader | None = None
    for item in items:
        if isinstance(item, SetOpened):
            header = item.header
            again = msgspec.json.decode(msgspec.json.encode(header), type=SetHeader)
            assert again == header, "a header changes on its way through the database"
        elif isinstance(item, ClaimRead) and header is not None:
            claim = item.claim
            loop = content[claim.byte_offset : claim.byte_offset + claim.byte_length]
            again = reread_claim(
                header, loop, position=claim.position, ordinal=claim.ordinal, byte_offset=claim.byte_offset,
                segment_number=claim.segment_number, truncated=claim.truncated,
            )  # fmt: skip
            assert again == claim, "a claim reads otherwise the second time"
            if claim.kind == "predetermination":
                continue
            event = event_or_quarantine(claim, header, context(), None)
            if isinstance(event, ClaimQuarantined):
                raise event.defect or AssertionError("set aside")
            assert msgspec.json.decode(encode(event), type=type(event)) == event
            yield event
