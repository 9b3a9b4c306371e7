"""What a crash, a lost file or a full queue leaves behind is found again: nothing waits for ever, unseen."""

import pytest

from services.ingest.store import receipts
from services.ingest.workers import files
from services.ingest.workers.holding import release_known
from shared.errors import UnavailableError
from tests.ingest.remittances import OTHER_NPI, TestSet, denied, paid, remittance
from tests.ingest.site import Site
from tests.ingest.test_reading import numbers


async def test_a_crash_between_a_held_sets_release_and_its_follow_ups_loses_none(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    async def away(*_: object, **__: object) -> int:
        raise UnavailableError("The database does not answer.")

    await site.take_in(remittance(TestSet([denied("A1")]), control=1))
    await site.take_in(remittance(TestSet([paid("A1")], trace="T2", npi=OTHER_NPI), control=2))
    await site.register(OTHER_NPI)
    await release_known(site.workshop)
    monkeypatch.setattr(files, "follow_up", away)
    await site.read_due()
    monkeypatch.undo()
    await site.read_due()

    assert numbers(await site.events()) == [("ClaimAdjudicated", "A1"), ("ClaimDenied", "A1")]
    assert (await site.get("/v1/held")).json()["data"] == []
    assert await receipts.due_receipts(site.engine, limit=10) == []
