"""From a pushed file to released events: nothing lost, nothing doubled, whatever happens on the way."""

import asyncio
from uuid import UUID

import pytest

from services.ingest.domain.reader import read
from services.ingest.store import receipts
from services.ingest.workers import batches, files, reading
from services.ingest.workers.holding import release_known
from services.ingest.workers.reading import process
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.claim_reversed import ClaimReversed
from shared.errors import UnavailableError
from tests.ingest.remittances import OTHER_NPI, TestSet, denied, paid, remittance, reversed_
from tests.ingest.site import Site


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two claims a transaction, so that small files take many."""
    cut = batches.steps
    monkeypatch.setattr(files, "steps", lambda items: cut(items, batch_claims=2))


def numbers(events) -> list[tuple[str, str]]:
    return sorted((type(event).__name__, event.claim_number) for event in events)


async def test_a_pushed_file_becomes_a_remittance_and_its_denials_become_events(site: Site):
    receipt = await site.take_in(
        remittance(TestSet([denied("A1", charge=700), paid("A2"), denied("A3", paid=100)]))
    )

    assert receipt["status"] == "processed"
    assert (receipt["transaction_sets"], receipt["claims_read"], receipt["held_transaction_sets"]) == (
        1,
        3,
        0,
    )
    assert receipt["bytes_read"] == receipt["size_bytes"]
    events = await site.events()
    assert numbers(events) == [("ClaimDenied", "A1"), ("ClaimDenied", "A3")]
    first = next(event for event in events if event.claim_number == "A1")
    assert first.receipt_id == UUID(receipt["receipt_id"])
    assert first.organization_id == site.organization_id
    assert (first.feed, first.is_test, first.truncated, first.charge_amount) == ("main", False, False, 700)
    assert first.patient.sealed.startswith("s1.")
    (sums,) = await site.reconciled()
    assert (sums["evented"], sums["no_event"], sums["released"]) == (2, 1, True)
    assert (sums["denied_amount"], sums["charge_read_amount"]) == ("1100", "1700")


@pytest.mark.parametrize(("claims", "cut"), [(3, [3]), (4, [3, 1]), (6, [3, 3]), (0, [0])])
def test_a_set_that_fits_into_a_batch_is_one_batch(claims: int, cut: list[int]):
    content = remittance(TestSet([denied(f"A{n}") for n in range(claims)]))

    found = [
        one for one in batches.steps(read([content]), batch_claims=3) if isinstance(one, batches.ClaimBatch)
    ]

    assert [len(one.claims) for one in found] == cut
    assert [one.closed is not None for one in found] == [False] * (len(cut) - 1) + [True]


async def test_a_remittance_is_listed_to_its_organization_page_by_page(site: Site):
    await site.take_in(remittance(*(TestSet([denied(f"A{n}")], trace=f"T{n}") for n in range(5))))

    seen, cursor = [], {}
    while True:
        page = (await site.get("/v1/remittances", "viewer", limit=2, **cursor)).json()
        seen += [one["trace_number"] for one in page["data"]]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert sorted(seen) == ["T0", "T1", "T2", "T3", "T4"]
    assert (await site.get("/v1/remittances")).status_code == 403


async def test_a_test_interchange_marks_its_events(site: Site):
    await site.take_in(remittance(TestSet([denied("A1")]), usage="T"))

    (event,) = await site.events()
    assert event.is_test


async def test_the_same_claims_in_a_new_envelope_are_counted_as_duplicates(site: Site):
    claims = [denied("A1"), paid("A2"), denied("A3")]
    await site.take_in(remittance(TestSet(claims), control=1))
    before = await site.claims()
    await site.take_in(remittance(TestSet(claims), control=2))

    assert await site.claims() == before
    assert len(await site.events()) == 2
    assert sorted(line["duplicates"] for line in await site.reconciled()) == [0, 3]


async def test_a_remittance_cut_in_two_files_gives_the_same_claims(site: Site):
    claims = [denied("A1"), paid("A2"), denied("A3"), paid("A4")]
    await site.take_in(remittance(TestSet(claims[:2]), control=1))
    await site.take_in(remittance(TestSet(claims[2:]), control=2))
    await site.take_in(remittance(TestSet(claims), control=3))

    assert len(await site.claims()) == 4
    assert len(await site.events()) == 2
    assert sorted(line["duplicates"] for line in await site.reconciled()) == [0, 0, 4]


async def test_equal_claims_in_one_set_stay_apart(site: Site, small_batches: None):
    content = remittance(TestSet([denied("A1")] * 7))
    await site.take_in(content)
    await site.take_in(content.replace(b"*000000001", b"*000000002"))

    assert len(await site.claims()) == 7
    assert len({event.event_id for event in await site.events()}) == 7
    assert sorted(line["duplicates"] for line in await site.reconciled()) == [0, 7]


async def test_two_files_with_the_same_claims_at_once_give_each_claim_once(site: Site, small_batches: None):
    claims = [denied(f"A{n}") for n in range(30)]
    await site.push(remittance(TestSet(claims), control=1))
    await site.push(remittance(TestSet(claims[::-1]), control=2))
    due = await receipts.due_receipts(site.engine, limit=10)
    await asyncio.gather(
        *(process(site.workshop, submitter_id=s, receipt_id=r, stop=asyncio.Event()) for s, r in due)
    )

    assert await receipts.due_receipts(site.engine, limit=10) == []
    assert len(await site.claims()) == 30
    assert len(await site.events()) == 30
    assert sum(line["duplicates"] for line in await site.reconciled()) == 30


async def test_other_content_under_the_same_numbers_is_kept_and_marked(site: Site):
    await site.take_in(remittance(TestSet([denied("A1", charge=500)]), control=1))
    await site.take_in(remittance(TestSet([denied("A1", charge=600), denied("A1", charge=700)]), control=2))

    first, second, third = await site.events()
    assert first.possible_duplicate_of is None
    assert second.possible_duplicate_of == third.possible_duplicate_of == first.event_id


class Killed(BaseException):
    """What a killed process is to the code that it runs."""


@pytest.mark.parametrize("after", range(1, 14))
async def test_a_file_cut_short_at_any_transaction_ends_like_one_that_was_not(
    site: Site, small_batches: None, monkeypatch: pytest.MonkeyPatch, after: int
):
    content = remittance(
        TestSet([denied("A1"), paid("A2"), denied("A3"), denied("A4"), paid("A5")], trace="T1"),
        TestSet([reversed_("A1"), denied("A1", charge=900), paid("A3")], trace="T2"),
    )
    pushed = await site.push(content)
    killed = False
    kill_at(monkeypatch, after)
    try:
        await site.read_due()
    except Killed:
        killed = True
    monkeypatch.undo()

    unreleased = await site.rows(
        "select 1 from ingest.claim_events e join ingest.remittances r using (organization_id, remittance_id)"
        " join ingest.claim_events_parcels p using (organization_id, parcel_id)"
        " where p.due_at <> 'infinity' and r.released_at is null"
    )
    assert unreleased == []
    await site.read_due()

    receipt = (await site.get(f"/v1/remittances/{pushed.json()['receipt_id']}")).json()
    assert (receipt["status"], receipt["claims_read"]) == ("processed", 8)
    assert killed
    assert len(await site.claims()) == 8
    assert numbers(await site.events()) == [
        ("ClaimAdjudicated", "A3"),
        ("ClaimDenied", "A1"),
        ("ClaimDenied", "A1"),
        ("ClaimDenied", "A3"),
        ("ClaimDenied", "A4"),
        ("ClaimReversed", "A1"),
    ]
    assert await site.events(due=False) == []
    assert [line["duplicates"] for line in await site.reconciled()] == [0, 0]


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Die at the beginning of the `number`th transaction of reading."""
    from services.ingest.workers import follow_ups, staging

    real, seen = staging.transaction, 0

    def counted(*arguments, **scope):
        nonlocal seen
        seen += 1
        if seen == number:
            raise Killed
        return real(*arguments, **scope)

    for module in (staging, follow_ups):
        monkeypatch.setattr(module, "transaction", counted)


async def test_denial_first_and_payment_later_gives_both_events(site: Site):
    await site.take_in(remittance(TestSet([denied("A1"), paid("B1")], trace="T1"), control=1))
    await site.take_in(remittance(TestSet([reversed_("A1", paid=0), paid("A1")], trace="T2"), control=2))

    events = await site.events()
    assert [type(event) for event in events] == [ClaimDenied, ClaimReversed, ClaimAdjudicated]
    assert {event.claim_number for event in events} == {"A1"}
    assert len({event.claim_key for event in events}) == 1
    paid_event = events[-1]
    assert (paid_event.trace_number, paid_event.paid_amount) == ("T2", 500)
    assert paid_event.remittance_id != events[0].remittance_id


async def test_payment_first_and_denial_later_gives_both_events_from_their_own_remittances(site: Site):
    first = await site.take_in(remittance(TestSet([paid("A1"), paid("B1")], trace="T1"), control=1))
    assert await site.events() == []
    second = await site.take_in(remittance(TestSet([denied("A1")], trace="T2"), control=2))

    denial, payment = await site.events()
    assert (type(denial), type(payment)) == (ClaimDenied, ClaimAdjudicated)
    assert (denial.trace_number, payment.trace_number) == ("T2", "T1")
    assert (str(denial.receipt_id), str(payment.receipt_id)) == (second["receipt_id"], first["receipt_id"])
    assert [claim.evented for claim in await site.claims() if claim.event_id == payment.event_id] == [True]
    assert sum(line["no_event"] for line in await site.reconciled()) == 1


async def test_a_follow_up_event_says_what_the_reader_said_of_the_claim(site: Site):
    await site.take_in(
        remittance(TestSet([paid("A1"), paid("A1"), paid("A1", paid=450)], trace="T1"), control=1)
    )
    await site.take_in(remittance(TestSet([denied("A1")], trace="T2"), control=2))

    kept = {claim.event_id for claim in await site.claims()}
    events = await site.events()
    assert {event.event_id for event in events} == kept
    assert sorted(event.position for event in events if event.trace_number == "T1") == [1, 2, 3]
    assert all(event.patient.sealed for event in events)


async def test_denial_and_payment_read_at_once_cannot_both_miss(site: Site):
    for number in range(10):
        await site.push(remittance(TestSet([denied(f"A{number}")], trace=f"D{number}"), control=number + 1))
        await site.push(remittance(TestSet([paid(f"A{number}")], trace=f"P{number}"), control=number + 50))
    due = await receipts.due_receipts(site.engine, limit=50)
    await asyncio.gather(
        *(process(site.workshop, submitter_id=s, receipt_id=r, stop=asyncio.Event()) for s, r in due)
    )

    kinds = [type(event) for event in await site.events()]
    assert (kinds.count(ClaimDenied), kinds.count(ClaimAdjudicated)) == (10, 10)


async def test_a_set_of_an_unknown_payee_is_held_and_released_on_registration(site: Site):
    receipt = await site.take_in(
        remittance(
            TestSet([denied("A1")], trace="T1"),
            TestSet([denied("B1"), paid("B2")], trace="T2", npi=OTHER_NPI),
        )
    )

    assert (receipt["status"], receipt["held_transaction_sets"], receipt["held_claims"]) == (
        "processed",
        1,
        2,
    )
    (held,) = (await site.get("/v1/held")).json()["data"]
    assert held == (await site.get("/v1/held", "operator")).json()["data"][0]
    assert OTHER_NPI in held["payee_identifiers"]
    assert (held["claims_read"], held["charge_amount"]) == (2, "1000")
    assert (await site.get("/v1/held", "other")).json()["data"] == []
    assert len(await site.claims()) == 1
    assert await release_known(site.workshop) == 0

    await site.register(OTHER_NPI)
    assert await release_known(site.workshop) == 1
    await site.read_due()

    assert (await site.get("/v1/held")).json()["data"] == []
    assert numbers(await site.events()) == [("ClaimDenied", "A1"), ("ClaimDenied", "B1")]
    assert [line["duplicates"] for line in await site.reconciled()] == [0, 0]
    receipt = (await site.get(f"/v1/remittances/{receipt['receipt_id']}")).json()
    assert (receipt["status"], receipt["claims_read"], receipt["held_transaction_sets"]) == (
        "processed",
        3,
        0,
    )


async def test_a_truncated_set_is_released_with_a_finding_and_its_events_say_so(
    site: Site, small_batches: None
):
    whole = remittance(TestSet([denied(f"A{n}") for n in range(1, 8)]))
    receipt = await site.take_in(whole[: whole.rindex(b"CLP*A7")])

    assert receipt["status"] == "processed"
    assert receipt["finding_count"] > 0
    assert all(finding["remedy"] for finding in receipt["findings"])
    events = await site.events()
    assert len(events) == 6
    assert all(event.truncated for event in events)
    assert await site.events(due=False) == []
    (row,) = await site.rows("select truncated, released_at from ingest.remittances")
    assert row.truncated
    assert row.released_at


@pytest.mark.parametrize("content", [b"hello", b"\x00\xff" * 500, b"ISA*", b"%PDF-1.7 not a remittance"])
async def test_what_is_no_835_is_refused_with_what_to_do(site: Site, content: bytes):
    receipt = await site.take_in(content)

    assert receipt["status"] == "refused"
    assert receipt["refused_reason"]
    assert receipt["findings"][0]["remedy"]
    assert await receipts.due_receipts(site.engine, limit=10) == []


async def test_a_nul_byte_in_a_name_or_number_does_not_stop_the_file(site: Site):
    content = remittance(TestSet([denied("A1"), denied("B1")]))
    content = content.replace(b"SAMPLE HEALTH", b"SAMPLE\x00HEALTH").replace(b"CLP*B1", b"CLP*B\x001")
    receipt = await site.take_in(content)

    assert receipt["status"] == "processed"
    assert "A1" in [event.claim_number for event in await site.events()]
    assert all("\x00" not in event.claim_number for event in await site.events())


async def test_a_defect_on_one_file_stops_no_other_and_is_given_up_visibly(
    site: Site, small_batches: None, monkeypatch: pytest.MonkeyPatch
):
    broken = await site.push(remittance(TestSet([denied("A1"), denied("A2"), denied("POISON")]), control=1))
    real = batches.prepare

    def failing(batch, destination):
        if any(claim.claim_number == "POISON" for claim in batch.claims):
            raise ZeroDivisionError
        return real(batch, destination)

    monkeypatch.setattr(files, "prepare", failing)
    await site.read_due()
    good = await site.take_in(remittance(TestSet([denied("B1")], trace="T2"), control=2))
    for _ in range(reading._FAILURES):
        await site.read_due()

    assert good["status"] == "processed"
    receipt = (await site.get(f"/v1/remittances/{broken.json()['receipt_id']}")).json()
    assert (receipt["status"], receipt["refused_reason"]) == ("refused", "defect")
    assert await receipts.due_receipts(site.engine, limit=10) == []
    # What could be read is real: it is released, marked as truncated.
    assert [event.truncated for event in await site.events() if event.claim_number in ("A1", "A2")] == [
        True,
        True,
    ]

    monkeypatch.undo()
    again = await site.push(remittance(TestSet([denied("A1"), denied("A2"), denied("POISON")]), control=1))
    assert again.json()["status"] == "received"
    await site.read_due()
    assert "POISON" in [event.claim_number for event in await site.events()]


async def test_an_absent_database_is_not_the_files_fault(site: Site, monkeypatch: pytest.MonkeyPatch):
    async def away(*_: object, **__: object) -> None:
        raise UnavailableError("The database does not answer.")

    await site.push(remittance(TestSet([denied("A1")])))
    monkeypatch.setattr(files, "stage", away)
    for _ in range(reading._FAILURES + 1):
        await site.read_due()
    monkeypatch.undo()

    (row,) = await site.rows("select due, attempts, failures from ingest.receipts")
    assert (row.due, row.attempts, row.failures) == (True, 0, 0)
    await site.read_due()
    assert len(await site.events()) == 1


async def test_a_worker_that_is_told_to_stop_leaves_the_file_at_its_next_batch(
    site: Site, small_batches: None, monkeypatch: pytest.MonkeyPatch
):
    await site.push(remittance(TestSet([denied(f"A{n}") for n in range(9)])))
    ((submitter_id, receipt_id),) = await receipts.due_receipts(site.engine, limit=10)
    stop, real = asyncio.Event(), files.stage

    async def stage(*arguments) -> None:
        await real(*arguments)
        stop.set()

    monkeypatch.setattr(files, "stage", stage)
    await process(site.workshop, submitter_id=submitter_id, receipt_id=receipt_id, stop=stop)
    monkeypatch.undo()

    (row,) = await site.rows("select due, attempts, status from ingest.receipts")
    assert (row.due, row.attempts, row.status) == (True, 0, "processing")
    assert len(await site.claims()) == 2
    assert await site.events() == []
    await site.read_due()
    assert len(await site.events()) == 9


async def test_a_file_that_ends_its_process_again_and_again_is_given_up(site: Site):
    pushed = await site.push(remittance(TestSet([denied("A1")])))
    ((submitter_id, receipt_id),) = await receipts.due_receipts(site.engine, limit=10)
    for _ in range(reading._ATTEMPTS):
        await receipts.begin(site.engine, submitter_id=submitter_id, receipt_id=receipt_id)
    await site.read_due()

    receipt = (await site.get(f"/v1/remittances/{pushed.json()['receipt_id']}")).json()
    assert (receipt["status"], receipt["refused_reason"]) == ("refused", "defect")
