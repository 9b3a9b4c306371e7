"""A payer's trial run and the payment itself are two things, although they say the same (decision 8)."""

from tests.ingest.remittances import TestSet, denied, remittance
from tests.ingest.site import Site


async def test_a_test_copy_seen_first_leaves_the_production_denial_its_event(site: Site):
    for control, usage in ((1, "T"), (2, "P"), (3, "T"), (4, "P")):
        await site.take_in(remittance(TestSet([denied("A1")]), control=control, usage=usage))
    events = await site.events()

    assert sorted(event.is_test for event in events) == [False, True]
    assert [event.possible_duplicate_of for event in events] == [None, None]
    assert sorted(line["duplicates"] for line in await site.reconciled()) == [0, 0, 1, 1]
