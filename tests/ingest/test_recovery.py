"""What a crash, a lost file or a full queue leaves behind is found again: nothing waits for ever, unseen."""

import asyncio
import contextlib
from zoneinfo import ZoneInfo

import msgspec
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from services.ingest.store import receipts
from services.ingest.workers import files, follow_ups, reading
from services.ingest.workers.holding import release_known
from services.ingest.workers.payees import Organization
from shared.errors import UnavailableError
from shared.http.probes import Health
from shared.observability import metrics
from shared.security import administration
from shared.security.sealing import MasterKey
from tests.ingest.processes import until
from tests.ingest.remittances import OTHER_NPI, TestSet, denied, paid, remittance
from tests.ingest.site import MASTER_KEY_TEXT, Site
from tests.ingest.test_reading import Killed, numbers, small_batches  # noqa: F401  a fixture


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


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int, error: type[BaseException]) -> None:
    """Let every attempt from now on end at its `number`th batch."""
    real, seen = files.stage, 0

    async def stage(*arguments) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            seen = 0
            raise error
        await real(*arguments)

    monkeypatch.setattr(files, "stage", stage)


async def attempt(site: Site) -> None:
    """Process what is due, as often as processes die of it."""
    with contextlib.suppress(Killed):
        await site.read_due()


async def test_what_a_file_staged_before_it_ended_its_processes_goes_out_when_it_is_given_up(
    site: Site,
    small_batches: None,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    claims = [denied(f"A{n}") for n in range(3)] + [paid("P1"), denied("A4"), denied("A5")]
    await site.take_in(remittance(TestSet([denied("P1", charge=900)], trace="T0"), control=9))
    pushed = await site.push(remittance(TestSet(claims), control=1))
    fail_at(monkeypatch, 3, Killed)
    for _ in range(reading._ATTEMPTS + 1):
        await attempt(site)
    monkeypatch.undo()

    receipt = (await site.get(f"/v1/remittances/{pushed.json()['receipt_id']}")).json()
    assert (receipt["status"], receipt["refused_reason"]) == ("refused", "defect")
    assert await site.events(due=False) == []
    events = [event for event in await site.events() if str(event.receipt_id) == receipt["receipt_id"]]
    assert numbers(events) == [("ClaimAdjudicated", "P1"), *(("ClaimDenied", f"A{n}") for n in range(3))]
    assert all(event.truncated for event in events)
    assert sorted(line["claims_read"] for line in await site.reconciled()) == [1, 4]

    await site.take_in(remittance(TestSet(claims), control=2), who="other")
    assert len({event.claim_number for event in await site.events()}) == 6


async def test_a_file_that_was_read_stays_read_when_its_held_set_is_given_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    content = remittance(TestSet([denied("A1")]), TestSet([denied("B1")], trace="T2", npi=OTHER_NPI))
    receipt_id = (await site.take_in(content))["receipt_id"]
    await site.register(OTHER_NPI)
    await release_known(site.workshop)
    fail_at(monkeypatch, 1, ZeroDivisionError)
    for _ in range(reading._FAILURES):
        await site.read_due()
    monkeypatch.undo()

    receipt = (await site.get(f"/v1/remittances/{receipt_id}")).json()
    assert (receipt["status"], receipt["refused_reason"]) == ("processed", "defect")

    again = await site.take_in(content)
    assert (again["status"], again["refused_reason"], again["held"]) == ("processed", None, [])
    assert numbers(await site.events()) == [("ClaimDenied", "A1"), ("ClaimDenied", "B1")]


async def test_a_last_failure_before_the_staged_set_is_reached_still_releases_it(
    site: Site,
    small_batches: None,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    await site.push(remittance(TestSet([denied(f"A{n}") for n in range(6)])))
    fail_at(monkeypatch, 3, Killed)
    await attempt(site)
    fail_at(monkeypatch, 1, ZeroDivisionError)
    for _ in range(reading._FAILURES):
        await site.read_due()

    assert numbers(await site.events()) == [("ClaimDenied", f"A{n}") for n in range(4)]
    assert await site.events(due=False) == []


async def test_giving_up_follows_up_a_set_that_was_released_but_not_followed_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    async def killed(*_: object, **__: object) -> int:
        raise Killed

    await site.take_in(remittance(TestSet([denied("A1")]), control=1))
    await site.push(remittance(TestSet([paid("A1")], trace="T2"), control=2))
    monkeypatch.setattr(files, "follow_up", killed)
    for _ in range(reading._ATTEMPTS + 1):
        await attempt(site)

    assert numbers(await site.events()) == [("ClaimAdjudicated", "A1"), ("ClaimDenied", "A1")]
    assert [line["truncated"] for line in (await site.get("/v1/remittances", "viewer")).json()["data"]] == [
        False,
        False,
    ]


async def test_a_payee_that_moves_between_two_attempts_leaves_its_set_where_it_was_staged(
    site: Site,
    small_batches: None,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    await site.push(remittance(TestSet([denied(f"A{n}") for n in range(6)])))
    fail_at(monkeypatch, 3, Killed)
    await attempt(site)
    monkeypatch.undo()
    other = await administration.create_organization(
        site.owner, name="Another Clinic", time_zone="UTC", master_key=MasterKey.from_text(MASTER_KEY_TEXT)
    )

    async def moved(_identifiers: object) -> Organization:
        return Organization(other.organization_id, ZoneInfo("UTC"))

    monkeypatch.setattr(site.workshop.payees, "resolve", moved)
    await site.read_due()

    assert len(await site.events()) == 6
    assert await site.events(due=False) == []
    assert {line["organization_id"] for line in await site.reconciled()} == {str(site.organization_id)}


async def stored(site: Site) -> list[str]:
    found = await site.rows("select storage_key from ingest.receipts order by received_at")
    return [row.storage_key for row in found]


async def test_a_lost_old_file_stops_no_new_one_and_is_mended_by_sending_it_again(site: Site):
    old = remittance(TestSet([paid("A1")]), control=1)
    await site.take_in(old)
    (lost,) = await stored(site)
    site.vault.remove(lost)
    new = await site.take_in(
        remittance(TestSet([denied("A1")], trace="T2"), TestSet([denied("B1")], trace="T3"), control=2)
    )

    assert new["status"] == "processed"
    assert numbers(await site.events()) == [("ClaimDenied", "A1"), ("ClaimDenied", "B1")]
    assert sum(line["no_event"] for line in await site.reconciled()) == 1

    again = await site.take_in(old)
    assert again["status"] == "processed"
    assert ("ClaimAdjudicated", "A1") in numbers(await site.events())
    assert lost not in await stored(site)
    assert [line["duplicates"] for line in await site.reconciled()] == [0, 0, 0]


async def test_a_damaged_file_is_replaced_by_its_fresh_copy_and_then_read(site: Site):
    content = remittance(TestSet([denied("A1")]))
    pushed = await site.push(content)
    (key,) = await stored(site)
    place = site.vault.objects.folder / key[:2] / key
    place.write_bytes(bytes(len(place.read_bytes())))
    await site.read_due()
    assert await site.events() == []

    answer = await site.push(content)
    assert (answer.status_code, answer.json()["receipt_id"]) == (200, pushed.json()["receipt_id"])
    assert not place.exists()
    await site.read_due()
    assert numbers(await site.events()) == [("ClaimDenied", "A1")]


async def test_a_month_whose_key_was_deleted_stops_no_new_file(site: Site):
    await site.take_in(remittance(TestSet([paid("A1")]), control=1))
    await site.rows("update ingest.remittances set received_at = '2026-01-05' returning 1")
    async with site.owner.begin() as connection:
        await connection.execute(
            text(
                "insert into access.data_keys (organization_id, month, wrapped_key, shredded_at)"
                " values (:organization_id, '2026-01-01', null, now())"
            ),
            {"organization_id": site.organization_id},
        )
    new = await site.take_in(remittance(TestSet([denied("A1")], trace="T2"), control=2))

    assert new["status"] == "processed"
    assert numbers(await site.events()) == [("ClaimDenied", "A1")]


async def test_a_claim_that_was_cut_before_its_reasons_is_no_denial_in_its_follow_up_either(site: Site):
    await site.take_in(remittance(TestSet([denied("A1")]), control=1))
    whole = remittance(TestSet([paid("B1"), denied("A1")], trace="T2"), control=2)
    await site.take_in(whole[: whole.rindex(b"SVC*")])

    assert numbers(await site.events()) == [("ClaimAdjudicated", "A1"), ("ClaimDenied", "A1")]
    kept = [(claim.kind, claim.evented) for claim in await site.claims()]
    assert sorted(kept) == [("adjudicated", False), ("adjudicated", True), ("denied", True)]


async def test_a_claim_that_reads_otherwise_than_it_was_kept_waits(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    await site.take_in(remittance(TestSet([paid("A1"), paid("B1")]), control=1))
    read = follow_ups.reread_claim

    def reread(*arguments, **more):
        claim = read(*arguments, **more)
        return msgspec.structs.replace(claim, kind="denied") if claim.claim_number == "A1" else claim

    monkeypatch.setattr(follow_ups, "reread_claim", reread)
    await site.take_in(remittance(TestSet([denied("A1"), denied("B1")], trace="T2"), control=2))

    assert numbers(await site.events()) == [
        ("ClaimAdjudicated", "B1"),
        ("ClaimDenied", "A1"),
        ("ClaimDenied", "B1"),
    ]
    assert sum(line["no_event"] for line in await site.reconciled()) == 1


async def test_files_that_have_to_wait_stand_before_no_other(site: Site, monkeypatch: pytest.MonkeyPatch):
    for number in range(1, 5):
        await site.push(remittance(TestSet([denied(f"L{number}")]), control=number))
    for key in await stored(site):
        site.vault.remove(key)
    good = (await site.push(remittance(TestSet([denied("A1")]), control=9))).json()["receipt_id"]
    monkeypatch.setattr(reading, "_LOOKED_AHEAD", 3)

    async def is_read() -> bool:
        return (await site.get(f"/v1/remittances/{good}")).json()["status"] == "processed"

    stop = asyncio.Event()
    running = asyncio.create_task(reading.Reading(site.workshop, Health()).run(stop))
    try:
        await until(is_read)
    finally:
        stop.set()
        await running
    assert numbers(await site.events()) == [("ClaimDenied", "A1")]


async def test_the_gauge_counts_all_files_that_wait(site: Site, monkeypatch: pytest.MonkeyPatch):
    for number in range(1, 5):
        await site.push(remittance(TestSet([denied(f"L{number}")]), control=number))
    for key in await stored(site):
        site.vault.remove(key)
    monkeypatch.setattr(reading, "_LOOKED_AHEAD", 2)
    metrics.FILES_WAITING.set(0)

    async def counted() -> bool:
        return REGISTRY.get_sample_value("reprieve_files_waiting") == 4

    stop = asyncio.Event()
    running = asyncio.create_task(reading.Reading(site.workshop, Health()).run(stop))
    try:
        await until(counted)
    finally:
        stop.set()
        await running
