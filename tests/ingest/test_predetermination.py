"""A predetermination forecasts: whatever its key has denied, it never becomes an event."""

from tests.ingest.remittances import TestSet, denied, paid, remittance
from tests.ingest.site import Site


async def test_a_predetermination_is_counted_and_never_follows_a_denial_up(site: Site):
    forecast = paid("A1", status="25")
    await site.take_in(remittance(TestSet([forecast], trace="T1"), control=1))
    await site.take_in(remittance(TestSet([denied("A1")], trace="T2"), control=2))
    await site.take_in(remittance(TestSet([forecast, paid("A1", charge=600)], trace="T3"), control=3))

    assert sorted(type(event).__name__ for event in await site.events()) == [
        "ClaimAdjudicated",
        "ClaimDenied",
    ]
    assert sum(line["no_event"] for line in await site.reconciled()) == 2
    assert [claim.kind for claim in await site.claims() if not claim.evented] == ["predetermination"] * 2
