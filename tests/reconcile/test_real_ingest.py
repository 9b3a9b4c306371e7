"""What ingest really answers is what the reconciliation reads: the fakes of the other tests are true."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from services.reconcile.files import Held, judge_file
from services.reconcile.lines import EventLine, ReceiptLine, RemittanceLine
from shared.clock import now
from tests.ingest.remittances import OTHER_NPI, TestSet, denied, remittance
from tests.ingest.site import Site, open_site
from tests.support.database import Database


@pytest.fixture
async def site(database: Database, tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(database, tmp_path / "raw") as opened:
        yield opened


async def lines(site: Site, what: str, as_type: type) -> list:
    answer = await site.get(f"/v1/reconciliation/{what}", "operator")
    assert answer.status_code == 200, answer.text
    return [msgspec.json.decode(line, type=as_type) for line in answer.text.splitlines()]


async def test_a_file_is_being_read_from_the_push_on_and_stuck_after_two_minutes(site: Site):
    pushed = await site.push(remittance(TestSet([denied("A1")], trace="T1"), control=1))
    (line,) = await lines(site, "receipts", ReceiptLine)
    findings = [judge_file(line, at=now() + wait) for wait in (timedelta(0), timedelta(minutes=3))]

    assert str(line.receipt_id) == pushed.json()["receipt_id"]
    assert [one and one.verdict for one in findings] == ["being_read", "stuck"]

    await site.read_due()
    assert await lines(site, "receipts", ReceiptLine) == []
    (read,) = await lines(site, "remittances", RemittanceLine)
    (event,) = await lines(site, "events", EventLine)
    assert (read.claims_read, read.remittance_id) == (1, event.remittance_id)


async def test_held_claims_are_counted_until_their_payee_is_registered(site: Site):
    await site.take_in(
        remittance(TestSet([denied("B1"), denied("B2", charge=75)], trace="T2", npi=OTHER_NPI), control=2)
    )
    (line,) = await lines(site, "receipts", ReceiptLine)
    held = Held()
    held.add(line)

    assert judge_file(line, at=now() + timedelta(days=1)) is None
    assert (held.files, held.sets, held.claims) == (1, 1, 2)
    assert held.charged > Decimal(75)


async def test_a_file_that_ingest_gave_up_is_known_by_its_reason(site: Site):
    taken = await site.take_in(remittance(TestSet([denied("C1")], trace="T3"), control=3))
    await site.rows(
        "update ingest.receipts set status = 'refused', refused_reason = 'defect'"
        " where receipt_id = :receipt_id returning 1",
        receipt_id=taken["receipt_id"],
    )
    (line,) = await lines(site, "receipts", ReceiptLine)
    finding = judge_file(line, at=now())

    assert finding is not None
    assert finding.verdict == "given_up"
