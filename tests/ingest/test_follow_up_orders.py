"""Follow-ups in whatever order they arrive: the same events of the same claims, each once."""

import asyncio
from itertools import permutations

import pytest

from services.ingest.store import receipts
from services.ingest.workers.reading import process
from tests.ingest.remittances import TestSet, denied, paid, remittance, reversed_
from tests.ingest.site import Site


def story() -> list[bytes]:
    """A denial, its reversal and correction (whose payer number is another), and a payment of a second part."""
    original = TestSet([denied("A1", payer_number="P1")], trace="T1")
    reversal = TestSet([reversed_("A1", paid=0, payer_number="P1")], trace="T2")
    correction = TestSet([paid("A1", payer_number="P2")], trace="T3")
    split = TestSet([paid("A1", charge=120, payer_number="P3"), paid("Z9")], trace="T4")
    return [
        remittance(one, control=number)
        for number, one in enumerate((original, reversal, correction, split), 1)
    ]


EXPECTED = [
    ("ClaimAdjudicated", "P2", 500),
    ("ClaimAdjudicated", "P3", 120),
    ("ClaimDenied", "P1", 0),
    ("ClaimReversed", "P1", 0),
]


async def told(site: Site) -> list[tuple[str, str, int]]:
    events = await site.events()
    assert len({event.claim_key for event in events}) == 1
    assert len({event.event_id for event in events}) == len(events)
    return sorted((type(one).__name__, one.payer_claim_number, int(one.paid_amount)) for one in events)


@pytest.mark.parametrize("order", list(permutations(range(4)))[::5])
async def test_every_order_of_arrival_gives_the_same_events(site: Site, order: tuple[int, ...]):
    files = story()
    for number in order:
        await site.take_in(files[number])

    assert await told(site) == EXPECTED
    assert sum(line["no_event"] for line in await site.reconciled()) == 1


async def test_all_of_it_read_at_once_gives_the_same_events(site: Site):
    for content in story():
        await site.push(content)
    due = await receipts.due_receipts(site.engine, limit=10)
    await asyncio.gather(
        *(process(site.workshop, submitter_id=s, receipt_id=r, stop=asyncio.Event()) for s, r in due)
    )

    assert await told(site) == EXPECTED
    await site.reconciled()


async def test_reversal_and_correction_in_one_set_before_the_denial_both_become_events(site: Site):
    await site.take_in(
        remittance(TestSet([reversed_("A1", paid=0), paid("A1", payer_number="NEW")], trace="T2"), control=1)
    )
    assert await site.events() == []
    await site.take_in(remittance(TestSet([denied("a1 ")], trace="T1"), control=2))

    assert sorted(type(one).__name__ for one in await site.events()) == [
        "ClaimAdjudicated",
        "ClaimDenied",
        "ClaimReversed",
    ]
