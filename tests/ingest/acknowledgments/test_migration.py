"""Files that were there before acknowledgments are not acknowledged afterwards, and nothing of them is lost."""

import asyncio

from shared.postgres.migrate import downgrade, upgrade
from tests.ingest.remittances import TestSet, denied, remittance
from tests.ingest.site import Site
from tests.support.database import Database


async def test_what_came_before_is_not_due(site: Site, database: Database):
    receipt = await site.take_in(remittance(TestSet([denied("A1")])))
    assert receipt["acknowledgment"] == "due"
    await site.engine.dispose()

    await asyncio.to_thread(downgrade, database.owner, "0007")
    await asyncio.to_thread(upgrade, database.owner)
    after = (await site.get(f"/v1/remittances/{receipt['receipt_id']}")).json()

    assert after == {**receipt, "acknowledgment": "declined"}
    assert (await site.push(remittance(TestSet([denied("A2")])))).json()["acknowledgment"] == "due"
