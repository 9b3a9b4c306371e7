"""What explain says of files that repeat a denial is what the worker says of the same files."""

from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.explain_histories import NOBODY, context_of, repeats_in
from services.ingest.domain.events import ClaimEvent, claim_event
from services.ingest.domain.reader import read
from services.ingest.domain.remittance import ClaimRead, SetOpened
from services.triage.policies import shipped_policies
from services.triage.render import explain_rows
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Decision
from shared.security.sealing import Sealer
from tests.triage.conftest import Triage

ORGANIZATION = UUID(int=1)
DAY = date(2026, 3, 21)
SEALER = Sealer(organization_id=ORGANIZATION, month=date(2026, 3, 1), data_key=b"d" * 32, index_key=b"i" * 32)


def claim(number: str, patient: str, *, refused: bool) -> str:
    paid, adjusted = ("0", "CAS*CO*197*300~") if refused else ("300", "")
    return (
        f"CLP*{number}*1*300*{paid}**12*AE{number}*11~NM1*QC*1*{patient}*ANN****MI*W1~"
        f"SVC*HC:64483*300*{paid}~DTM*472*20251202~{adjusted}"
    )


def remittance(day: str, *claims: str) -> bytes:
    paid = sum(300 for one in claims if "*1*300*300*" in one)
    segments = (
        f"ISA*00*          *00*          *ZZ*AETNA          *ZZ*US             *{day[2:]}*0101*^*00501*"
        f"{int(day):09}*0*P*:~GS*HP*AETNA*US*{day}*0101*1*X*005010X221A1~ST*835*0001~"
        f"BPR*I*{paid}*C*ACH*CCP*01*1*DA*1*1*1**01*1*DA*1*{day}~TRN*1*T{day}*1066033492~DTM*405*{day}~"
        f"N1*PR*AETNA~N3*1 WAY~N4*HARTFORD*CT*06156~PER*BL*X*TE*8005550100~N1*PE*CLINIC*XX*1234567893~LX*1~"
        + "".join(claims)
    )
    count = segments[segments.index("ST*") :].count("~") + 1
    return f"{segments}SE*{count}*0001~GE*1*1~IEA*1*{int(day):09}~".encode()


FILES = (
    # A is refused twice; B refused, paid and refused again; C is two people's number; D stands alone.
    remittance("20260320", claim("A1", "ABEL", refused=True), claim("B1", "BAKER", refused=True)),
    remittance("20260205", claim("B1", "BAKER", refused=False), claim("C1", "COOK", refused=True)),
    remittance("20260105", claim("A1", "ABEL", refused=True), claim("B1", "BAKER", refused=True)),
    remittance("20260106", claim("C1", "CLARK", refused=True), claim("D1", "DREW", refused=True)),
)


def events(organization: UUID, sealer: Sealer | None) -> Iterator[ClaimEvent]:
    for content in FILES:
        for item in read([content]):
            if isinstance(item, SetOpened):
                header = item.header
            elif isinstance(item, ClaimRead):
                context = msgspec.structs.replace(context_of("", header, DAY), organization_id=organization)
                yield claim_event(item.claim, header, context, sealer)


def words(decision: Any) -> dict[str, Any]:
    """What a decision says, whoever's ids it bears."""
    read_back = msgspec.json.decode(msgspec.json.encode(decision), type=Decision)
    told = msgspec.to_builtins(read_back)
    for name in ("decision_id", "decision_revision", "documents"):  # explain knows no member id to fill in
        del told[name]
    return dict(told)


def explained() -> dict[tuple[str, date], dict[str, Any]]:
    denied = [one for one in events(NOBODY, None) if isinstance(one, ClaimDenied)]
    repeats = repeats_in([lambda content=content: [content] for content in FILES], DAY)  # type: ignore[misc]
    rows = explain_rows(denied, shipped_policies(), DAY, others=repeats.others)
    return {(row.claim_number, row.payer_date): words(row) for row in rows}


async def test_explain_says_of_repeated_denials_what_the_worker_says(triage: Triage):
    for event in events(ORGANIZATION, SEALER):
        await triage.handle(event)

    last: dict[tuple[str, date], Any] = {}
    for row in await triage.decisions():
        if row.type == "DenialTriaged":
            last[row.payload["claim_number"], date.fromisoformat(row.payload["payer_date"])] = row.payload
    assert len(last) == 7
    assert {key: words(payload) for key, payload in last.items()} == explained()


@pytest.mark.parametrize(
    ("number", "day", "told"),
    [
        ("A1", date(2026, 3, 20), {"first_on": "2026-01-05"}),
        ("A1", date(2026, 1, 5), None),
        ("B1", date(2026, 3, 20), {"paid_on": "2026-02-05"}),
        ("C1", date(2026, 2, 5), None),
    ],
)
def test_explain_finds_in_its_files_who_told_a_denial_first(number: str, day: date, told: Any):
    assert explained()[number, day].get("told_before") == told


def test_the_clock_of_a_repeated_denial_counts_from_its_first_telling():
    # 180 days from 5 January 2026: day 5 + 180 = 185, the 4th of July.
    clocks = explained()["A1", date(2026, 3, 20)]["clocks"]

    assert [one["deadline_at"][:10] for one in clocks if one["kind"] == "reconsideration"] == ["2026-07-04"]
