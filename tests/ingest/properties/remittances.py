"""Valid remittances to play with, and the model that must stay what it is."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from services.ingest.domain.events import claim_event
from services.ingest.domain.identity import sibling_key
from services.ingest.simulate import Simulation, simulate
from shared.contracts.base import Event
from tests.ingest.domain.files import (
    HEADER,
    ORGANIZATION,
    Reading,
    context,
    reading,
    transaction_set,
    wrapped,
)

RICH = wrapped(
    transaction_set(
        [
            "TS3*1234567893*11*20261231*2*600",
            "CLP*A1*1*500*300*20*12*P1*11*1",
            "CAS*CO*197*80**45*50",
            "CAS*PR*1*20",
            "NM1*QC*1*DOE*JANE****MI*W1",
            "NM1*82*2*GROUP*****XX*1234567893",
            "MOA***MA01",
            "REF*G1*AUTH",
            "DTM*232*20261001",
            "DTM*050*20261005",
            "PER*CX*DESK*TE*8005550100",
            "AMT*AU*500",
            "QTY*CA*2",
            "SVC*HC:99213:25*300*200**1",
            "DTM*472*20261001",
            "CAS*CO*197*70*1",
            "CAS*OA*23*30",
            "REF*6R*L1",
            "AMT*B6*300",
            "LQ*HE*N54",
            "SVC*HC:99214*200*250**1",
            "DTM*150*20261001",
            "DTM*151*20261002",
            "CAS*CO*45*-50",
            "LX*2",
            "CLP*A2*1*100*0**MC*P2*11*1",
            "CAS*CO*29*100",
            "NM1*QC*1*ROE*JIM",
            "MIA*1*2",
            "DTM*233*20261001",
            "PLB*1234567893*20261231*WO:X*10",
        ],
        paid="290",
        header=[*HEADER[:2], "CUR*PR*USD", *HEADER[2:]],
    )
)
"""One set with every segment that is read: two denied claims, a line that is paid more than charged, a PLB."""


@st.composite
def simulated(draw: st.DrawFn, *, claims_max: int = 8) -> bytes:
    """A balanced remittance of a few claims in a few transaction sets."""
    wanted = Simulation(
        seed=draw(st.integers(0, 10**6)),
        claims=draw(st.integers(1, claims_max)),
        claims_per_set=draw(st.integers(1, 4)),
        denied=0.5,
        reversed=0.2,
    )
    return b"".join(simulate(wanted))


REMITTANCES = st.one_of(st.just(RICH), simulated())


def events(read: Reading) -> list[Event]:
    """Every event of a file, people left out."""
    owners = [
        header
        for header, one in zip(read.headers, read.sets, strict=True)
        for _ in range(one.claims_read - one.quarantined)
    ]
    return [
        claim_event(claim, header, context(), None) for header, claim in zip(owners, read.claims, strict=True)
    ]


def ids(read: Reading) -> list[Any]:
    return [event.event_id for event in events(read)]


def model(read: Reading) -> dict[str, Any]:
    """All that a file means, without where in the file it stands and how it is delimited."""
    return {
        "headers": [
            {
                k: v
                for k, v in msgspec.structs.asdict(header).items()
                if k not in ("byte_offset", "delimiters")
            }
            for header in read.headers
        ],
        "events": events(read),
        "siblings": [sibling_key(ORGANIZATION, read.headers[0], claim) for claim in read.claims],
        "claims": [
            (
                c.kind,
                c.position,
                c.ordinal,
                c.digest,
                c.denied,
                c.balance_findings,
                c.segment_number,
                c.loop.count(read.headers[0].delimiters.terminator),
            )
            for c in read.claims
        ],
        "sets": [
            (
                s.truncated,
                s.claims_read,
                s.charge_amount,
                s.paid_amount,
                s.provider_adjustments,
                s.balance_findings,
            )
            for s in read.sets
        ],
        "findings": [
            (f.code, f.segment_number, f.segment_id, f.element)
            for f in read.findings
            if f.code != "envelope_length"  # a delimiter of two bytes makes an ISA longer than 106
        ],
        "complete": read.closed.complete,
    }


def read_whole(content: bytes) -> Reading:
    read = reading(content)
    assert read.closed.bytes_read == len(content)
    return read
