"""Whole 835s, written as the tests need them, and the reader's answer in handy form."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

from services.ingest.domain.claim import Claim
from services.ingest.domain.events import EventContext
from services.ingest.domain.reader import read
from services.ingest.domain.remittance import (
    ClaimQuarantined,
    ClaimRead,
    FileClosed,
    SetClosed,
    SetHeader,
    SetOpened,
)
from tests.ingest.x12.envelopes import isa

SAMPLES = Path(__file__).parents[2] / "samples"
ORGANIZATION = UUID(int=7)
HEADER = [
    "BPR*I*{paid}*C*ACH*CCP*01*111000025*DA*1*1990000009**01*111000025*DA*2*20261102",
    "TRN*1*TRACE1*1990000009",
    "DTM*405*20261103",
    "N1*PR*COBBLESTONE MUTUAL*XV*SIM02",
    "REF*2U*SIM02",
    "PER*BL*DESK*TE*8005550100",
    "N1*PE*LANTERN VALLEY CLINIC*XX*1234567893",
    "REF*TJ*990000001",
    "LX*1",
]


@dataclass
class Reading:
    """Everything that the reader gave."""

    headers: list[SetHeader] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    quarantined: list[ClaimQuarantined] = field(default_factory=list)
    sets: list[SetClosed] = field(default_factory=list)
    closed: FileClosed | None = None

    @property
    def findings(self):
        parts = [self.closed, *self.sets, *self.quarantined, *self.claims]
        return [found for part in parts for found in part.findings]

    @property
    def codes(self):
        return sorted(found.code for found in self.findings)


def reading(*blocks: bytes) -> Reading:
    result = Reading()
    for item in read(blocks):
        assert result.closed is None, "FileClosed comes last"
        match item:
            case SetOpened(header=header):
                result.headers.append(header)
            case ClaimRead(claim=claim):
                result.claims.append(claim)
            case ClaimQuarantined():
                result.quarantined.append(item)
            case SetClosed():
                result.sets.append(item)
            case FileClosed():
                result.closed = item
    assert result.closed is not None
    return result


def transaction_set(
    claims: list[str], *, paid: str = "0", header: list[str] = HEADER, control: str = "0001"
) -> str:
    """`claims` are segments parted by ~, without a terminator at the end."""
    body = [f"ST*835*{control}", *(line.format(paid=paid) for line in header), *claims]
    count = "~".join(body).count("~") + 2
    return "~".join([*body, f"SE*{count}*{control}"])


def wrapped(*sets: str, usage: bytes = b"P", version: str = "005010X221A1") -> bytes:
    group = f"GS*HP*SENDER*RECEIVER*20261104*0600*1*X*{version}"
    body = "~".join([group, *sets, f"GE*{len(sets)}*1", "IEA*1*000000001"]) + "~"
    return isa(usage=usage) + body.encode()


def one_claim(*segments: str, paid: str = "0") -> Reading:
    return reading(wrapped(transaction_set(list(segments), paid=paid)))


def context(**more) -> EventContext:
    return EventContext(
        organization_id=ORGANIZATION,
        remittance_id=UUID(int=8),
        received_at=datetime(2026, 11, 21, 12, tzinfo=UTC),
        received_on=date(2026, 11, 21),
        **more,
    )
