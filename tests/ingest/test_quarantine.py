"""One claim that cannot be made an event never costs its neighbours."""

import pytest

from services.ingest.domain import events as domain_events
from tests.ingest.remittances import TestSet, denied, remittance
from tests.ingest.site import Site


async def test_a_claim_whose_event_fails_is_quarantined_and_its_neighbours_go_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    read_in_full = domain_events.Detail

    def detail(loop, delimiters):
        if loop.startswith(b"CLP*POISON"):
            raise IndexError
        return read_in_full(loop, delimiters)

    monkeypatch.setattr(domain_events, "Detail", detail)
    receipt = await site.take_in(
        remittance(
            TestSet([denied("A1"), denied("POISON"), denied("A2")]), TestSet([denied("B1")], trace="T2")
        )
    )

    assert (receipt["status"], receipt["claims_read"]) == ("processed", 4)
    assert [found["code"] for found in receipt["findings"]] == ["claim_unreadable"]
    assert [event.claim_number for event in await site.events()] == ["A1", "A2", "B1"]
    assert sorted(line["quarantined"] for line in await site.reconciled()) == [0, 1]
