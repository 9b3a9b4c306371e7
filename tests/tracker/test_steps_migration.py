"""Cases survive the way into the lifecycle and back: what remittances say of them stays true in either form."""

import asyncio
from datetime import date
from uuid import uuid4

from shared.postgres.migrate import downgrade, upgrade
from tests.tracker.support import denial, outcome

JAN, FEB = date(2026, 1, 10), date(2026, 2, 10)
CASES = "select claim_number, state, closed_reason, version from tracker.cases order by claim_number"


async def test_what_was_paid_becomes_recovered_and_what_people_closed_stays_closed(
    database, record, select, engine
):
    keys = {name: {"claim_key": uuid4(), "claim_number": name} for name in ("open", "paid", "sent", "off")}
    await record(*(denial(on=JAN, **told) for told in keys.values()))
    await record(outcome("paid", on=FEB, **keys["paid"]))
    await select("update tracker.cases set state = 'submitted' where claim_number = 'sent' returning 1")
    await select(
        "update tracker.cases set state = 'closed', closed_reason = 'written_off'"
        " where claim_number = 'off' returning 1"
    )

    await engine.dispose()
    await asyncio.to_thread(downgrade, database.owner, "0020")
    before = await select(CASES)
    await engine.dispose()
    await asyncio.to_thread(upgrade, database.owner)
    after = await select(CASES)

    assert [tuple(row)[:3] for row in before] == [
        ("off", "closed", None),
        ("open", "open", None),
        ("paid", "paid", None),
        ("sent", "open", None),
    ]
    assert [tuple(row)[:3] for row in after] == [
        ("off", "closed", None),
        ("open", "open", None),
        ("paid", "closed", "recovered"),
        ("sent", "open", None),
    ]
    [row] = await select("select recovered_payer_amount from tracker.cases where claim_number = 'paid'")
    assert row.recovered_payer_amount == 100
    await record(denial(on=FEB, **keys["off"]))
    [row] = await select("select state from tracker.cases where claim_number = 'off'")
    assert row.state == "open"
